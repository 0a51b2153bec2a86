"""Keys of the query service, and the newest delivery of a pipeline found by an index.

Revision ID: 0032
Revises: 0031
"""

from __future__ import annotations

from alembic import op

revision = "0032"
down_revision = "0031"
branch_labels = None
depends_on = None

UPGRADE = """
CREATE SCHEMA api;

-- A key is <key_id>.<secret>, of which only a hash is kept: the secret has 256 random bits, so that
-- it cannot be guessed from its SHA-256.
CREATE TABLE api.key (
    key_id text COLLATE "C" PRIMARY KEY,
    name text NOT NULL,
    scopes text[] NOT NULL CHECK (scopes <@ ARRAY['read', 'write', 'admin'] AND scopes <> '{}'),
    secret_sha256 bytea NOT NULL CHECK (length(secret_sha256) = 32),
    requests_per_minute integer NOT NULL CHECK (requests_per_minute > 0),
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);

CREATE INDEX batch_sink_done ON landing.batch_sink (done_at DESC) WHERE state = 'done';
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute("DROP INDEX landing.batch_sink_done; DROP SCHEMA api CASCADE")
