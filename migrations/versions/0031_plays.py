"""Plays of songs by listeners: facts of the files that say so, and gold of them.

Revision ID: 0031
Revises: 0030
"""

from __future__ import annotations

from alembic import op

revision = "0031"
down_revision = "0030"
branch_labels = None
depends_on = None

UPGRADE = """
CREATE TABLE music.play_file (
    file_id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    record_key text COLLATE "C" NOT NULL UNIQUE,
    row_hash text NOT NULL,
    seq bigint NOT NULL,
    source text NOT NULL,
    pairs bigint NOT NULL,
    loaded_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TRIGGER stamp BEFORE UPDATE ON music.play_file
    FOR EACH ROW EXECUTE FUNCTION music.stamp();

-- No stamps: they are the file's, and there are tens of millions of rows.
CREATE TABLE music.fact_play (
    user_id text COLLATE "C" NOT NULL,
    song_id text COLLATE "C" NOT NULL,
    plays integer NOT NULL,
    file_id integer NOT NULL,
    PRIMARY KEY (user_id, song_id, file_id)
);
CREATE INDEX fact_play_song ON music.fact_play (song_id);
-- A file's rows lie beside each other.
CREATE INDEX fact_play_file ON music.fact_play USING brin (file_id);

-- Of one listener and song the newest file counts.
CREATE VIEW music.counted_play AS
SELECT p.user_id, p.song_id, p.plays, p.file_id
FROM music.fact_play AS p JOIN music.play_file AS f USING (file_id)
WHERE NOT EXISTS (
    SELECT FROM music.fact_play AS o JOIN music.play_file AS n USING (file_id)
    WHERE o.user_id = p.user_id AND o.song_id = p.song_id
      AND (n.seq, n.file_id) > (f.seq, f.file_id));

-- The song that an id stands for: itself, or what it matches or became part of.
CREATE VIEW music.song_of_id AS
SELECT m.own_key AS song_id, m.song_key
FROM music.song_match AS m JOIN music.fact_song AS s USING (song_key)
UNION ALL
SELECT r.old_key, r.song_key
FROM music.song_redirect AS r JOIN music.fact_song AS s USING (song_key)
WHERE NOT EXISTS (SELECT FROM music.song_match AS m WHERE m.own_key = r.old_key)
UNION ALL
SELECT s.song_key, s.song_key FROM music.fact_song AS s
WHERE NOT EXISTS (SELECT FROM music.song_match AS m WHERE m.own_key = s.song_key)
  AND NOT EXISTS (SELECT FROM music.song_redirect AS r WHERE r.old_key = s.song_key);

ALTER TABLE music.touched DROP CONSTRAINT touched_kind_check;
ALTER TABLE music.touched ADD CONSTRAINT touched_kind_check
    CHECK (kind IN ('song', 'artist', 'album', 'plays'));

CREATE TABLE music.song_plays (
    song_key text COLLATE "C" PRIMARY KEY,
    plays bigint NOT NULL,
    listeners bigint NOT NULL,
    loaded_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE music.artist_plays (
    artist_key text COLLATE "C" PRIMARY KEY,
    artist text,
    songs integer NOT NULL,
    plays bigint NOT NULL,
    listeners bigint NOT NULL,
    loaded_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE TRIGGER stamp BEFORE UPDATE ON music.song_plays
    FOR EACH ROW EXECUTE FUNCTION music.stamp();
CREATE TRIGGER stamp BEFORE UPDATE ON music.artist_plays
    FOR EACH ROW EXECUTE FUNCTION music.stamp();
"""

DOWNGRADE = """
DROP TABLE music.artist_plays, music.song_plays;
DELETE FROM music.touched WHERE kind = 'plays';
ALTER TABLE music.touched DROP CONSTRAINT touched_kind_check;
ALTER TABLE music.touched ADD CONSTRAINT touched_kind_check
    CHECK (kind IN ('song', 'artist', 'album'));
DROP VIEW music.song_of_id, music.counted_play;
DROP TABLE music.fact_play, music.play_file;
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
