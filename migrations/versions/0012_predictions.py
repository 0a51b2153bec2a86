"""What a model saw in the results of tasks.

Revision ID: 0012
Revises: 0011
"""

from __future__ import annotations

from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

UPGRADE = """
-- One row per good item of a task that asked for it: of the result of that digest, by that model.
CREATE TABLE images.image_task_prediction (
    task_id text COLLATE "C" NOT NULL,
    number bigint NOT NULL,
    model_version text COLLATE "C" NOT NULL,
    digest text NOT NULL,
    -- All null for a result that the model can't read; scores are probabilities.
    master_category text,
    master_score real CHECK (master_score BETWEEN 0 AND 1),
    article_type text,
    article_score real CHECK (article_score BETWEEN 0 AND 1),
    dominant_colour text,
    colour_score real CHECK (colour_score BETWEEN 0 AND 1),
    PRIMARY KEY (task_id, number),
    FOREIGN KEY (task_id, number) REFERENCES images.image_task_item ON DELETE CASCADE,
    CHECK (num_nulls(master_category, master_score, article_type, article_score, dominant_colour,
        colour_score) IN (0, 6))
);
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute("DROP TABLE images.image_task_prediction")
