"""What a product must be, and what of the real file becomes of it."""

from __future__ import annotations

import gzip
import io
import os
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from assets.images.catalogue.rules import COLUMNS, NAMES, STAGED, read_products
from landing.arrival.identity import ObjectVersion
from landing.batch.chunks import Chunk, UnreadableObject
from samples import images as samples

VERSION = ObjectVersion("minio", "products", "styles.csv", "v", 1, datetime(2026, 1, 1, tzinfo=UTC))
HEADER = ",".join(NAMES)
GOOD = "7,Men,Apparel,Topwear,Shirts,Blue,Fall,2011,Casual,A Shirt"


def read(text: str | bytes) -> Chunk:
    data = text if isinstance(text, bytes) else f"{HEADER}\n{text}\n".encode()
    chunks = list(read_products(io.BytesIO(data), VERSION))
    return Chunk(
        pl.concat([chunk.accepted for chunk in chunks]),
        pl.concat([chunk.rejected for chunk in chunks]),
    )


def one(text: str) -> dict[str, object]:
    found = read(text)
    assert found.rejected.is_empty()
    return found.accepted.row(0, named=True)


def test_a_row_is_typed_and_has_all_that_is_staged():
    found = read(GOOD)
    assert found.accepted.columns == [*COLUMNS, "line", "text", "repaired", "row_hash"]
    assert set(STAGED) <= set(found.accepted.columns)
    assert found.accepted.select(COLUMNS).row(0) == (
        "7", "Men", "Apparel", "Topwear", "Shirts", "Blue", "Fall", 2011, "Casual", "A Shirt",
    )  # fmt: skip
    assert found.accepted.schema["year"] == pl.Int16


@pytest.mark.parametrize("value", ["", " ", "NA", " NA "])
def test_what_is_not_said_is_unknown_in_every_column(value):
    row = one(",".join(["7", *[value] * 9]))
    assert [row[name] for name in COLUMNS[1:]] == [None] * 9


@pytest.mark.parametrize("value", ["na", "N/A", "NAB", "None", "Nude"])
def test_only_the_literal_is(value):
    assert one(GOOD.replace("Blue", value))["base_colour"] == value


def test_white_space_at_the_edges_goes():
    row = one(" 007 , Men,Apparel ,Topwear,Shirts,Blue,Fall, 2011 ,Casual,\tA  Shirt ")
    values = [row[name] for name in ("id", "gender", "master_category", "year")]
    assert values == ["7", "Men", "Apparel", 2011]
    assert row["product_display_name"] == "A  Shirt"


@pytest.mark.parametrize(
    ("row", "reason", "detail"),
    [
        (GOOD.replace("7", "", 1), "missing_id", None),
        (GOOD.replace("7", "NA", 1), "missing_id", None),
        (GOOD.replace("7", "x7", 1), "bad_id", "x7"),
        (GOOD.replace("7", "-7", 1), "bad_id", "-7"),
        (GOOD.replace("7", "7.0", 1), "bad_id", "7.0"),
        (GOOD.replace("7", "\u0667", 1), "bad_id", "\u0667"),
        (GOOD.replace("7", "9223372036854775808", 1), "bad_id", "9223372036854775808"),
        (GOOD.replace("2011", "2O11"), "bad_year", "2O11"),
        (GOOD.replace("2011", "11"), "bad_year", "11"),
        (GOOD.replace("2011", "99999999"), "bad_year", "99999999"),
        (GOOD.replace("A Shirt", "x" * 501), "value_too_long", None),
        ("7,Men,Apparel", "too_few_fields", "3 fields, expected 10"),
    ],
)
def test_a_row_that_is_none(row, reason, detail):
    found = read(f"{row}\n{GOOD}")
    assert found.rejected.select("line", "reason", "detail", "text").rows() == [
        (2, reason, detail, row)
    ]
    assert found.accepted["id"].to_list() == ["7"]


def test_the_largest_id_is_one():
    assert one(GOOD.replace("7", "9223372036854775807", 1))["id"] == "9223372036854775807"


def test_a_file_may_be_compressed_and_its_columns_stand_in_any_order():
    names = [*reversed(NAMES)]
    values = [*reversed(GOOD.split(","))]
    text = f"{','.join(names)}\n{','.join(values)}\n".encode()
    assert (
        read(gzip.compress(text))
        .accepted.select(COLUMNS)
        .equals(read(GOOD).accepted.select(COLUMNS))
    )


def test_another_header_is_no_catalogue():
    with pytest.raises(UnreadableObject) as caught:
        read(HEADER.replace("usage", "use").encode() + b"\n" + GOOD.encode())
    assert caught.value.reason == "bad_header"
    assert caught.value.detail == "missing: usage"


def test_the_hash_tells_what_a_product_is_and_nothing_else():
    def hashes(*rows: str) -> list[str]:
        return read("\n".join(rows)).accepted["row_hash"].to_list()

    spelled = hashes(GOOD, GOOD.replace("7,", "07, "), GOOD.replace("A Shirt", '"A Shirt"'))
    assert len(set(spelled)) == 1
    others = hashes(
        GOOD, GOOD.replace("Blue", "NA"), GOOD.replace("A Shirt", "A,Shirt"),
        GOOD.replace("A Shirt", '"A,Shirt"'),
    )  # fmt: skip
    assert len(set(others)) == 4, "that it was repaired is told, too"


def test_the_samples_are_what_their_manifest_says(tmp_path):
    made = samples.write(tmp_path, 300, seed=3)
    found = read((tmp_path / samples.CATALOGUE_FILE).read_bytes())
    reasons = dict(found.rejected["reason"].value_counts().iter_rows())
    assert reasons == {code: n for code, n in made.rejected.items() if code != "duplicate_id"}
    products = found.accepted.unique("id", keep="last", maintain_order=True)
    assert len(found.accepted) == made.products + made.rejected["duplicate_id"]
    assert products["repaired"].sum() == made.repaired
    assert {name: products[name].null_count() for name in COLUMNS} == made.unknown
    assert dict(sorted(products["gender"].value_counts().iter_rows())) == made.genders


def test_samples_are_made_again_by_the_same_seed_only(tmp_path):
    def files(name: str, seed: int) -> dict[str, bytes]:
        samples.write(tmp_path / name, 130, seed)
        return {
            str(path.relative_to(tmp_path / name)): path.read_bytes()
            for path in (tmp_path / name).rglob("*.*")
        }

    assert files("a", 1) == files("b", 1) != files("c", 2)


@pytest.mark.skipif("QUINTET_DATA_DIR" not in os.environ, reason="QUINTET_DATA_DIR is not set")
def test_the_real_file():
    path = Path(os.environ["QUINTET_DATA_DIR"]) / "products" / "styles.csv"
    found = read(path.read_bytes())
    assert found.rejected.is_empty()
    assert len(found.accepted) == found.accepted["id"].n_unique() == 44_446
    assert found.accepted["repaired"].sum() == 22
    name = found.accepted.filter(pl.col("id") == "44065")["product_display_name"].item()
    assert name == "Boss Men Perfume, After Shave Balm and Shower Gel Set"
    name = found.accepted.filter(pl.col("id") == "7491")["product_display_name"].item()
    assert name == "Nike Women's EM Tempo 3.5\" Pink Short"
