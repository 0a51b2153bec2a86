"""Records are ordered by the arrival of their object versions; versions may be current again.

Revision ID: 0014
Revises: 0013
"""

from __future__ import annotations

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None

#: Every pipeline's tables of current records, also those that no migration made.
_RECORD_TABLES = """
SELECT table_schema, table_name FROM information_schema.columns
WHERE (table_name = 'record' OR table_name LIKE '%\\_record')
    AND column_name IN ('key', 'event_time', 'seq', 'row_hash', 'batch_id')
GROUP BY 1, 2 HAVING count(*) = 5
"""

UPGRADE = f"""
-- Whether the ledger knew another version of its key when it was recorded: only such a one can be
-- the newer of two.
ALTER TABLE landing.object_version ADD COLUMN key_known boolean NOT NULL DEFAULT false;
UPDATE landing.object_version v SET key_known = true
WHERE EXISTS (SELECT FROM landing.object_version o
    WHERE (o.store, o.bucket, o.key) = (v.store, v.bucket, v.key) AND o.seq < v.seq);
-- Versions that may have to be opened again when they are listed: few among all.
CREATE INDEX object_version_lapsed
    ON landing.object_version (store, bucket, key, version, occurrence)
    WHERE outcome IN ('gone', 'superseded');
CREATE INDEX object_version_rewritten ON landing.object_version (store, bucket, key, seq)
    WHERE key_known;

-- Current records that neither its staging nor its objects give any more, when last looked for.
ALTER TABLE landing.batch ADD COLUMN records_lost bigint NOT NULL DEFAULT 0;

-- Objects put into a landing bucket from quarantine, noted before they are: their versions are
-- ordered as the one that the rejects came from. An empty version stands for any of the key.
CREATE TABLE landing.put_back (
    store text NOT NULL,
    bucket text NOT NULL,
    key text COLLATE "C" NOT NULL,
    version text NOT NULL DEFAULT '',
    of_seq bigint NOT NULL REFERENCES landing.object_version,
    order_at bigint NOT NULL,
    order_seq bigint NOT NULL,
    noted_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (store, bucket, key, version)
);

-- All current records of a batch and version were said again, by a version of this order.
CREATE TABLE landing.said_again (
    batch_id text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    order_at bigint NOT NULL,
    order_seq bigint NOT NULL,
    said_seq bigint NOT NULL,
    PRIMARY KEY (batch_id, seq)
);

DO $$
DECLARE one record;
BEGIN
    FOR one IN {_RECORD_TABLES} LOOP
        EXECUTE format('ALTER TABLE %1$I.%2$I ADD COLUMN order_at bigint NOT NULL DEFAULT 0,'
            ' ADD COLUMN order_seq bigint NOT NULL DEFAULT 0,'
            ' ADD COLUMN said_seq bigint NOT NULL DEFAULT 0', one.table_schema, one.table_name);
        EXECUTE format('UPDATE %1$I.%2$I r SET order_at = coalesce(v.order_at, v.arrived),'
            ' order_seq = coalesce(v.order_seq, v.seq), said_seq = v.seq'
            ' FROM landing.object_version v WHERE v.seq = r.seq',
            one.table_schema, one.table_name);
        EXECUTE format('CREATE INDEX %3$I ON %1$I.%2$I (batch_id, seq)',
            one.table_schema, one.table_name, one.table_name || '_batch');
    END LOOP;
END $$;
"""

DOWNGRADE = f"""
DO $$
DECLARE one record;
BEGIN
    FOR one IN {_RECORD_TABLES} LOOP
        EXECUTE format('DROP INDEX %1$I.%2$I', one.table_schema, one.table_name || '_batch');
        EXECUTE format('ALTER TABLE %1$I.%2$I DROP COLUMN order_at,'
            ' DROP COLUMN order_seq, DROP COLUMN said_seq',
            one.table_schema, one.table_name);
    END LOOP;
END $$;
DROP TABLE landing.said_again;
DROP TABLE landing.put_back;
DROP INDEX landing.object_version_rewritten;
DROP INDEX landing.object_version_lapsed;
ALTER TABLE landing.batch DROP COLUMN records_lost;
ALTER TABLE landing.object_version DROP COLUMN key_known;
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute(DOWNGRADE)
