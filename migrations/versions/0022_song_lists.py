"""Genres, tags and similar tracks of songs: as many as files give.

Revision ID: 0022
Revises: 0021
"""

from __future__ import annotations

from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None

UPGRADE = """
ALTER TABLE music.song_source
    ADD COLUMN genres jsonb, ADD COLUMN tags jsonb, ADD COLUMN similars jsonb;
-- Two formats come before it.
UPDATE music.song_source SET rank = 10 WHERE format = 'lastfm';

CREATE TABLE music.bridge_song_genre (
    song_key text COLLATE "C" NOT NULL REFERENCES music.fact_song ON DELETE CASCADE,
    genre_key text COLLATE "C" NOT NULL REFERENCES music.dim_genre,
    position integer NOT NULL,
    source_record text NOT NULL,
    PRIMARY KEY (song_key, genre_key)
);
CREATE INDEX bridge_song_genre_genre ON music.bridge_song_genre (genre_key);
CREATE TABLE music.bridge_song_tag (
    song_key text COLLATE "C" NOT NULL REFERENCES music.fact_song ON DELETE CASCADE,
    tag text COLLATE "C" NOT NULL,
    weight double precision,
    PRIMARY KEY (song_key, tag)
);
CREATE TABLE music.bridge_song_similar (
    song_key text COLLATE "C" NOT NULL REFERENCES music.fact_song ON DELETE CASCADE,
    track_id text COLLATE "C" NOT NULL,
    score double precision,
    PRIMARY KEY (song_key, track_id)
);
"""

DOWNGRADE = """
DROP TABLE music.bridge_song_similar, music.bridge_song_tag, music.bridge_song_genre;
-- Genres that were in a bridge alone; songs keep theirs.
DELETE FROM music.dim_genre d
WHERE NOT EXISTS (SELECT FROM music.fact_song f WHERE f.genre_key = d.genre_key);
UPDATE music.song_source SET rank = 8 WHERE format = 'lastfm';
ALTER TABLE music.song_source DROP COLUMN genres, DROP COLUMN tags, DROP COLUMN similars;
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
