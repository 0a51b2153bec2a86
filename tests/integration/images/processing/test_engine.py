"""Items through real workers and a real store: what each comes to, and what ends a task."""

from __future__ import annotations

import os
import threading
import time
from itertools import islice
from pathlib import Path

import psutil
import pytest

from assets.images.processing.operation import Item, Limits, Operation
from assets.images.processing.pool import AHEAD
from assets.images.processing.transform import hash_of, transform
from landing.batch.failures import PermanentError, TransientError
from resources.minio_client import Access
from tests import hostile_images
from tests.hostile_images import corpus, oriented, picture, saved
from tests.integration.images.processing.conftest import LIMITS, statuses
from tests.tcp_proxy import TcpProxy

pytestmark = pytest.mark.servers("s3")
QUICK = Limits(most_pixels=1_000_000, most_bytes=1 << 20, seconds=1.0)


@pytest.fixture(autouse=True)
def no_worker_is_left(buckets):
    """Neither running nor ended and not collected."""
    before = set(psutil.Process().children())
    yield
    assert not set(psutil.Process().children()) - before


def test_images_are_read_made_and_written(buckets) -> None:
    images = {f"{n}.jpg": oriented(n) for n in range(1, 9)}
    items = buckets.put(images)
    outcomes = {one.number: one for one in buckets.process(items)}
    operation = Operation(width=32, height=32)
    for item, data in zip(items, images.values(), strict=True):
        made = transform(data, item.product_id, operation, LIMITS)
        outcome = outcomes[item.number]
        assert buckets.written(item) == made.data
        assert (outcome.status, outcome.detail) == ("ok", "")
        assert (outcome.content, outcome.digest) == (hash_of(data), hash_of(made.data))
        assert (outcome.width, outcome.height) == (32, 32)
        assert outcome.bytes == len(made.data)
        assert 0 < outcome.seconds < 60


def test_hostile_files_get_one_row_each(buckets) -> None:
    files = corpus()
    items = buckets.put({one.name: one.data for one in files})
    outcomes = list(buckets.process(items, hostile_images.LIMITS))
    assert statuses(items, outcomes) == {one.name: one.status for one in files}
    for outcome in outcomes:
        assert outcome.status == "ok" or outcome.detail


def test_keys_that_hold_nothing_are_missing(buckets) -> None:
    keys = ["in/none.jpg", "in/../none.jpg", "../../etc/passwd", "", "/", "in//x", "in/\n.jpg"]
    items = [Item(n, n, key, f"out/{n}.jpg") for n, key in enumerate(keys)]
    assert set(statuses(items, buckets.process(items)).values()) == {"missing"}


def test_what_ends_or_holds_a_worker_costs_its_own_row(buckets, tmp_path) -> None:
    bad = {
        "segfault": "crashed", "exit": "crashed", "killed": "crashed", "hang": "timeout",
        "hang-holding-python": "timeout", "memory": "too_large", "defect": "crashed",
        "nonsense": "crashed", f"once {tmp_path / 'seen'}": "ok",
    }  # fmt: skip
    objects, expected = {}, {}
    for n, (text, status) in enumerate(bad.items()):
        objects |= {f"good-{n}-{m}": b"slow 0.02" for m in range(12)}
        objects[f"bad-{n}"] = text.encode()
        expected[f"bad-{n}"] = status
    items = buckets.put(objects)
    outcomes = list(buckets.process(items, QUICK))
    got = statuses(items, outcomes)
    assert {name: status for name, status in got.items() if name.startswith("bad")} == expected
    assert {status for name, status in got.items() if name.startswith("good")} == {"ok"}
    details = {one.number: one.detail for one in outcomes}
    by_name = {item.source.removeprefix("in/"): details[item.number] for item in items}
    assert "SIGSEGV" in by_name["bad-0"]
    assert "exit code 7" in by_name["bad-1"]
    assert by_name["bad-6"] == "KeyError: 'no such\\x00thing'"


def test_one_worker_alone_survives_the_same(buckets) -> None:
    texts = [b"segfault", b"exit", b"hang", b"=a", b"memory", b"=b", b"exit"]
    items = buckets.put({str(n): text for n, text in enumerate(texts)})
    got = statuses(items, buckets.process(items, QUICK, workers=1))
    assert [got[str(n)] for n in range(len(texts))] == [
        "crashed", "crashed", "timeout", "ok", "too_large", "ok", "crashed",
    ]  # fmt: skip


def test_a_task_of_nothing_but_crashes_ends(buckets) -> None:
    items = buckets.put({str(n): b"exit" for n in range(20)})
    assert set(statuses(items, buckets.process(items)).values()) == {"crashed"}


def test_no_items_start_no_worker(buckets) -> None:
    assert list(buckets.process([])) == []


