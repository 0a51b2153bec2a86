"""Staged parts say what is in them.

Revision ID: 0019
Revises: 0018
"""

from __future__ import annotations

from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

UPGRADE = """
-- Rows by what the pipeline's sinks want to know before they read them; older parts do not say.
ALTER TABLE landing.staged_part ADD COLUMN tally jsonb;
"""

DOWNGRADE = """
ALTER TABLE landing.staged_part DROP COLUMN tally;
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
