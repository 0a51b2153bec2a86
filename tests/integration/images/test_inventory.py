"""The inventory through its job: one row per product, whatever its file is."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path

import pytest
from PIL import Image

from assets.images.pipeline import CATALOGUE, INVENTORY
from samples import images as samples
from tests.integration.images.landings import Landings, checks, metadata

pytestmark = pytest.mark.servers("postgres", "s3")


def image(kind: str = "JPEG", size: tuple[int, int] = (30, 40), colour: str = "red") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, kind)
    return buffer.getvalue()


@pytest.fixture
def landings(env):
    return Landings(env)


def held(landings: Landings) -> dict[int, tuple[object, ...]]:
    rows = landings.rows(
        "SELECT product_id, key, status, format, width, height, mode, content, size"
        " FROM images.image ORDER BY product_id"
    )
    return {row.pop("product_id"): tuple(row.values()) for row in rows}


def digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def test_an_image_of_every_format_is_a_row(landings):
    jpeg, png, webp = image(), image("PNG"), image("WEBP")
    landings.images({"1.jpg": jpeg, "0002.PNG": png, "deep/er/3.webp": webp, "4.JPEG": jpeg})
    said = (30, 40, "RGB")
    assert held(landings) == {
        1: ("images/1.jpg", "ok", "JPEG", *said, digest(jpeg), len(jpeg)),
        2: ("images/0002.PNG", "ok", "PNG", *said, digest(png), len(png)),
        3: ("images/deep/er/3.webp", "ok", "WEBP", *said, digest(webp), len(webp)),
        4: ("images/4.JPEG", "ok", "JPEG", *said, digest(jpeg), len(jpeg)),
    }
    (row,) = landings.rows(
        "SELECT i.version = v.version AND i.modified_at = v.modified_at AS same,"
        " i.ingested_at = v.seen_at AS seen FROM images.image i"
        " JOIN landing.object_version v USING (key) WHERE i.product_id = 1"
    )
    assert row == {"same": True, "seen": True}


def test_what_cannot_be_worked_on_is_a_row_that_says_why(landings, monkeypatch):
    monkeypatch.setenv("IMAGES_MOST_BYTES", "3000")
    monkeypatch.setenv("IMAGES_MOST_PIXELS", "10000")
    jpeg = image()
    result = landings.images({
        "1.jpg": jpeg, "2.jpg": jpeg[: len(jpeg) // 2], "3.jpg": b"<!DOCTYPE html><p>404</p>",
        "4.jpg": b"", "5.jpg": jpeg + bytes(4_000), "6.png": image("PNG", (200, 100)),
        "7.png": jpeg,
    })  # fmt: skip
    found = landings.rows(
        "SELECT product_id, status, detail, format, width, content IS NULL AS unread"
        " FROM images.image ORDER BY 1"
    )
    assert [(row["product_id"], row["status"]) for row in found] == [
        (1, "ok"), (2, "corrupt"), (3, "unsupported"), (4, "corrupt"), (5, "too_large"),
        (6, "too_large"), (7, "ok"),
    ]  # fmt: skip
    assert all(bool(row["detail"]) == (row["status"] != "ok") for row in found)
    assert [row["product_id"] for row in found if row["unread"]] == [5], "too large to be fetched"
    assert found[6]["format"] == "JPEG", "by content, not by name"
    assert (found[5]["width"], found[5]["detail"]) == (200, "200x100 pixels, 10,000 at most")
    shown = metadata(result, "image_inventory")
    assert {name: shown[f"status_{name}"] for name in ("ok", "corrupt", "too_large")} == {
        "ok": 2, "corrupt": 2, "too_large": 2,
    }  # fmt: skip
    assert "images/3.jpg" in shown["not_to_be_worked_on"]
    assert all(checks(result).values())
    assert landings.counts(INVENTORY)["rejected"] == 0


def test_what_is_called_otherwise_is_passed_over(landings):
    good = {"1.jpg": image()}
    others = dict.fromkeys(
        ["logo.png", "1.gif", "1-2.jpg", "-1.jpg", "1.jpg.tmp", "1234567890123456789.jpg", "1"],
        image(),
    )
    landings.images({**good, **others})
    assert set(held(landings)) == {1}
    assert landings.value("SELECT count(*) FROM landing.object_version") == 1


def test_a_rewritten_image_updates_its_row_and_another_look_changes_nothing(landings):
    landings.images({"1.jpg": image(), "2.jpg": image()})
    before = landings.rows("SELECT product_id, xmin::text FROM images.image ORDER BY 1")
    red, blue = held(landings)[1], image(colour="blue")
    assert landings.tick(INVENTORY) == ()
    landings.images({"1.jpg": blue})
    after = landings.rows("SELECT product_id, xmin::text FROM images.image ORDER BY 1")
    assert [row["product_id"] for row in after] == [1, 2]
    assert (after[0] != before[0], after[1] == before[1]) == (True, True)
    assert held(landings)[1] == (*red[:6], digest(blue), len(blue))
    batch = landings.value("SELECT max(batch_id) FROM landing.batch")
    held_before = held(landings)
    assert landings.backfill(INVENTORY, batch).success
    assert held(landings) == held_before


@pytest.mark.parametrize("apart", [False, True], ids=["in one batch", "in two"])
def test_of_two_images_of_a_product_the_later_one_stands_for_it(landings, apart):
    if apart:
        landings.images({"1.png": image("PNG")})
        landings.images({"1.jpg": image()})
    else:
        landings.put({"images/1.png": image("PNG"), "images/1.jpg": image()})
        (request,) = landings.tick(INVENTORY)
        # In one listing, in the order of keys.
        landings.run(INVENTORY, request)
    (row,) = held(landings).values()
    later = landings.value("SELECT key FROM landing.object_version ORDER BY seq DESC LIMIT 1")
    assert row[0] == later
    counts = landings.counts(INVENTORY)
    # One that stood for the product until the other came was written.
    assert (counts["written"], counts["superseded"]) == ((2, 0) if apart else (1, 1))
    assert landings.value("SELECT count(*) FROM images.image_replaced") == int(apart)


def test_an_image_that_is_gone_before_it_is_read_is_noticed_and_the_others_are_not_held_up(
    landings,
):
    landings.put({f"images/{number}.jpg": image() for number in range(1, 200)})
    (request,) = landings.tick(INVENTORY)
    store = landings.store()
    store.delete("images/77.jpg")
    landings.put({"images/78.jpg": image(colour="blue")})
    assert landings.run(INVENTORY, request).success
    assert set(held(landings)) == set(range(1, 200)) - {77, 78}
    outcomes = landings.rows(
        "SELECT key, outcome FROM landing.object_version WHERE outcome <> 'loaded' ORDER BY key"
    )
    assert [(row["key"], row["outcome"]) for row in outcomes] == [
        ("images/77.jpg", "gone"), ("images/78.jpg", "superseded"),
    ]  # fmt: skip
    (request,) = landings.tick(INVENTORY)
    assert landings.run(INVENTORY, request).success
    assert 78 in held(landings)


def test_both_landings_stay_apart(landings, tmp_path):
    """Equal keys in two kinds of records, in one ledger."""
    made = samples.write(tmp_path, 150)
    landings.put({
        samples.CATALOGUE_FILE: (tmp_path / samples.CATALOGUE_FILE).read_bytes(),
        **{
            f"images/{path.name}": path.read_bytes()
            for path in (tmp_path / samples.IMAGES_FOLDER).iterdir()
        },
    })  # fmt: skip
    for _ in range(2):
        for files in (CATALOGUE, INVENTORY):
            for request in landings.tick(files):
                assert landings.run(files, request).success
    assert len(landings.rows("SELECT FROM images.product")) == made.products
    statuses = landings.rows("SELECT status, count(*) AS n FROM images.image GROUP BY 1")
    assert {row["status"]: row["n"] for row in statuses} == made.images
    formats = landings.rows(
        "SELECT format, count(*) AS n FROM images.image WHERE status = 'ok' GROUP BY 1"
    )
    assert {row["format"]: row["n"] for row in formats} == made.formats
    assert landings.value("SELECT count(*) FROM images.image WHERE mode = 'L'") == made.grey
    strangers = landings.value(
        "SELECT count(*) FROM images.image i WHERE NOT EXISTS"
        " (SELECT FROM images.product p WHERE p.id = i.product_id)"
    )
    assert strangers == made.images_of_no_product
    for name, request in samples.REQUESTS.items():
        filters = {key: value for key, value in request.items() if key in samples.Product._fields}
        where = " AND ".join(f"{key} = %s" for key in filters)
        found = landings.rows(
            "SELECT count(*)::int AS matching,"
            " (count(*) FILTER (WHERE status = 'ok'))::int AS usable"
            " FROM images.product LEFT JOIN images.image ON product_id = id"
            f" WHERE {where or 'TRUE'}",
            *filters.values(),
        )
        assert found == [made.requests[name]]
    ids = landings.rows("SELECT source, count(*) AS n FROM landing.batch GROUP BY 1 ORDER BY 1")
    assert ids == [
        {"source": "images_catalogue_minio", "n": 1}, {"source": "images_inventory_minio", "n": 1},
    ]  # fmt: skip
    assert all(landings.audit().values())


def test_a_store_that_fails_fails_the_run_and_the_next_one_makes_it_good(landings, monkeypatch):
    from landing.stores.minio import MinioStore

    landings.put({f"images/{number}.jpg": image() for number in range(1, 40)})
    (request,) = landings.tick(INVENTORY)
    real = MinioStore.open

    def fails(store, version):
        if version.key == "images/30.jpg":
            raise ConnectionError("connection reset")
        return real(store, version)

    with monkeypatch.context() as patched:
        patched.setattr(MinioStore, "open", fails)
        assert not landings.run(INVENTORY, request, raises=False).success
    assert held(landings) == {}
    assert landings.run(INVENTORY, request).success
    assert len(held(landings)) == 39


@pytest.mark.skipif("QUINTET_DATA_DIR" not in os.environ, reason="QUINTET_DATA_DIR is not set")
def test_the_2000_real_images(landings):
    folder = Path(os.environ["QUINTET_DATA_DIR"]) / "products"
    landings.catalogue((folder / "styles.csv").read_bytes())
    files = {path.name: path.read_bytes() for path in (folder / "images").iterdir()}
    result = landings.images(files)
    modes = landings.rows(
        "SELECT status, format, mode, count(*) AS n FROM images.image GROUP BY 1, 2, 3 ORDER BY 4"
    )
    assert [tuple(row.values()) for row in modes] == [
        ("ok", "JPEG", "L", 15), ("ok", "JPEG", "RGB", 1_985),
    ]  # fmt: skip
    assert landings.value("SELECT count(*) FROM images.image WHERE (width, height) = (60, 80)") == (
        2_000
    )
    hashes = {row["key"]: row["content"] for row in landings.rows("SELECT * FROM images.image")}
    assert hashes == {f"images/{name}": digest(data) for name, data in files.items()}
    with_image = landings.value(
        "SELECT count(*) FROM images.product JOIN images.image ON product_id = id"
        " WHERE gender = 'Men' AND season = 'Fall' AND year = 2010"
    )
    assert with_image == 22
    assert metadata(result, "image_inventory")["mode_l"] == 15
