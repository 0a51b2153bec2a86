"""An alert may be told on more than one channel.

Revision ID: 0017
Revises: 0016
"""

from __future__ import annotations

from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

UPGRADE = """
ALTER TABLE alerts.outbox
    DROP CONSTRAINT outbox_dedupe_key_key,
    ADD CONSTRAINT outbox_dedupe_key_channel_key UNIQUE (dedupe_key, channel);
"""

DOWNGRADE = """
DELETE FROM alerts.outbox WHERE channel <> 'telegram';
ALTER TABLE alerts.outbox
    DROP CONSTRAINT outbox_dedupe_key_channel_key,
    ADD CONSTRAINT outbox_dedupe_key_key UNIQUE (dedupe_key);
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
