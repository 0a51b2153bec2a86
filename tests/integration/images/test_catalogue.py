"""The catalogue through its job: from files on MinIO to a table, counted by plain code."""

from __future__ import annotations

import csv
import gzip
import os
from collections import Counter
from pathlib import Path

import pytest

from assets.images.pipeline import CATALOGUE
from samples import images as samples
from tests.integration.images.landings import Landings, checks, metadata

pytestmark = pytest.mark.servers("postgres", "s3")

HEADER = ",".join(samples.HEADER)
SHIRT = "7,Men,Apparel,Topwear,Shirts,Blue,Fall,2011,Casual,A Shirt"
WATCH = "8,Women,Accessories,Watches,Watches,NA,,2012,NA,A Watch"


@pytest.fixture
def landings(env):
    return Landings(env)


def text(*rows: str) -> bytes:
    return "\n".join([HEADER, *rows, ""]).encode()


def products(landings: Landings) -> dict[int, tuple[object, ...]]:
    rows = landings.rows(
        "SELECT id, gender, master_category, sub_category, article_type, base_colour, season,"
        " year, usage, product_display_name, repaired FROM images.product"
    )
    return {row.pop("id"): tuple(row.values()) for row in rows}


def test_samples_land_as_their_manifest_says(landings, tmp_path):
    made = samples.write(tmp_path, 300)
    result = landings.catalogue((tmp_path / samples.CATALOGUE_FILE).read_bytes())
    assert all(checks(result).values()), "two rejects in a hundred are few enough"
    bad = sum(made.rejected.values())
    assert landings.counts(CATALOGUE) == {
        "read": made.products + bad, "written": made.products, "unchanged": 0, "superseded": 0,
        "rejected": bad,
    }  # fmt: skip
    shown = metadata(result, "product_catalog")
    assert (shown["products"], shown["products_repaired"], shown["rows_repaired"]) == (
        made.products, made.repaired, made.repaired,
    )  # fmt: skip
    for name in ("base_colour", "season", "year", "usage"):
        assert shown[f"unknown_{name}"] == made.unknown[name], name
    assert shown["products_by_category_and_season"].startswith("![products per master category")
    assert metadata(result, "catalogue_rows")["rejected_by_reason"] == made.rejected
    (found,) = landings.rows("SELECT reasons, rows FROM landing.quarantine")
    assert (found["reasons"], found["rows"]) == (made.rejected, bad)
    first = landings.value("SELECT product_display_name FROM images.product WHERE id = 1000")
    assert "Superseded" not in first


def test_the_same_file_again_changes_nothing_and_a_new_version_updates(landings):
    landings.catalogue(text(SHIRT, WATCH))
    assert products(landings) == {
        7: ("Men", "Apparel", "Topwear", "Shirts", "Blue", "Fall", 2011, "Casual", "A Shirt",
            False),
        8: ("Women", "Accessories", "Watches", "Watches", None, None, 2012, None, "A Watch",
            False),
    }  # fmt: skip
    seen = landings.rows("SELECT id, xmin::text FROM images.product ORDER BY id")

    landings.catalogue(text(SHIRT, WATCH), "styles-again.csv")
    assert landings.rows("SELECT id, xmin::text FROM images.product ORDER BY id") == seen
    assert landings.counts(CATALOGUE) == {
        "read": 4, "written": 2, "unchanged": 2, "superseded": 0, "rejected": 0,
    }  # fmt: skip

    landings.catalogue(gzip.compress(text(SHIRT.replace("Blue", "Red"))), "styles.csv.gz")
    after = landings.rows("SELECT id, xmin::text FROM images.product ORDER BY id")
    assert (after[0] != seen[0], after[1] == seen[1]) == (True, True)
    assert products(landings)[7][4] == "Red"
    assert landings.rows("SELECT key FROM images.product_replaced") == [{"key": "7"}]


