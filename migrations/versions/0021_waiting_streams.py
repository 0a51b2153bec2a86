"""Streams say what they wait for.

Revision ID: 0021
Revises: 0020
"""

from __future__ import annotations

from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

UPGRADE = """
-- The step that is being repeated, since when and why; null while all is well.
ALTER TABLE reading.session_stream ADD COLUMN waiting text;
"""

DOWNGRADE = """
ALTER TABLE reading.session_stream DROP COLUMN waiting;
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
