"""Managed ingestion, by Dataflow or BigQuery subscriptions, and what becomes of what it lands."""
