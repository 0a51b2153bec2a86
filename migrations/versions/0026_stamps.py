"""Rows of music's star schema and gold say when they came and when they changed.

Revision ID: 0026
Revises: 0025
"""

from __future__ import annotations

from alembic import op

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None

_TABLES = (
    "dim_artist",
    "dim_album",
    "dim_genre",
    "dim_date",
    "fact_song",
    "bridge_song_artist",
    "bridge_album_artist",
    "bridge_artist_term",
    "bridge_song_genre",
    "bridge_song_tag",
    "bridge_song_similar",
    "song_details",
    "artist_performance",
    "album_performance",
    "genre_by_year",
    "tempo_key_profile",
)

# The time of the transaction: all that one batch wrote has the same.
UPGRADE = """
CREATE FUNCTION music.stamp() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END $$;
ALTER TABLE music.dim_date
    ADD COLUMN label text NOT NULL GENERATED ALWAYS AS (coalesce(year::text, 'unknown')) STORED,
    ADD COLUMN century smallint GENERATED ALWAYS AS ((year + 99) / 100) STORED,
    ADD COLUMN first_day date GENERATED ALWAYS AS (make_date(year, 1, 1)) STORED,
    ADD COLUMN last_day date GENERATED ALWAYS AS (make_date(year, 12, 31)) STORED;
ALTER TABLE music.artist_performance
    ADD COLUMN location text,
    ADD COLUMN latitude double precision,
    ADD COLUMN longitude double precision;
UPDATE music.artist_performance g
SET location = a.location, latitude = a.latitude, longitude = a.longitude
FROM music.dim_artist a WHERE a.artist_key = g.artist_key;
""" + "".join(
    f"""
ALTER TABLE music.{name}
    ADD COLUMN loaded_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN updated_at timestamptz NOT NULL DEFAULT now();
CREATE TRIGGER stamp BEFORE UPDATE ON music.{name}
    FOR EACH ROW EXECUTE FUNCTION music.stamp();
"""
    for name in _TABLES
)

DOWNGRADE = (
    "".join(
        f"""
DROP TRIGGER stamp ON music.{name};
ALTER TABLE music.{name} DROP COLUMN updated_at, DROP COLUMN loaded_at;
"""
        for name in _TABLES
    )
    + """
ALTER TABLE music.artist_performance
    DROP COLUMN longitude, DROP COLUMN latitude, DROP COLUMN location;
ALTER TABLE music.dim_date
    DROP COLUMN last_day, DROP COLUMN first_day, DROP COLUMN century, DROP COLUMN label;
DROP FUNCTION music.stamp();
"""
)


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
