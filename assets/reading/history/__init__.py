"""History files on GCS, from validation to the two tables."""
