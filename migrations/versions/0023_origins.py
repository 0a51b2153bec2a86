"""Music's records belong to the object that tells of them.

Revision ID: 0023
Revises: 0022
"""

from __future__ import annotations

from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

UPGRADE = """
-- Whether the version was read to its end with no row rejected: it is all that its object says.
ALTER TABLE landing.object_version ADD COLUMN whole boolean;
UPDATE landing.object_version v SET whole = v.rows_rejected = 0
FROM landing.batch b
WHERE b.batch_id = v.batch_id AND b.pipeline = 'music' AND v.outcome = 'loaded';

-- How many records it took back.
ALTER TABLE landing.batch ADD COLUMN records_withdrawn bigint NOT NULL DEFAULT 0;

-- Records that an object told of, by the batch whose version of it no longer does.
CREATE TABLE music.withdrawn (
    batch_id text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    PRIMARY KEY (batch_id, key)
);

-- Keys of objects that were taken down: what is put there is rejected.
CREATE TABLE music.taken_down (
    key text COLLATE "C" PRIMARY KEY,
    why text NOT NULL,
    taken_down_at timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Keys begin with what stands for the object: landing.batch.origins.origin_of.
CREATE TEMP TABLE rekeyed AS
SELECT r.key AS old, left(encode(sha256(convert_to(v.key, 'UTF8')), 'hex'), 16) || ':' || r.key
    AS new
FROM music.record r JOIN landing.object_version v USING (seq);
CREATE UNIQUE INDEX ON rekeyed (old);
ANALYZE rekeyed;
UPDATE music.record r SET key = k.new FROM rekeyed k WHERE r.key = k.old;
UPDATE music.replaced r SET key = k.new FROM rekeyed k WHERE r.key = k.old;
UPDATE music.song_source s SET record_key = k.new FROM rekeyed k WHERE s.record_key = k.old;
UPDATE music.song_lyrics l SET source_record = k.new FROM rekeyed k WHERE l.source_record = k.old;
UPDATE music.fact_song f SET base_source = k.new FROM rekeyed k WHERE f.base_source = k.old;
UPDATE music.fact_song f SET provenance = (
    SELECT jsonb_object_agg(p.field, coalesce(k.new, p.record))
    FROM jsonb_each_text(f.provenance) AS p (field, record)
    LEFT JOIN rekeyed k ON k.old = p.record)
WHERE f.provenance <> '{}';
DROP TABLE rekeyed;

-- What is staged has the old keys: batches are read anew, from the copies that are kept.
DELETE FROM landing.staged_part p USING landing.batch b
WHERE b.batch_id = p.batch_id AND b.pipeline = 'music';
UPDATE landing.batch SET restage = true
WHERE pipeline = 'music' AND validated_at IS NOT NULL
    AND state NOT IN ('loaded', 'loaded_with_rejects');
"""

DOWNGRADE = """
-- Of records that several objects told of, the newest stays.
CREATE TEMP TABLE rekeyed AS
SELECT key AS old, substr(key, 18) AS new, row_number() OVER (
    PARTITION BY substr(key, 18) ORDER BY order_at DESC, order_seq DESC, said_seq DESC) AS place
FROM music.record;
DELETE FROM music.record r USING rekeyed k WHERE r.key = k.old AND k.place > 1;
DELETE FROM music.song_source s USING rekeyed k WHERE s.record_key = k.old AND k.place > 1;
UPDATE music.record r SET key = k.new FROM rekeyed k WHERE r.key = k.old AND k.place = 1;
UPDATE music.song_source s SET record_key = k.new FROM rekeyed k
WHERE s.record_key = k.old AND k.place = 1;
UPDATE music.song_lyrics l SET source_record = k.new FROM rekeyed k WHERE l.source_record = k.old;
UPDATE music.fact_song f SET base_source = k.new FROM rekeyed k WHERE f.base_source = k.old;
UPDATE music.fact_song f SET provenance = (
    SELECT jsonb_object_agg(p.field, coalesce(k.new, p.record))
    FROM jsonb_each_text(f.provenance) AS p (field, record)
    LEFT JOIN rekeyed k ON k.old = p.record)
WHERE f.provenance <> '{}';
DROP TABLE rekeyed;
DELETE FROM landing.staged_part p USING landing.batch b
WHERE b.batch_id = p.batch_id AND b.pipeline = 'music';
DROP TABLE music.taken_down;
DROP TABLE music.withdrawn;
ALTER TABLE landing.batch DROP COLUMN records_withdrawn;
ALTER TABLE landing.object_version DROP COLUMN whole;
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
