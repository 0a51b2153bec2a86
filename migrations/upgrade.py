"""Bring quintet's database to the newest revision.

Belongs here: running the chain. Does not: the revisions (``versions/``).
"""

from __future__ import annotations

from pathlib import Path


def upgrade(url: str, revision: str = "head") -> None:
    """Run the chain on the database at ``url`` (bare ``postgresql://``) up to ``revision``."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["url"] = url
    command.upgrade(config, revision)
