"""The images pipeline: products, their images, and the current records of both.

Revision ID: 0010
Revises: 0009
"""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

UPGRADE = """
CREATE SCHEMA images;

-- Which row of which file says what a product is, and which object is its image.
CREATE TABLE images.product_record (
    key text COLLATE "C" PRIMARY KEY,
    event_time timestamptz NOT NULL,
    seq bigint NOT NULL,
    row_hash text NOT NULL,
    batch_id text COLLATE "C" NOT NULL
);
CREATE TABLE images.product_replaced (
    batch_id text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    event_time timestamptz NOT NULL,
    PRIMARY KEY (batch_id, key)
);
CREATE INDEX product_replaced_key ON images.product_replaced (key);

CREATE TABLE images.image_record (LIKE images.product_record INCLUDING ALL);
CREATE TABLE images.image_replaced (LIKE images.product_replaced INCLUDING ALL);

CREATE TABLE images.product (
    id bigint PRIMARY KEY,
    gender text COLLATE "C",
    master_category text COLLATE "C",
    sub_category text COLLATE "C",
    article_type text COLLATE "C",
    base_colour text COLLATE "C",
    season text COLLATE "C",
    year smallint,
    usage text COLLATE "C",
    product_display_name text,
    -- Its name came with commas that were not quoted.
    repaired boolean NOT NULL,
    row_hash text NOT NULL,
    ingested_at timestamptz NOT NULL
);
-- Filters combine any of these columns: Postgres ANDs the indexes' bitmaps. Equal values share an
-- entry, so that each index takes some 7 bytes a row.
CREATE INDEX product_gender ON images.product (gender);
CREATE INDEX product_master_category ON images.product (master_category);
CREATE INDEX product_sub_category ON images.product (sub_category);
CREATE INDEX product_article_type ON images.product (article_type);
CREATE INDEX product_base_colour ON images.product (base_colour);
CREATE INDEX product_year_season ON images.product (year, season);
CREATE INDEX product_season ON images.product (season);
CREATE INDEX product_usage ON images.product (usage);

CREATE TABLE images.image (
    product_id bigint PRIMARY KEY,
    key text COLLATE "C" NOT NULL,
    version text COLLATE "C" NOT NULL,
    modified_at timestamptz NOT NULL,
    size bigint NOT NULL,
    format text,
    width integer,
    height integer,
    mode text,
    -- BLAKE2b of the file, 128 bits, hex; null where it was not read.
    content text COLLATE "C",
    status text NOT NULL CHECK (status IN ('ok', 'corrupt', 'too_large', 'unsupported')),
    detail text,
    row_hash text NOT NULL,
    ingested_at timestamptz NOT NULL
);
-- Few images cannot be worked on; whoever asks for those asks for them alone.
CREATE INDEX image_not_ok ON images.image (status) WHERE status <> 'ok';
"""


def upgrade() -> None:
    op.execute(UPGRADE)


def downgrade() -> None:
    op.execute("DROP SCHEMA images CASCADE")
