"""Facts refer to an unknown member where nothing is known, so that inner joins keep them.

Revision ID: 0030
Revises: 0029
"""

from __future__ import annotations

from alembic import op

revision = "0030"
down_revision = "0029"
branch_labels = None
depends_on = None

_UNKNOWN = "'Unknown member'"
# As silver makes it of all other columns.
_HASH = """
left(encode(sha256(convert_to(ROW(
    f.song_key, f.title, {artist}, {album}, {genre}, f.year_key, f.track_ids, f.duration,
    f.tempo, f.loudness, f.key, f.key_confidence, f.mode, f.mode_confidence, f.time_signature,
    f.end_of_fade_in, f.start_of_fade_out, f.danceability, f.energy, f.song_hotttnesss, f.sources,
    f.base_source, f.provenance)::text, 'UTF8')), 'hex'), 32)
"""


def _instead(function: str, where: str) -> str:
    """Facts with other keys, and the digest that goes with these."""
    keys = {one: function.format(f"f.{one}_key") for one in ("artist", "album", "genre")}
    return f"""
    UPDATE music.fact_song f SET artist_key = {keys["artist"]}, album_key = {keys["album"]},
        genre_key = {keys["genre"]}, row_hash = {_HASH.format(**keys)}
    WHERE {where.format("f.artist_key", "f.album_key", "f.genre_key")};
    """


def _labelled(text: str) -> str:
    return f"""
    ALTER TABLE music.dim_date DROP COLUMN label;
    ALTER TABLE music.dim_date ADD COLUMN label text NOT NULL
        GENERATED ALWAYS AS (coalesce(year::text, '{text}')) STORED;
    """


UPGRADE = f"""
INSERT INTO music.dim_artist (artist_key, name) VALUES ({_UNKNOWN}, 'Unknown');
INSERT INTO music.dim_album (album_key, title) VALUES ({_UNKNOWN}, 'Unknown');
INSERT INTO music.dim_genre (genre_key, name) VALUES ({_UNKNOWN}, 'Unknown');
{_instead(f"coalesce({{}}, {_UNKNOWN})", "num_nulls({}, {}, {}) > 0")}
ALTER TABLE music.fact_song
    ALTER artist_key SET DEFAULT {_UNKNOWN}, ALTER artist_key SET NOT NULL,
    ALTER album_key SET DEFAULT {_UNKNOWN}, ALTER album_key SET NOT NULL,
    ALTER genre_key SET DEFAULT {_UNKNOWN}, ALTER genre_key SET NOT NULL,
    ALTER year_key SET DEFAULT 0;
{_labelled("Unknown")}
"""

DOWNGRADE = f"""
{_labelled("unknown")}
ALTER TABLE music.fact_song
    ALTER artist_key DROP NOT NULL, ALTER artist_key DROP DEFAULT,
    ALTER album_key DROP NOT NULL, ALTER album_key DROP DEFAULT,
    ALTER genre_key DROP NOT NULL, ALTER genre_key DROP DEFAULT,
    ALTER year_key DROP DEFAULT;
{_instead(f"nullif({{}}, {_UNKNOWN})", f"{_UNKNOWN} IN ({{}}, {{}}, {{}})")}
DELETE FROM music.dim_genre WHERE genre_key = {_UNKNOWN};
DELETE FROM music.dim_album WHERE album_key = {_UNKNOWN};
DELETE FROM music.dim_artist WHERE artist_key = {_UNKNOWN};
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
