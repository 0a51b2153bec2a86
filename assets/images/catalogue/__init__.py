"""The catalogue of products, from CSV to Postgres."""
