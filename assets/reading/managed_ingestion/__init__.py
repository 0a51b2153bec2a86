"""Google's own services that bring messages to BigQuery, and what becomes of what they land."""
