"""Gold tables without their prefix: Dagster cut their names in the middle, until two looked alike.

Revision ID: 0006
Revises: 0005
"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

NAMES = (
    "song_details",
    "artist_performance",
    "album_performance",
    "genre_by_year",
    "tempo_key_profile",
)

# Postgres leaves what is named after a table as it is. A constraint takes its index along.
RENAME = """
DO $$
DECLARE one record;
BEGIN
    FOR one IN
        SELECT conname FROM pg_constraint
        WHERE conrelid = 'music.{old}'::regclass AND starts_with(conname, '{old}_')
    LOOP
        EXECUTE format('ALTER TABLE music.{old} RENAME CONSTRAINT %I TO %I',
            one.conname, '{new}' || substr(one.conname, length('{old}') + 1));
    END LOOP;
    FOR one IN
        SELECT indexname FROM pg_indexes
        WHERE schemaname = 'music' AND tablename = '{old}' AND starts_with(indexname, '{old}_')
    LOOP
        EXECUTE format('ALTER INDEX music.%I RENAME TO %I',
            one.indexname, '{new}' || substr(one.indexname, length('{old}') + 1));
    END LOOP;
END $$;
ALTER TABLE music.{old} RENAME TO {new};
UPDATE landing.batch_sink AS s SET sink = '{new}' FROM landing.batch AS b
WHERE b.batch_id = s.batch_id AND b.pipeline = 'music' AND s.sink = '{old}';
"""


def upgrade() -> None:
    for name in NAMES:
        op.execute(RENAME.format(old=f"gold_{name}", new=name))


def downgrade() -> None:
    for name in NAMES:
        op.execute(RENAME.format(old=name, new=f"gold_{name}"))
