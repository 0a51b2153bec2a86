"""The music pipeline: song files on MinIO to a star schema, gold tables and search."""
