"""Campaigns: chat and engagement events into MongoDB, Milvus, Neo4j and BigQuery."""
