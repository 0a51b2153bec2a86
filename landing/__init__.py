"""Lossless arrival: from object versions in a bucket to validated, staged batches.

Knows buckets and the ledger; knows no pipeline and nothing of Dagster.
"""
