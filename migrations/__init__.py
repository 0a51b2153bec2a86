"""The alembic chain of quintet's own database; Dagster's storage has its own, elsewhere."""