def test_items_are_taken_as_workers_come_free(buckets) -> None:
    [item] = buckets.put({"x": b"=x"})
    taken = 0

    def many():
        nonlocal taken
        for taken in range(1, 100_001):
            yield Item(taken, taken, item.source, item.target)

    outcomes = buckets.process(many())
    for done in range(1, 600):
        next(outcomes)
        assert taken - done <= 2 * AHEAD
    outcomes.close()
    assert taken < 1000


def test_stopping_finishes_what_is_in_hand_and_no_more(buckets) -> None:
    [item] = buckets.put({"x": b"slow 0.01"})
    taken: list[int] = []

    def many():
        for n in range(100_000):
            taken.append(n)
            yield Item(n, n, item.source, item.target)

    stop = threading.Event()
    done = []
    for outcome in buckets.process(many(), stop=stop.is_set):
        done.append(outcome.number)
        if len(done) == 50:
            stop.set()
    assert sorted(done) == taken
    assert len(done) <= 50 + 2 * AHEAD + 16


def test_an_iterable_s_own_error_gets_out_and_ends_the_workers(buckets) -> None:
    [item] = buckets.put({"x": b"=x"})

    def broken():
        yield item
        raise LookupError("the database is gone")

    with pytest.raises(LookupError, match="the database"):
        list(buckets.process(broken()))


def test_a_store_that_is_away_blames_no_item(buckets) -> None:
    items = buckets.put({str(n): b"slow 0.05" for n in range(200)})
    address = buckets.access.endpoint.removeprefix("http://").split(":")
    with TcpProxy((address[0], int(address[1]))) as proxy:
        access = buckets.access
        buckets.access = Access(f"http://{proxy.address}", access.access_key, access.secret_key)
        started = time.monotonic()
        processing = buckets.process(items, patience=2.0)
        outcomes = list(islice(processing, 20))
        proxy.cut()
        with pytest.raises(TransientError, match="in bucket"):
            outcomes.extend(processing)
        assert time.monotonic() - started < 40
    assert {one.status for one in outcomes} == {"ok"}
    assert len(outcomes) < 200


def test_a_store_that_comes_back_is_waited_for(buckets) -> None:
    items = buckets.put({str(n): b"slow 0.02" for n in range(150)})
    address = buckets.access.endpoint.removeprefix("http://").split(":")
    with TcpProxy((address[0], int(address[1]))) as proxy:
        access = buckets.access
        buckets.access = Access(f"http://{proxy.address}", access.access_key, access.secret_key)
        outcomes = []
        for outcome in buckets.process(items, QUICK, patience=30.0):
            outcomes.append(outcome)
            if len(outcomes) == 20:
                proxy.cut()
                threading.Timer(3.0, proxy.restore).start()
    assert set(statuses(items, outcomes).values()) == {"ok"}


@pytest.mark.parametrize("wrong", ["secret", "source", "target"])
def test_what_no_attempt_changes_is_permanent(buckets, wrong: str) -> None:
    items = buckets.put({"x": b"=x"})
    if wrong == "secret":
        buckets.access = Access(buckets.access.endpoint, buckets.access.access_key, "another")
    else:
        setattr(buckets, wrong, "no-such-bucket-of-images")
    with pytest.raises(PermanentError, match="in bucket"):
        list(buckets.process(items))


def test_a_function_that_is_not_there_is_permanent(buckets) -> None:
    items = buckets.put({"x": b"=x"})
    with pytest.raises(PermanentError, match="before they work"):
        list(buckets.process(items, function="tests.integration.images:none"))


OPERATION = Operation(width=48, height=48, flip="random", rotate=10, jitter=0.2, blur=0.5)


def same_by_any_number_of_workers(buckets, images: dict[str, bytes]) -> None:
    items = buckets.put(images)
    digests = []
    for workers, threads in ((1, 1), (2, 3), (4, 2)):
        outcomes = buckets.process(items, operation=OPERATION, workers=workers, threads=threads)
        digests.append(sorted((one.number, one.status, one.digest) for one in outcomes))
    assert digests[0] == digests[1] == digests[2]
    assert [(number, status) for number, status, _ in digests[0]] == [
        (item.number, "ok") for item in items
    ]


def test_the_same_bytes_by_any_number_of_workers(buckets) -> None:
    images = {f"{n}.jpg": saved(picture(300, 400, seed=n), "JPEG") for n in range(60)}
    same_by_any_number_of_workers(buckets, images)


@pytest.mark.skipif("QUINTET_DATA_DIR" not in os.environ, reason="QUINTET_DATA_DIR is not set")
def test_the_same_bytes_of_real_images(buckets) -> None:
    folder = Path(os.environ["QUINTET_DATA_DIR"], "products", "images")
    images = {path.name: path.read_bytes() for path in sorted(folder.glob("*.jpg"))[::4]}
    assert len(images) >= 400
    same_by_any_number_of_workers(buckets, images)


def test_variables_of_another_store_mislead_no_worker(buckets, monkeypatch) -> None:
    items = buckets.put({"x": b"=x"})
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_SESSION_TOKEN", "another")
    monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
    assert statuses(items, buckets.process(items)) == {"x": "ok"}
