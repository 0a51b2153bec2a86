"""The streaming session: messages from Pub/Sub to one row per event in BigQuery."""
