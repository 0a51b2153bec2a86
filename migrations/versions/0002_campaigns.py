"""The campaigns pipeline: its current records and what they replaced, and cached embeddings.

Revision ID: 0002
Revises: 0001
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

UPGRADE = """
CREATE SCHEMA campaigns;

-- The winner of every record: what each sink must hold.
CREATE TABLE campaigns.record (
    key text COLLATE "C" PRIMARY KEY,
    event_time timestamptz NOT NULL,
    seq bigint NOT NULL,
    row_hash text NOT NULL,
    batch_id text COLLATE "C" NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    campaign text COLLATE "C",
    message_hash text
);
CREATE INDEX record_user ON campaigns.record (user_id);

-- What a batch's winners replaced: derived data of the old user, campaign and day is recomputed.
CREATE TABLE campaigns.replaced (
    batch_id text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    event_time timestamptz NOT NULL,
    user_id text COLLATE "C" NOT NULL,
    campaign text COLLATE "C",
    message_hash text,
    PRIMARY KEY (batch_id, key)
);
-- A later batch must also find what earlier ones replaced without having delivered it yet.
CREATE INDEX replaced_key ON campaigns.replaced (key);

CREATE SCHEMA cache;

-- Little-endian float32; one row per text and model, so that a text is paid for once.
CREATE TABLE cache.embedding (
    model text NOT NULL,
    dimensions integer NOT NULL,
    text_hash text NOT NULL,
    vector bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (model, dimensions, text_hash)
);
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute("DROP SCHEMA cache CASCADE; DROP SCHEMA campaigns CASCADE")
