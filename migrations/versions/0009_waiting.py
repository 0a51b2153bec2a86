"""Waiting for somebody else's work is a state of a batch; months wait for answers of prompts.

Revision ID: 0009
Revises: 0008
"""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

UPGRADE = """
ALTER TABLE landing.batch
    DROP CONSTRAINT batch_state_check,
    ADD CONSTRAINT batch_state_check CHECK (state IN (
        'pending', 'requested', 'running', 'loaded', 'loaded_with_rejects', 'waiting',
        'failed_transient', 'failed_permanent')),
    -- Since when it waits, attempts in between included.
    ADD COLUMN waiting_since timestamptz;

-- Months whose prompts are, or were, in batches of OpenAI's: a run of each is due once none is.
CREATE TABLE domains.awaited_month (
    month date PRIMARY KEY,
    -- A run that was asked for at another time is another run.
    since timestamptz NOT NULL
);
INSERT INTO domains.awaited_month (month, since)
SELECT DISTINCT to_date(budget, 'YYYY-MM'), now() FROM domains.openai_batch
WHERE state <> 'collected';
"""

DOWNGRADE = """
DROP TABLE domains.awaited_month;
UPDATE landing.batch SET state = 'failed_transient', error_class = 'transient'
WHERE state = 'waiting';
ALTER TABLE landing.batch
    DROP COLUMN waiting_since,
    DROP CONSTRAINT batch_state_check,
    ADD CONSTRAINT batch_state_check CHECK (state IN (
        'pending', 'requested', 'running', 'loaded', 'loaded_with_rejects',
        'failed_transient', 'failed_permanent'));
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
