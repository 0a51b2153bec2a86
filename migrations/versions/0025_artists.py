"""Names are the artists whose ids records give beside them.

Revision ID: 0025
Revises: 0024
"""

from __future__ import annotations

from alembic import op

revision = "0025"
down_revision = "0024"
branch_labels = None
depends_on = None

UPGRADE = """
ALTER TABLE music.song_source ADD COLUMN artist_match text COLLATE "C";
CREATE INDEX song_source_artist ON music.song_source (artist_match, artist_id)
    WHERE artist_id IS NOT NULL;

CREATE TABLE music.artist_match (
    name_key text COLLATE "C" PRIMARY KEY,
    match_key text COLLATE "C",
    artist_key text COLLATE "C" NOT NULL,
    matched_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX artist_match_match ON music.artist_match (match_key);
"""

DOWNGRADE = """
DROP TABLE music.artist_match;
ALTER TABLE music.song_source DROP COLUMN artist_match;
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
