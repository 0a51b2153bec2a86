"""The music pipeline: current records, archived files, the star schema, lyrics, gold.

Revision ID: 0003
Revises: 0002
"""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

UPGRADE = """
CREATE SCHEMA music;

-- Landing: the winner of every record, and what a batch replaced.
CREATE TABLE music.record (
    key text COLLATE "C" PRIMARY KEY,
    event_time timestamptz NOT NULL,
    seq bigint NOT NULL,
    row_hash text NOT NULL,
    batch_id text COLLATE "C" NOT NULL
);
CREATE TABLE music.replaced (
    batch_id text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    event_time timestamptz NOT NULL,
    PRIMARY KEY (batch_id, key)
);

-- Files that were read, where their copy lies, and whether the original is gone from raw.
CREATE TABLE music.archived_object (
    seq bigint PRIMARY KEY REFERENCES landing.object_version (seq),
    processed_key text NOT NULL,
    sha256 text NOT NULL,
    archived_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    removed_at timestamptz,
    -- removed | replaced (another version is there now) | absent
    removal text
);
CREATE INDEX archived_object_in_raw ON music.archived_object (seq) WHERE removal IS NULL;

-- Silver. What every file says of a song, one row per current record.
CREATE TABLE music.song_source (
    record_key text COLLATE "C" PRIMARY KEY,
    song_key text COLLATE "C",
    format text NOT NULL,
    rank smallint NOT NULL,
    seq bigint NOT NULL,
    row_hash text NOT NULL,
    source text NOT NULL,
    line bigint NOT NULL,
    song_id text COLLATE "C",
    track_id text COLLATE "C",
    fingerprint text COLLATE "C",
    title text,
    artist_name text,
    artist_id text COLLATE "C",
    artist_mbid text,
    artist_location text,
    artist_latitude double precision,
    artist_longitude double precision,
    album text,
    album_release_id bigint,
    year smallint,
    duration double precision,
    tempo double precision,
    loudness double precision,
    key smallint,
    key_confidence double precision,
    mode smallint,
    mode_confidence double precision,
    time_signature smallint,
    end_of_fade_in double precision,
    start_of_fade_out double precision,
    danceability double precision,
    energy double precision,
    song_hotttnesss double precision,
    genre text,
    lyrics_text text,
    musixmatch_id bigint,
    artist_terms jsonb,
    artist_mbtags jsonb,
    lyrics_words jsonb
);
CREATE INDEX song_source_song ON music.song_source (song_key);
CREATE INDEX song_source_track ON music.song_source (track_id) WHERE track_id IS NOT NULL;

CREATE TABLE music.dim_artist (
    artist_key text COLLATE "C" PRIMARY KEY,
    artist_id text COLLATE "C",
    name text,
    mbid text,
    location text,
    latitude double precision,
    longitude double precision
);
CREATE TABLE music.dim_album (
    album_key text COLLATE "C" PRIMARY KEY,
    title text,
    release_id bigint
);
CREATE TABLE music.dim_genre (
    genre_key text COLLATE "C" PRIMARY KEY,  -- the normalised name
    name text NOT NULL
);
-- Release years; 0 stands for unknown.
CREATE TABLE music.dim_date (
    year_key smallint PRIMARY KEY,
    year smallint,
    decade smallint
);
INSERT INTO music.dim_date VALUES (0, NULL, NULL);

CREATE TABLE music.fact_song (
    song_key text COLLATE "C" PRIMARY KEY,
    title text,
    artist_key text COLLATE "C" REFERENCES music.dim_artist,
    album_key text COLLATE "C" REFERENCES music.dim_album,
    genre_key text COLLATE "C" REFERENCES music.dim_genre,
    year_key smallint NOT NULL REFERENCES music.dim_date,
    track_ids text[] NOT NULL,
    duration double precision,
    tempo double precision,
    loudness double precision,
    key smallint,
    key_confidence double precision,
    mode smallint,
    mode_confidence double precision,
    time_signature smallint,
    end_of_fade_in double precision,
    start_of_fade_out double precision,
    danceability double precision,
    energy double precision,
    song_hotttnesss double precision,
    sources integer NOT NULL,
    base_source text NOT NULL,
    provenance jsonb NOT NULL,
    row_hash text NOT NULL  -- over all other columns: what the song says now
);
CREATE INDEX fact_song_artist ON music.fact_song (artist_key);
CREATE INDEX fact_song_album ON music.fact_song (album_key);
CREATE INDEX fact_song_genre ON music.fact_song (genre_key, year_key);

CREATE TABLE music.bridge_song_artist (
    song_key text COLLATE "C" NOT NULL REFERENCES music.fact_song ON DELETE CASCADE,
    artist_key text COLLATE "C" NOT NULL REFERENCES music.dim_artist,
    position smallint NOT NULL,
    PRIMARY KEY (song_key, artist_key)
);
CREATE INDEX bridge_song_artist_artist ON music.bridge_song_artist (artist_key);
CREATE TABLE music.bridge_album_artist (
    album_key text COLLATE "C" NOT NULL REFERENCES music.dim_album,
    artist_key text COLLATE "C" NOT NULL REFERENCES music.dim_artist,
    PRIMARY KEY (album_key, artist_key)
);
CREATE INDEX bridge_album_artist_artist ON music.bridge_album_artist (artist_key);
CREATE TABLE music.bridge_artist_term (
    artist_key text COLLATE "C" NOT NULL REFERENCES music.dim_artist,
    kind text NOT NULL CHECK (kind IN ('term', 'mbtag')),
    term text NOT NULL,
    weight double precision,
    PRIMARY KEY (artist_key, kind, term)
);

-- One row per song. Text or words from files are found at once; other songs are asked for.
CREATE TABLE music.song_lyrics (
    song_key text COLLATE "C" PRIMARY KEY REFERENCES music.fact_song ON DELETE CASCADE,
    status text NOT NULL CHECK (status IN ('pending', 'found', 'missing', 'failed')),
    source text CHECK (source IN ('file', 'service')),
    source_record text,
    text text,
    words jsonb,
    attempts integer NOT NULL DEFAULT 0,
    error text,
    next_attempt_at timestamptz,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CHECK ((status = 'found') = (text IS NOT NULL OR words IS NOT NULL))
);
CREATE INDEX song_lyrics_due ON music.song_lyrics (next_attempt_at, song_key)
    WHERE status IN ('pending', 'failed');

-- What the MusicBrainz-compatible service said of artists whose songs have no genre in any file.
CREATE TABLE music.artist_genre_lookup (
    artist_key text COLLATE "C" PRIMARY KEY,
    status text NOT NULL CHECK (status IN ('pending', 'found', 'missing', 'failed')),
    genre text,
    attempts integer NOT NULL DEFAULT 0,
    error text,
    next_attempt_at timestamptz,
    updated_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Songs whose lyrics or genre a scheduled run changed, outside any batch: gold and search follow.
CREATE TABLE music.lyrics_changed (
    song_key text COLLATE "C" PRIMARY KEY,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Songs, artists and albums (old and new) that a batch touched: what is derived of them follows.
CREATE TABLE music.touched (
    batch_id text COLLATE "C" NOT NULL,
    kind text NOT NULL CHECK (kind IN ('song', 'artist', 'album')),
    key text COLLATE "C" NOT NULL,
    PRIMARY KEY (batch_id, kind, key)
);

-- Gold.
CREATE TABLE music.gold_song_details (
    song_key text COLLATE "C" PRIMARY KEY,
    title text,
    artist text,
    artists text[] NOT NULL,
    artist_key text COLLATE "C",
    album text,
    album_key text COLLATE "C",
    genre text,
    year smallint,
    duration double precision,
    tempo double precision,
    loudness double precision,
    key smallint,
    mode smallint,
    time_signature smallint,
    song_hotttnesss double precision,
    track_ids text[] NOT NULL,
    lyrics_status text NOT NULL,
    has_lyrics boolean NOT NULL,
    row_hash text NOT NULL  -- over all other columns and the lyrics
);
CREATE INDEX gold_song_details_artist ON music.gold_song_details (artist_key);
CREATE INDEX gold_song_details_album ON music.gold_song_details (album_key);
CREATE TABLE music.gold_artist_performance (
    artist_key text COLLATE "C" PRIMARY KEY,
    artist text,
    songs integer NOT NULL,
    average_tempo double precision,
    average_loudness double precision,
    total_duration double precision
);
CREATE TABLE music.gold_album_performance (
    album_key text COLLATE "C" PRIMARY KEY,
    album text,
    artists text[] NOT NULL,
    songs integer NOT NULL,
    average_duration double precision
);
CREATE TABLE music.gold_genre_by_year (
    genre text NOT NULL,
    year smallint NOT NULL,  -- 0 for unknown
    songs integer NOT NULL,
    average_tempo double precision,
    average_loudness double precision,
    PRIMARY KEY (genre, year)
);
CREATE TABLE music.gold_tempo_key_profile (
    key smallint NOT NULL,
    mode smallint NOT NULL,
    tempo_from smallint NOT NULL,  -- bins of 10 beats per minute, left-closed
    songs integer NOT NULL,
    average_loudness double precision,
    PRIMARY KEY (key, mode, tempo_from)
);
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute("DROP SCHEMA music CASCADE")
