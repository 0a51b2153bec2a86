"""A request through its job: images and metadata per task, whatever is asked, again or anew."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import tarfile
import time
import zlib
from typing import Any

import polars as pl
import psycopg
import pytest
from PIL import Image

from assets.images import answers
from assets.images.pipeline import INVENTORY, REQUESTS
from assets.images.tasks import ending, ledger, manifest, metadata_files, results_listing
from assets.images.tasks.results_listing import FILES
from landing.batch.failures import PermanentError
from tests.hostile_images import LIMITS, corpus
from tests.integration.images.landings import checks, metadata
from tests.integration.images.task_world import HEADER, Tasks, photo, product
from tests.unit.assets.images.classifier import drawn

pytestmark = pytest.mark.servers("postgres", "s3")


@pytest.fixture
def tasks(env, monkeypatch):
    monkeypatch.setenv("IMAGES_WORKERS", "2")
    return Tasks(env)


@pytest.fixture
def stocked(tasks):
    """Six products of Men and one of Women; images of five, one of them cut off."""
    tasks.stock(
        [*(product(number) for number in range(1, 7)), product(7, gender="Women")],
        {f"{number}.jpg": photo(number) for number in (1, 2, 3, 7)}
        | {"4.png": photo(4, kind="PNG"), "5.jpg": photo(5)[:-200]},
    )
    return tasks


def test_a_request_becomes_images_metadata_and_a_result(stocked):
    task, run = stocked.ask({"gender": "Men", "year": 2010})

    assert stocked.statuses(task) == {
        1: "ok", 2: "ok", 3: "ok", 4: "ok", 5: "corrupt", 6: "missing",
    }  # fmt: skip
    made = stocked.made(task)
    assert set(made) == {"1.jpg", "2.jpg", "3.jpg", "4.jpg"}
    for data in made.values():
        with Image.open(io.BytesIO(data)) as image:
            assert (image.format, image.size) == ("JPEG", (256, 256))
    rows = {row["path"]: row for row in stocked.metadata_rows(task) if row["path"]}
    for name, data in made.items():
        assert rows[name]["digest"] == hashlib.blake2b(data, digest_size=16).hexdigest()
        assert rows[name]["bytes"] == str(len(data))
    parquet = pl.read_parquet(stocked.results.get(f"{task}/metadata.parquet"))
    assert parquet.get_column("status").to_list() == list(stocked.statuses(task).values())
    assert parquet.get_column("product_display_name")[0] == "Shirt 1"
    result = stocked.result(task)
    assert result["state"] == "done_with_skips"
    assert result["counts"] == {"ok": 4, "missing": 1, "corrupt": 1}
    assert result["requested"] == 6
    for name in ("metadata.csv", "metadata.parquet"):
        data = stocked.results.get(f"{task}/{name}")
        assert result["files"][name] == {
            "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data),
        }  # fmt: skip
    assert all(checks(run).values())
    shown = metadata(run, "task_images")
    assert (shown["items_ok"], shown["items_missing"]) == (4, 1)
    assert "data:image/jpeg;base64," in shown["contact_sheet"]
    assert "data:image/jpeg;base64," in shown["rejects_sheet"]
    assert stocked.value("SELECT state FROM landing.batch WHERE pipeline = 'images'"
                         " AND unit = %s", task) == "loaded"  # fmt: skip


def test_run_again_leaves_every_result_as_it_was(stocked):
    task, _ = stocked.ask({"gender": "Men"})
    before = stocked.listed(task)

    run = stocked.again(task)

    assert stocked.listed(task) == before
    assert metadata(run, "task_images")["rows_written"] == 4
    assert metadata(run, "task_images")["rows_already_there"] == 4


def test_the_same_request_is_the_same_task_under_any_key(stocked):
    task, _ = stocked.ask({"gender": "Men", "season": "Fall"}, "one.json")
    before = stocked.listed(task)

    again, run = stocked.ask({"season": ["Fall"], "gender": "Men"}, "two.json")

    assert again == task
    assert run.success
    assert stocked.listed(task) == before
    assert stocked.value("SELECT count(*) FROM images.image_task") == 1


def test_a_rewritten_request_is_another_task_or_replaces_the_one_of_its_name(stocked):
    first, _ = stocked.ask({"gender": "Men"}, "ask.json")
    second, _ = stocked.ask({"gender": "Women"}, "ask.json")
    assert (len(stocked.statuses(first)), len(stocked.statuses(second))) == (6, 1)

    stocked.ask({"task": "mine", "ids": [1, 2]}, "named.json")
    assert set(stocked.made("mine")) == {"1.jpg", "2.jpg"}
    named, _ = stocked.ask(
        {"task": "mine", "ids": [2, 3], "parameters": {"format": "png"}}, "named.json"
    )
    assert named == "mine"
    assert set(stocked.made("mine")) == {"2.png", "3.png"}
    assert stocked.result("mine")["counts"] == {"ok": 2}


@pytest.mark.parametrize(
    ("asked", "reason", "said"),
    [
        ({"task": "t", "colour": "Red"}, "unknown_field", "did you mean base_colour?"),
        ({"task": "t", "gender": "Man"}, "unknown_value", "did you mean Men or Women?"),
        ({"task": "t", "limit": 0}, "invalid_request", "limit"),
        (b'{"task": "t"', "not_json", "not JSON"),
        (b"", "not_json", "not JSON"),
    ],
)
def test_a_request_that_cannot_be_done_has_a_result_that_says_why(stocked, asked, reason, said):
    task, run = stocked.ask(asked)

    result = stocked.result(task)
    assert (result["state"], result["reason"]) == ("failed", reason)
    assert said in " ".join(result["problems"])
    assert run.success
    assert stocked.counts(REQUESTS) == {
        "read": 1, "written": 0, "unchanged": 0, "superseded": 0, "rejected": 1,
    }  # fmt: skip
    with psycopg.connect(stocked.env["POSTGRES_URL"]) as connection:
        found = answers.task(connection, task)
    assert (found.state, list(found.problems)) == ("failed", result["problems"])
    assert stocked.listed(task).keys() == {"result.json"}


def test_a_request_that_was_refused_is_done_when_it_is_put_again_once_the_catalogue_has_grown(
    stocked,
):
    asked = {"task": "boys", "gender": "Boys"}
    stocked.ask(asked)
    assert stocked.result("boys")["reason"] == "unknown_value"
    assert "again once the catalogue has such products" in stocked.result("boys")["remedy"]

    stocked.catalogue("\n".join((HEADER, product(9, "Boys"), "")).encode(), "styles-more.csv")
    assert stocked.tick(REQUESTS) == ()  # by itself nothing is looked at again
    time.sleep(1.1)  # times of some stores are whole seconds
    stocked.ask(asked)

    assert stocked.result("boys")["counts"] == {"missing": 1}
    assert "remedy" not in stocked.result("boys")


def test_a_refused_request_leaves_the_task_of_its_name_alone_and_a_right_one_takes_its_place(
    stocked,
):
    stocked.ask({"task": "mine", "ids": [1]})
    stocked.ask({"task": "mine", "gender": "Man"})
    assert stocked.result("mine")["state"] == "done"
    assert stocked.result("mine", "refused.json")["reason"] == "unknown_value"

    stocked.ask({"task": "other", "gender": "Man"})
    stocked.ask({"task": "other", "gender": "Women"})
    assert stocked.result("other")["counts"] == {"ok": 1}


def test_a_request_before_any_catalogue_is_tried_again(tasks):
    (request,) = tasks.request("early.json", {"gender": "Men"})

    assert not tasks.run(REQUESTS, request, raises=False).success
    tasks.stock([product(1)], {"1.jpg": photo(1)})
    assert tasks.run(REQUESTS, request).success
    assert tasks.result(request.partition_key)["counts"] == {"ok": 1}


def test_failed_items_are_done_again_once_another_image_landed_and_no_others(stocked):
    task, _ = stocked.ask({"gender": "Men"})
    before = {name: stocked.listed(task)[name] for name in stocked.made(task)}

    stocked.images({"5.jpg": photo(55), "6.jpg": photo(6), "1.jpg": photo(11)})
    stocked.again(task)

    assert set(stocked.statuses(task).values()) == {"ok"}
    assert stocked.result(task)["state"] == "done"
    now = stocked.listed(task)
    assert {name: now[name] for name in before} == before
    assert stocked.value("SELECT settled = items FROM images.image_task WHERE task_id = %s", task)


def test_results_that_were_lost_are_made_again_and_strange_ones_removed(stocked):
    task, _ = stocked.ask({"gender": "Men"})
    made = stocked.made(task)
    stocked.results.delete(f"{task}/2.jpg")
    stocked.results.put(f"{task}/3.jpg", b"another one's")
    stocked.results.put(f"{task}/999.jpg", photo(9))

    stocked.again(task)

    assert stocked.made(task) == made
    assert stocked.value("SELECT settled = items FROM images.image_task WHERE task_id = %s", task)


def test_a_copy_is_the_image_as_it_was(stocked):
    task, _ = stocked.ask({"gender": "Men", "operation": "copy"})

    assert stocked.made(task) == {
        **{f"{number}.jpg": photo(number) for number in (1, 2, 3)}, "4.png": photo(4, kind="PNG"),
    }  # fmt: skip


def test_ids_that_no_product_has_are_told_of(stocked):
    task, _ = stocked.ask({"ids": [3, 1, 10**15], "limit": 1})

    assert stocked.statuses(task) == {1: "ok", 10**15: "missing"}


def test_an_id_that_is_given_twice_is_one_item(stocked):
    task, _ = stocked.ask({"ids": [3, 3, 10**15, 10**15]})

    assert [row["id"] for row in stocked.metadata_rows(task)] == ["3", str(10**15)]
    assert stocked.result(task)["counts"] == {"ok": 1, "missing": 1}


def test_copies_that_are_asked_for_by_their_ids_are_named_by_what_they_are(stocked):
    task, _ = stocked.ask({"ids": [1, 4, 10**15], "operation": "copy"})

    assert set(stocked.made(task)) == {"1.jpg", "4.png"}


def test_an_image_of_no_product_stays_missing_until_there_is_the_product(stocked):
    stocked.images({"50.jpg": photo(50)})
    task, _ = stocked.ask({"ids": [1, 50]})
    before = stocked.listed(task)
    assert stocked.statuses(task) == {1: "ok", 50: "missing"}

    stocked.again(task)
    assert stocked.listed(task) == before

    stocked.catalogue("\n".join((HEADER, product(50), "")).encode(), "styles-more.csv")
    stocked.again(task)
    assert stocked.statuses(task) == {1: "ok", 50: "ok"}


def test_a_task_without_any_result_is_done_with_skips_and_one_without_items_done(stocked):
    nothing, _ = stocked.ask({"ids": [6]})
    assert stocked.result(nothing)["state"] == "done_with_skips"

    empty, run = stocked.ask({"gender": "Men", "year": 1999})
    result = stocked.result(empty)
    assert (result["state"], result["requested"], result["counts"]) == ("done", 0, {})
    assert stocked.metadata_rows(empty) == []
    assert all(checks(run).values())


def test_the_same_bytes_by_one_two_and_four_workers(tasks, monkeypatch):
    numbers = range(1, 61)
    tasks.stock([product(n) for n in numbers], {f"{n}.jpg": photo(n, (300, 400)) for n in numbers})
    made = []
    for workers in ("1", "2", "4"):
        monkeypatch.setenv("IMAGES_WORKERS", workers)
        task, _ = tasks.ask({"task": f"by-{workers}", "parameters": {"seed": 3, "flip": "random"}})
        made.append(tasks.made(task))

    assert len(made[0]) == 60
    assert made[0] == made[1] == made[2]
    other, _ = tasks.ask({"task": "other-seed", "parameters": {"seed": 4, "flip": "random"}})
    assert tasks.made(other) != made[0]


def test_a_cancelled_task_ends_where_it_is_and_goes_on_when_resumed(stocked):
    (request,) = stocked.request("ask.json", {"task": "mine", "gender": "Men"})
    with (
        psycopg.connect(stocked.env["POSTGRES_URL"]) as connection,
        pytest.raises(answers.UnknownTaskError),  # before its request is read
    ):
        answers.cancel(connection, "mine")
    decided = manifest.decide

    def decide_and_cancel(connection, task):
        found = decided(connection, task)
        assert answers.cancel(connection, "mine")
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest, "decide", decide_and_cancel)
        assert stocked.run(REQUESTS, request).success
    assert stocked.result("mine")["state"] == "cancelled"
    assert "metadata.csv" not in stocked.listed("mine")

    stocked.again("mine")
    assert stocked.result("mine")["state"] == "cancelled"

    with psycopg.connect(stocked.env["POSTGRES_URL"]) as connection:
        assert answers.resume(connection, "mine")
    stocked.again("mine")
    assert stocked.result("mine")["state"] == "done_with_skips"
    assert len(stocked.made("mine")) == 4


def test_webdataset_shards_hold_every_good_image_with_what_is_known_of_it(stocked):
    task, _ = stocked.ask({"gender": "Men", "webdataset": True})

    data = stocked.results.get(f"{task}/webdataset/000000.tar")
    with tarfile.open(fileobj=io.BytesIO(data)) as shard:
        held = {member.name: shard.extractfile(member).read() for member in shard}
    assert {name: held[name] for name in held if name.endswith(".jpg")} == stocked.made(task)
    assert json.loads(held["1.json"])["product_display_name"] == "Shirt 1"
    assert len(held) == 8
    assert stocked.result(task)["files"]["webdataset/000000.tar"]["bytes"] == len(data)
    before = stocked.listed(task)
    stocked.again(task)
    assert stocked.listed(task) == before


def test_hostile_files_cost_a_row_each(tasks, monkeypatch):
    monkeypatch.setenv("IMAGES_MOST_PIXELS", str(LIMITS.most_pixels))
    monkeypatch.setenv("IMAGES_MOST_BYTES", str(LIMITS.most_bytes))
    files = dict(enumerate(corpus(), start=1))
    tasks.stock(
        [product(number) for number in files],
        {f"{number}.jpg": one.data for number, one in files.items()},
    )
    task, _ = tasks.ask({"gender": "Men"})

    assert len(files) >= 40
    assert tasks.statuses(task) == {number: one.status for number, one in files.items()}
    assert sum(tasks.result(task)["counts"].values()) == len(files)


def test_an_image_that_is_gone_by_the_time_is_missing(stocked):
    stocked.store().delete("images/2.jpg")
    task, _ = stocked.ask({"gender": "Men"})

    assert stocked.statuses(task)[2] == "missing"
    stocked.images({"2.jpg": photo(2)})
    assert stocked.counts(INVENTORY)["read"] == 7
    stocked.again(task)
    assert stocked.statuses(task)[2] == "ok"


def test_predictions_that_came_late_are_in_the_metadata(stocked):
    task, run = stocked.ask({"gender": "Men", "predict": True})
    assert "no model was trained yet" in metadata(run, "task_predictions")["predictions"]
    assert {row["predicted_by"] for row in stocked.metadata_rows(task)} == {""}

    more, lines = range(100, 220), []
    for n in more:
        article, colour = drawn.product(n)
        lines.append(
            f"{n},Boys,{drawn.SHAPES[article]},Some,{article},{colour},Fall,2010,Casual,It"
        )
    stocked.catalogue("\n".join((HEADER, *lines, "")).encode(), "styles-more.csv")
    stocked.images({f"{n}.jpg": drawn.picture(n) for n in more})
    stocked.train()
    stocked.again(task)

    by = {
        row["status"]: {
            r["predicted_by"] != ""
            for r in stocked.metadata_rows(task)
            if r["status"] == row["status"]
        }
        for row in stocked.metadata_rows(task)
    }
    assert by == {"ok": {True}, "corrupt": {False}, "missing": {False}}
    before = stocked.listed(task)
    stocked.again(task)
    assert stocked.listed(task) == before


def test_a_done_task_whose_run_was_killed_while_it_found_results_lost_is_made_whole(stocked):
    task, _ = stocked.ask({"gender": "Men"})
    made = stocked.made(task)
    stocked.results.delete(f"{task}/2.jpg")
    with psycopg.connect(stocked.env["POSTGRES_URL"], autocommit=True) as connection:
        # Where a kill leaves it: the item waits, the task is done.
        assert results_listing.reconcile(connection, stocked.results, task) == (1, 0)

    stocked.again(task)

    assert stocked.made(task) == made
    assert stocked.result(task)["counts"] == {"ok": 4, "missing": 1, "corrupt": 1}
    assert set(stocked.statuses(task).values()) == {"ok", "missing", "corrupt"}


@pytest.mark.parametrize("state", ["running", "done"])
def test_a_task_does_not_end_while_items_wait(stocked, state):
    task, _ = stocked.ask({"gender": "Men"})
    before = stocked.listed(task)
    stocked.execute(
        "UPDATE images.image_task_item SET status = NULL WHERE product_id = 2;"
        f"UPDATE images.image_task SET files = NULL, state = '{state}'"
    )
    with (
        psycopg.connect(stocked.env["POSTGRES_URL"], autocommit=True) as connection,
        pytest.raises(ending.ItemsWaitError),
    ):
        ending.end(connection, stocked.results, ledger.task(connection, task))

    assert stocked.listed(task) == before
    assert stocked.value("SELECT state FROM images.image_task") == state


def test_metadata_that_was_written_before_a_kill_does_not_outlive_an_outcome(stocked):
    task, _ = stocked.ask({"gender": "Men"})
    # As a kill leaves it between the files and the task's end; then a result and its image go.
    stocked.execute("UPDATE images.image_task SET state = 'running', finished_at = NULL")
    stocked.results.delete(f"{task}/2.jpg")
    stocked.store().delete("images/2.jpg")

    stocked.again(task)

    assert stocked.statuses(task)[2] == "missing"
    assert stocked.result(task)["counts"] == {"ok": 3, "missing": 2, "corrupt": 1}


def test_cancelled_too_late_a_task_is_done_and_goes_on_when_images_land(stocked, monkeypatch):
    wrote = metadata_files.write

    def cancel_and_write(connection, store, task_id):
        assert answers.cancel(connection, task_id)
        return wrote(connection, store, task_id)

    with monkeypatch.context() as patch:
        patch.setattr(metadata_files, "write", cancel_and_write)
        task, _ = stocked.ask({"gender": "Men"})
    assert stocked.result(task)["state"] == "done_with_skips"

    stocked.images({"5.jpg": photo(5), "6.jpg": photo(6)})
    stocked.again(task)
    assert stocked.result(task)["state"] == "done"


def test_a_right_request_is_taken_also_when_a_later_one_of_its_name_was_refused_first(stocked):
    (right,) = stocked.request("right.json", {"task": "mine", "ids": [1]})
    time.sleep(1.1)  # times of some stores are whole seconds
    wrong = [
        request
        for request in stocked.request("wrong.json", {"task": "mine", "gender": "Man"})
        if request.batch_id != right.batch_id
    ]
    assert len(wrong) == 1
    stocked.run(REQUESTS, wrong[0])
    assert stocked.result("mine")["reason"] == "unknown_value"

    stocked.run(REQUESTS, right)

    assert stocked.result("mine")["counts"] == {"ok": 1}


def test_a_refused_request_does_not_keep_the_task_of_its_name_from_being_made_whole(stocked):
    task, _ = stocked.ask({"task": "mine", "gender": "Men"})
    made = stocked.made(task)
    stocked.ask({"task": "mine", "gender": "Man"})
    stocked.results.delete("mine/2.jpg")

    stocked.again(task)

    assert stocked.made(task) == made


def test_single_steps_of_a_refused_task_leave_it_as_it_is(stocked):
    task, _ = stocked.ask({"task": "t", "gender": "Man"})
    before = stocked.listed(task)
    with psycopg.connect(stocked.env["POSTGRES_URL"], autocommit=True) as connection:
        refused = ledger.task(connection, task)
        assert manifest.decide(connection, refused)[0].rows_written == 0
        assert ending.end(connection, stocked.results, refused)[0].rows_written == 0

    assert stocked.listed(task) == before
    assert stocked.value("SELECT count(*) FROM images.image_task_item") == 0


def test_copies_that_cannot_be_drawn_do_not_end_a_task(tasks):
    deep = io.BytesIO()
    Image.new("I;16", (60, 80), 30_000).save(deep, "PNG")
    clear = io.BytesIO()
    Image.new("RGBA", (60, 80), (9, 9, 9, 0)).save(clear, "PNG")
    files = {
        "1.png": with_broken_pixels(photo(1, kind="PNG")),
        "2.png": deep.getvalue(),
        "3.png": clear.getvalue(),
        "4.jpg": photo(4, (6_000, 5_000)),
    }
    tasks.stock([product(number) for number in range(1, 5)], files)

    task, run = tasks.ask({"gender": "Men", "operation": "copy"})

    assert tasks.made(task) == files
    assert "data:image/jpeg;base64," in metadata(run, "task_images")["contact_sheet"]


def with_broken_pixels(png: bytes) -> bytes:
    """Zeros for its data, with a checksum that is right: seen only when it is decoded."""
    at = png.index(b"IDAT") - 4
    (length,) = struct.unpack_from(">I", png, at)
    data = b"IDAT" + bytes(length)
    return png[: at + 4] + data + struct.pack(">I", zlib.crc32(data)) + png[at + 12 + length :]


def test_what_an_earlier_request_of_the_name_left_is_no_result_of_a_newer_one(stocked):
    stocked.ask({"task": "mine", "ids": [1, 2], "webdataset": True})
    stocked.ask({"task": "mine", "gender": "Man"})
    assert {"webdataset/000000.tar", "refused.json"} < stocked.listed("mine").keys()
    (request,) = stocked.request("ask.json", {"task": "mine", "ids": [3]})

    def killed(*_):
        raise RuntimeError("killed")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest, "decide", killed)
        assert not stocked.run(REQUESTS, request, raises=False).success
    assert stocked.listed("mine").keys() & FILES == set()

    stocked.run(REQUESTS, request)
    assert stocked.listed("mine").keys() == {
        "3.jpg", "metadata.csv", "metadata.parquet", "result.json",
    }  # fmt: skip


def test_results_of_no_item_are_removed_a_page_at_a_time_while_nobody_waits_for_the_task(
    stocked, monkeypatch
):
    task, _ = stocked.ask({"gender": "Men"})
    before = stocked.listed(task).keys()
    for number in range(100, 107):
        stocked.results.put(f"{task}/{number}.jpg", b"strange")
    stocked.results.delete(f"{task}/2.jpg")
    monkeypatch.setattr(results_listing, "_PAGE", 3)
    store, asked = stocked.results, []

    class Asking:
        """Cancels, as an operator may, while something is removed."""

        def delete(self, key):
            with psycopg.connect(stocked.env["POSTGRES_URL"]) as other:
                other.execute("SET lock_timeout = '2s'")
                answers.cancel(other, task)
            asked.append(key)
            store.delete(key)

        def list_page(self, *place):
            return store.list_page(*place)

    with psycopg.connect(stocked.env["POSTGRES_URL"], autocommit=True) as connection:
        removing: Any = Asking()
        assert results_listing.reconcile(connection, removing, task) == (1, 7)

    assert len(asked) == 7
    assert stocked.listed(task).keys() == before - {"2.jpg"}


def test_a_task_that_fails_for_good_says_so_and_is_done_once_that_is_mended(stocked):
    (request,) = stocked.request("ask.json", {"task": "mine", "gender": "Men"})

    def refusing(*_):
        address = "https://me:secret@store/"  # pragma: allowlist secret
        raise PermanentError(f"no entry for {address}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest, "decide", refusing)
        assert not stocked.run(REQUESTS, request, raises=False).success
    result = stocked.result("mine")
    assert result["state"] == "failed"
    assert result["problems"] == ["PermanentError: no entry for https://me:***@store/"]

    stocked.again("mine")
    result = stocked.result("mine")
    assert result["state"] == "done_with_skips"
    assert "problems" not in result