def test_a_backfill_writes_again_what_is_current(landings):
    landings.catalogue(text(SHIRT, WATCH))
    old = landings.value("SELECT batch_id FROM landing.batch")
    landings.catalogue(text(SHIRT.replace("Blue", "Red")))
    before = products(landings)
    result = landings.backfill(CATALOGUE, old)
    assert result.success
    assert metadata(result, "product_catalog")["rows_already_there"] == 1
    assert products(landings) == before


def test_a_file_of_another_kind_is_rejected_and_the_next_is_not(landings):
    landings.put({"styles-a.csv": b"a,b\n1,2\n", "styles-b.csv": text(SHIRT)})
    (request,) = landings.tick(CATALOGUE)
    landings.run(CATALOGUE, request)
    outcomes = landings.rows("SELECT key, outcome FROM landing.object_version ORDER BY key")
    assert [row["outcome"] for row in outcomes] == ["rejected", "loaded"]
    assert set(products(landings)) == {7}


def test_the_audit_finds_rows_that_break_what_the_table_declares(landings):
    landings.catalogue(text(SHIRT, WATCH))
    assert all(landings.audit().values())
    landings.execute("UPDATE images.product SET year = 3 WHERE id = 7")
    broken = {name for name, passed in landings.audit().items() if not passed}
    assert broken == {"product_catalog.values_in_range"}


# -- the real file -----------------------------------------------------------------------------

REAL = pytest.mark.skipif(
    "QUINTET_DATA_DIR" not in os.environ, reason="QUINTET_DATA_DIR is not set"
)


def plainly(path: Path) -> list[list[str | None]]:
    """The file as Python's csv module has it, joined by hand."""
    with path.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.reader(stream))[1:]
    joined = [[*row[:9], ",".join(row[9:])] for row in rows]
    return [
        [None if value.strip() in ("", "NA") else value.strip() for value in row] for row in joined
    ]


@REAL
def test_the_real_file_is_there_to_the_last_product(landings):
    path = Path(os.environ["QUINTET_DATA_DIR"]) / "products" / "styles.csv"
    expected = plainly(path)
    assert len(expected) == 44_446
    result = landings.catalogue(path.read_bytes())
    assert metadata(result, "product_catalog")["rows_repaired"] == 22
    found = products(landings)
    assert found.keys() == {int(row[0] or "") for row in expected}
    for row in expected:
        ours = found[int(row[0] or "")]
        assert [None if v is None else str(v) for v in ours[:-1]] == row[1:]

    def counted(column: str) -> dict[str, int]:
        rows = landings.rows(
            f"SELECT {column} AS v, count(*) AS n FROM images.product"
            f" WHERE {column} IS NOT NULL GROUP BY 1"
        )
        return {row["v"]: row["n"] for row in rows}

    assert counted("gender") == {
        "Men": 22_165, "Women": 18_632, "Unisex": 2_164, "Boys": 830, "Girls": 655,
    }  # fmt: skip
    names = ("master_category", "sub_category", "article_type", "base_colour")
    assert [len(counted(name)) for name in names] == [7, 45, 143, 46]
    assert counted("season") == dict(Counter(row[6] for row in expected if row[6]))
    unknown = landings.rows(
        "SELECT count(*) FILTER (WHERE season IS NULL) AS season,"
        " count(*) FILTER (WHERE year IS NULL) AS year,"
        " count(*) FILTER (WHERE usage IS NULL) AS usage,"
        " count(*) FILTER (WHERE base_colour IS NULL) AS base_colour,"
        " count(*) FILTER (WHERE product_display_name IS NULL) AS name FROM images.product"
    )
    # 316 usages are NA and one is empty.
    assert unknown == [{"season": 21, "year": 1, "usage": 317, "base_colour": 15, "name": 7}]
    men = "gender = 'Men' AND season = 'Fall' AND year = 2010"
    assert landings.value(f"SELECT count(*) FROM images.product WHERE {men}") == 459
    assert landings.value(f"SELECT count(*) FROM images.product WHERE repaired AND {men}") == 0
