"""Lists of the query service enter their tables where a page begins.

Revision ID: 0033
Revises: 0032
"""

from __future__ import annotations

from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

UPGRADE = """
CREATE INDEX image_task_newest ON images.image_task (requested_at DESC, task_id DESC);
-- A source's objects in the order in which they came, however many others came meanwhile.
CREATE INDEX object_version_source ON landing.object_version (source, seq);
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute("DROP INDEX images.image_task_newest, landing.object_version_source")
