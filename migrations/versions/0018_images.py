"""Items of image tasks are found by their product, within the task.

Revision ID: 0018
Revises: 0017
"""

from __future__ import annotations

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

UPGRADE = """
-- A listing of a task's results asks a page of products at a time. Nobody asks for a product alone.
DROP INDEX images.image_task_item_product;
CREATE UNIQUE INDEX image_task_item_product ON images.image_task_item (task_id, product_id);
"""

DOWNGRADE = """
DROP INDEX images.image_task_item_product;
CREATE INDEX image_task_item_product ON images.image_task_item (product_id);
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
