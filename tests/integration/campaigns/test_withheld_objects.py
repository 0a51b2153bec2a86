"""Objects of a batch that their store does not give: by themselves, unless it gives nothing."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, BinaryIO

import polars as pl
import pytest
from botocore.exceptions import ClientError, ReadTimeoutError
from google.api_core.exceptions import Forbidden, Unauthorized

from assets.frame.checks import validation_results
from landing.arrival.identity import ObjectVersion
from landing.batch import winners
from landing.batch.failures import PermanentError, TransientError, classify
from landing.stores.base import ObjectGone
from tests.integration.campaigns.harness import Landing, row
from tests.memory_store import MemoryStore

pytestmark = pytest.mark.servers("postgres")

Fault = Callable[[], Exception]


def s3(code: str, status: int) -> Fault:
    told: Any = {
        "Error": {"Code": code, "Message": f"{code}, said the server"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return lambda: ClientError(told, "GetObject")


DENIED, DOWN = s3("AccessDenied", 403), s3("SlowDown", 503)


class Breaking(io.BytesIO):
    """Gives ``left`` bytes, then fails."""

    def __init__(self, data: bytes, left: int, fault: Fault) -> None:
        super().__init__(data)
        self._left, self._fault = left, fault

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() >= self._left:
            raise self._fault()
        most = self._left - self.tell()
        return super().read(most if size is None or size < 0 else min(size, most))

    read1 = read

    def readinto(self, buffer: Any) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


@dataclass
class FaultyStore(MemoryStore):
    """``faults`` by key; those of ``midway`` come after so many bytes."""

    faults: dict[str, Fault] = field(default_factory=dict)
    midway: dict[str, int] = field(default_factory=dict)
    opened: list[str] = field(default_factory=list)

    @contextmanager
    def open(self, version: ObjectVersion) -> Iterator[BinaryIO]:
        self.opened.append(version.key)
        fault = self.faults.get(version.key)
        if fault and version.key not in self.midway:
            raise fault()
        with super().open(version) as stream:
            yield Breaking(stream.read(), self.midway[version.key], fault) if fault else stream


@pytest.fixture
def faulty(landing: Landing) -> Landing:
    landing.store = FaultyStore()
    return landing


def objects(count: int, rows: int = 1) -> dict[str, Any]:
    return {
        f"campaigns/{n:03}.csv": [row(f"r{n}-{line}", f"of {n}") for line in range(rows)]
        for n in range(count)
    }


def outcomes(landing: Landing, batch: str) -> dict[str, tuple[str | None, str | None]]:
    found = landing.query(
        "SELECT key, outcome, reason FROM landing.object_version WHERE batch_id = %s", batch
    )
    return {key: (outcome, reason) for key, outcome, reason in found}


@pytest.mark.parametrize("denied", [0, 57, 199])
def test_one_object_that_is_denied_does_not_fail_its_199_neighbours(faulty, denied) -> None:
    batch = faulty.batch(objects(200))
    key = f"campaigns/{denied:03}.csv"
    faulty.store.faults[key] = DENIED
    result = faulty.load(batch)
    assert (result.rows.read, result.rows.written, result.rows.rejected) == (199, 199, 0)
    outcome, reason = outcomes(faulty, batch).pop(key)
    assert outcome == "rejected"
    assert reason.startswith("unreadable: ClientError: ")
    assert "AccessDenied, said the server" in reason
    assert result.reasons == {"unreadable": 1}
    rejects = pl.read_parquet(io.BytesIO(faulty.quarantine.get(result.quarantine_key)))
    (entry,) = rejects.select("key", "line", "reason", "detail").rows()
    assert entry[:3] == (key, None, "unreadable")
    assert "AccessDenied, said the server" in entry[3]
    assert faulty.state(batch) == "loaded_with_rejects"
    checks = {one.check_name: one for one in validation_results(faulty.pg, batch)}
    assert checks["rows_balance"].passed
    assert not checks["rejected_share"].passed
    assert key in str(checks["rejected_share"].metadata["sample"].value)


def test_gcs_denies_an_object_in_its_own_way(faulty) -> None:
    batch = faulty.batch(objects(3))
    faulty.store.faults["campaigns/001.csv"] = lambda: Forbidden("no storage.objects.get access")
    assert faulty.load(batch).rows.written == 2


@pytest.mark.parametrize(
    "fault",
    [s3("InvalidAccessKeyId", 403), s3("SignatureDoesNotMatch", 403), s3("ExpiredToken", 400),
     s3("AuthorizationRequired", 401), lambda: Unauthorized("Invalid Credentials")],
)  # fmt: skip
def test_wrong_credentials_reject_nothing(faulty, fault) -> None:
    batch = faulty.batch(objects(3))
    faulty.store.faults["campaigns/002.csv"] = fault
    with pytest.raises(Exception) as raised:  # noqa: PT011
        faulty.validate(batch)
    assert classify(raised.value) == "permanent"
    assert set(outcomes(faulty, batch).values()) == {(None, None)}


def test_a_batch_whose_every_object_is_denied_fails_as_a_batch(faulty) -> None:
    batch = faulty.batch(objects(8))
    faulty.store.faults = dict.fromkeys(objects(8), DENIED)
    with pytest.raises(PermanentError, match=r"campaigns/000.csv#1: ClientError.*said the server"):
        faulty.validate(batch)
    assert set(outcomes(faulty, batch).values()) == {(None, None)}


def test_nor_does_a_right_that_was_taken_away_in_the_middle_reject_what_is_left(faulty) -> None:
    batch = faulty.batch(objects(20))

    def denied_from_now_on() -> Exception:
        faulty.store.faults = dict.fromkeys(objects(20), DENIED)
        return DENIED()

    faulty.store.faults["campaigns/010.csv"] = denied_from_now_on
    with pytest.raises(PermanentError, match=r"campaigns/010.csv"):
        faulty.validate(batch)
    faulty.store.faults = {}
    assert faulty.load(batch).rows.written == 20, "once it is given back"


def test_what_is_out_of_reach_for_now_gets_a_batch_of_its_own(faulty) -> None:
    batch = faulty.batch(objects(200))
    late = ["campaigns/004.csv", "campaigns/150.csv"]
    faulty.store.faults = {
        late[0]: DOWN,
        late[1]: lambda: ReadTimeoutError(endpoint_url="http://store"),
    }
    result = faulty.load(batch)
    assert result.rows.written == 198
    assert faulty.state(batch) == "loaded"
    assert not set(late) & set(outcomes(faulty, batch))
    ((new, state, kind, error, origin, due),) = faulty.query(
        "SELECT batch_id, state, error_class, error, split_from, next_attempt_at > now()"
        " FROM landing.batch WHERE batch_id <> %s", batch
    )  # fmt: skip
    assert (state, kind, origin, due) == ("failed_transient", "transient", batch, True)
    assert late[0] in error
    assert "SlowDown" in error
    assert outcomes(faulty, new) == dict.fromkeys(late, (None, None))
    # By itself it has no neighbours that could be read: it fails as a batch, and is tried again.
    with pytest.raises(TransientError, match="SlowDown"):
        faulty.validate(new)
    faulty.store.faults = {}
    assert faulty.load(new).rows.written == 2
    assert faulty.state(new) == "loaded"
    assert len(faulty.records()) == 200


def test_a_store_that_is_away_is_not_asked_for_every_object(faulty) -> None:
    batch = faulty.batch(objects(50))
    keys = list(objects(50))
    faulty.store.faults = dict.fromkeys(keys[10:], DOWN)
    with pytest.raises(TransientError, match="SlowDown"):
        faulty.validate(batch)
    assert len(faulty.store.opened) == 15, "five in a row"


MIDWAY = {"campaigns/b.csv": 3_000_000}


def large() -> dict[str, Any]:
    """``b`` is read in several chunks, has rejects and a record that ``c`` has too."""
    many = [row(f"b{n}", "m" * 90) for n in range(40_000)]
    return {
        "campaigns/a.csv": [row("a"), row("", "no key")],
        "campaigns/b.csv": [row("", "no key"), row("shared", "of b"), *many],
        "campaigns/c.csv": [row("c"), row("shared", "of c"), row("", "no key")],
    }


@pytest.mark.parametrize(
    ("fault", "outcome"),
    [
        (DENIED, "rejected"),
        (DOWN, None),
        (lambda: ObjectGone(ObjectVersion.__new__(ObjectVersion)), "gone"),
    ],
)
def test_what_was_read_of_an_object_that_breaks_off_is_taken_out_again(
    faulty, fault, outcome, monkeypatch
) -> None:
    forgotten: list[int] = []
    forget = winners.forget_candidates

    def counted(conn: Any, seq: int) -> None:
        forgotten.append(seq)
        forget(conn, seq)

    monkeypatch.setattr(winners, "forget_candidates", counted)
    batch = faulty.batch(large())
    if outcome == "gone":
        (version,) = (v for v, _ in faulty.store.objects.values() if v.key in MIDWAY)
        faulty.store.faults["campaigns/b.csv"] = lambda: ObjectGone(version)
    else:
        faulty.store.faults["campaigns/b.csv"] = fault
    faulty.store.midway = MIDWAY
    result = faulty.load(batch)
    assert len(forgotten) == 1, "rows of it had been taken"
    assert (result.rows.read, result.rows.written, result.rows.rejected) == (5, 3, 2)
    assert set(faulty.records()) == {"a", "c", "shared"}
    assert result.reasons == {"missing_record_id": 2} | (
        {"unreadable": 1} if outcome == "rejected" else {}
    )
    found = outcomes(faulty, batch)
    assert found.get("campaigns/b.csv", (None,))[0] == outcome
    checks = {one.check_name: one for one in validation_results(faulty.pg, batch)}
    assert checks["rows_balance"].passed, checks["rows_balance"].metadata
    if outcome is None:
        faulty.store.faults = {}
        ((new,),) = faulty.query("SELECT batch_id FROM landing.batch WHERE batch_id <> %s", batch)
        again = faulty.load(new)
        assert (again.rows.read, again.rows.rejected) == (40_002, 1)


def test_a_batch_that_is_written_again_leaves_nothing_out(faulty) -> None:
    batch = faulty.batch(objects(3))
    faulty.load(batch)
    for key in [key for key in faulty.store.objects if key.startswith("staging/")]:
        faulty.store.delete(key)
    faulty.store.faults["campaigns/001.csv"] = DENIED
    with pytest.raises(PermanentError, match=r"campaigns/001.csv"):
        faulty.validate(batch)
