"""Alerts to people wait in an outbox until their channel has taken them.

Revision ID: 0008
Revises: 0007
"""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

UPGRADE = """
CREATE SCHEMA alerts;

CREATE TABLE alerts.outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- What the alert is about: telling it again changes nothing.
    dedupe_key text COLLATE "C" NOT NULL UNIQUE,
    channel text COLLATE "C" NOT NULL,
    severity text COLLATE "C" NOT NULL CHECK (severity IN ('info', 'warning', 'error')),
    title text NOT NULL,
    body_html text NOT NULL,
    link text,
    created_at timestamptz NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    -- Null: given up, error says why.
    next_attempt_at timestamptz,
    sent_at timestamptz,
    message_id bigint,
    error text,
    -- The message that tells of this one among others.
    aggregated_into bigint REFERENCES alerts.outbox
);
CREATE INDEX outbox_waiting ON alerts.outbox (channel, id)
    WHERE sent_at IS NULL AND aggregated_into IS NULL;

-- A channel that asked to be left alone, or is away, or refuses whoever we are.
CREATE TABLE alerts.channel (
    channel text COLLATE "C" PRIMARY KEY,
    held_until timestamptz NOT NULL,
    failures integer NOT NULL,
    reason text NOT NULL
);
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute("DROP SCHEMA alerts CASCADE")
