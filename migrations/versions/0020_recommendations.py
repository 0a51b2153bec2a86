"""Which kept recommendations are called in question.

Revision ID: 0020
Revises: 0019
"""

from __future__ import annotations

from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

UPGRADE = """
-- Stale while ``marks`` is more than ``answered``: something that the answer is made of has
-- changed, or may have; ``urgent`` where it surely has.
CREATE TABLE campaigns.recommendation (
    user_id text COLLATE "C" PRIMARY KEY,
    marks integer NOT NULL DEFAULT 1,
    answered integer NOT NULL DEFAULT 0,
    urgent boolean NOT NULL,
    stale_since timestamptz NOT NULL DEFAULT clock_timestamp(),
    computed_at timestamptz,
    -- Who is in the answer, and the last one's score; null where there could be more of them.
    neighbours text[] NOT NULL DEFAULT '{}',
    last_score double precision
);
CREATE INDEX recommendation_stale ON campaigns.recommendation (urgent DESC, stale_since, user_id)
    WHERE marks > answered;
CREATE INDEX recommendation_neighbours ON campaigns.recommendation USING gin (neighbours);
CREATE INDEX recommendation_last_score ON campaigns.recommendation (last_score);

-- Batches that have called answers in question. None has so far: all are taken anew.
CREATE TABLE campaigns.recommended_batch (
    batch_id text COLLATE "C" PRIMARY KEY,
    marked_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
"""

DOWNGRADE = """
DROP TABLE campaigns.recommended_batch;
DROP TABLE campaigns.recommendation;
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
