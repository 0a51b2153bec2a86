"""Titles are the albums whose release ids songs of their artist give beside them.

Revision ID: 0029
Revises: 0028
"""

from __future__ import annotations

from alembic import op

revision = "0029"
down_revision = "0028"
branch_labels = None
depends_on = None

# Filled from the songs that are there by the next batch that silver takes.
UPGRADE = """
CREATE TABLE music.album_name (
    artist_key text COLLATE "C" NOT NULL,
    match_title text COLLATE "C" NOT NULL,
    own_key text COLLATE "C" NOT NULL,
    PRIMARY KEY (artist_key, match_title, own_key)
);
CREATE TABLE music.album_match (
    name_key text COLLATE "C" PRIMARY KEY,
    match_title text COLLATE "C" NOT NULL,
    album_key text COLLATE "C" NOT NULL,
    reason text NOT NULL,
    confidence double precision NOT NULL,
    matched_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX album_match_album ON music.album_match (album_key);
CREATE TABLE music.album_redirect (
    old_key text COLLATE "C" PRIMARY KEY,
    album_key text COLLATE "C" NOT NULL,
    since timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX album_redirect_album ON music.album_redirect (album_key);
"""

DOWNGRADE = """
DROP TABLE music.album_redirect;
DROP TABLE music.album_match;
DROP TABLE music.album_name;
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
