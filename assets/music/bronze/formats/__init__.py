"""Readers of song files: one module per format, each from a stream to bronze records."""
