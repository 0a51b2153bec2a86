"""Songs that several keys stand for are one: the crosswalk, and redirects of keys.

Revision ID: 0024
Revises: 0023
"""

from __future__ import annotations

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None

UPGRADE = """
ALTER TABLE music.song_source
    ADD COLUMN match_key text COLLATE "C",
    ADD COLUMN own_key text COLLATE "C";
UPDATE music.song_source SET own_key = song_key WHERE song_key IS NOT NULL;
CREATE INDEX song_source_own ON music.song_source (own_key);
CREATE INDEX song_source_match ON music.song_source (match_key) WHERE match_key IS NOT NULL;
CREATE INDEX song_source_decision ON music.song_source (format)
    WHERE format IN ('join', 'split');

CREATE TABLE music.song_match (
    own_key text COLLATE "C" PRIMARY KEY,
    match_key text COLLATE "C",
    song_key text COLLATE "C" NOT NULL,
    reason text NOT NULL,
    confidence double precision NOT NULL,
    evidence jsonb NOT NULL,
    matched_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX song_match_song ON music.song_match (song_key);
CREATE INDEX song_match_match ON music.song_match (match_key);

CREATE TABLE music.song_redirect (
    old_key text COLLATE "C" PRIMARY KEY,
    song_key text COLLATE "C" NOT NULL,
    since timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX song_redirect_song ON music.song_redirect (song_key);
"""

DOWNGRADE = """
DROP TABLE music.song_redirect;
DROP TABLE music.song_match;
DROP INDEX music.song_source_decision;
ALTER TABLE music.song_source DROP COLUMN own_key, DROP COLUMN match_key;
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
