"""Reading knows on which days a content was read, and when it last reported changes.

Revision ID: 0027
Revises: 0026
"""

from __future__ import annotations

from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

UPGRADE = """
-- The days of a month with an event of the content that counts: bit 0 is the first.
CREATE TABLE reading.content_month (
    content_id bigint NOT NULL,
    month date NOT NULL,
    days integer NOT NULL,
    PRIMARY KEY (content_id, month)
);
-- One row: since when whoever writes events notes their days there too, and when those of before
-- were added; when contents' days were last looked up, and changes reported.
CREATE TABLE reading.change_state (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    noted_since timestamptz NOT NULL DEFAULT clock_timestamp(),
    filled_at timestamptz,
    resolved_at timestamptz,
    reported_at timestamptz
);
INSERT INTO reading.change_state DEFAULT VALUES;
"""

DOWNGRADE = """
DROP TABLE reading.change_state;
DROP TABLE reading.content_month;
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
