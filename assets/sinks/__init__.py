"""One module per kind of store: write, read back, idempotent; knows no pipeline."""
