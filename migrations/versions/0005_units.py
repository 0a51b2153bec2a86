"""A batch may work on a unit that its objects name (a month, a task) instead of on itself.

Revision ID: 0005
Revises: 0004
"""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

UPGRADE = """
-- The partition of the batch's runs; null where it is the batch's own id.
ALTER TABLE landing.batch ADD COLUMN unit text COLLATE "C";
CREATE INDEX batch_partition ON landing.batch (pipeline, coalesce(unit, batch_id), batch_id);
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute("DROP INDEX landing.batch_partition; ALTER TABLE landing.batch DROP COLUMN unit")
