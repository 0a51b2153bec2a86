"""The appender against a stand-in for BigQuery that answers as its documentation says."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from google.api_core import exceptions
from google.cloud.bigquery_storage_v1.types import AppendRowsResponse, RowError

from assets.reading.stream import append as module
from assets.reading.stream.append import (
    RowAppender,
    TableAtFaultError,
    microseconds,
    row_class,
)
from assets.reading.tables import INTERACTIONS_RAW
from landing.batch.failures import classify

ROW = row_class(INTERACTIONS_RAW)
INVALID, INTERNAL = 3, 13


class Call:
    """One AppendRows call; ``answer`` makes the response to the rows of a request, or raises."""

    def __init__(self, requests: Iterable[Any], answer: Callable[[list[bytes]], Any]) -> None:
        self._requests: Iterator[Any] = iter(requests)
        self._answer = answer
        self._first = True

    def __next__(self) -> Any:
        request = next(self._requests)
        assert request.write_stream.endswith("/tables/t/streams/_default")
        described = bool(request.proto_rows.writer_schema.proto_descriptor.field)
        assert described == self._first, "the schema belongs on the first request only"
        self._first = False
        return self._answer(list(request.proto_rows.rows.serialized_rows))

    def cancel(self) -> None: ...


class BigQuery:
    """Keeps what it is sent, except what ``fault`` has something against."""

    def __init__(self, fault: Callable[[list[bytes]], Any] = lambda rows: None) -> None:
        self.kept: list[bytes] = []
        self.requests: list[int] = []
        self.calls = 0
        self._fault = fault
        self.transport = SimpleNamespace(append_rows=self._open)

    def _open(self, requests: Iterable[Any], metadata: Any) -> Call:
        assert dict(metadata)["x-goog-request-params"].startswith("write_stream=projects/p/")
        self.calls += 1
        return Call(requests, self._take)

    def _take(self, rows: list[bytes]) -> Any:
        self.requests.append(len(rows))
        fault = self._fault(rows)
        if fault is None:
            self.kept += rows
            return AppendRowsResponse()
        if isinstance(fault, Exception):
            raise fault
        return fault


class Lost(grpc.RpcError):  # type: ignore[misc]  # grpc has no types
    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNAVAILABLE

    def details(self) -> str:
        return "gone"

    def trailing_metadata(self) -> None:
        return None


def failed(code: int) -> Any:
    return AppendRowsResponse(error={"code": code, "message": "no"})


def appender(server: BigQuery) -> RowAppender:
    return RowAppender(server, "p.d.t", ROW)  # type: ignore[arg-type]


ROWS = [str(n).encode() for n in range(40)]


def test_one_call_for_many_requests() -> None:
    server = BigQuery()
    one = appender(server)
    for _ in range(3):
        assert not one.append(ROWS).refused
    assert (server.kept, server.calls) == (ROWS * 3, 1)


def test_requests_stay_below_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REQUEST_BYTES", 10)
    server = BigQuery()
    appender(server).append([b"12345"] * 5 + [b"123456789012"])
    assert sorted(server.requests) == [1, 1, 2, 2]
    assert len(server.kept) == 6


def test_rows_that_bigquery_names_are_refused_and_the_rest_is_sent_again() -> None:
    def fault(rows: list[bytes]) -> Any:
        bad = [index for index, row in enumerate(rows) if row in {b"7", b"30"}]
        errors = [
            RowError(index=index, code=RowError.RowErrorCode.FIELDS_ERROR, message="too odd")
            for index in bad
        ]
        return AppendRowsResponse(row_errors=errors, error={"code": INVALID}) if bad else None

    server = BigQuery(fault)
    result = appender(server).append(ROWS)
    assert result.refused == {7: "FIELDS_ERROR: too odd", 30: "FIELDS_ERROR: too odd"}
    assert server.kept == [row for row in ROWS if row not in {b"7", b"30"}]


def test_rows_that_bigquery_does_not_name_are_found_by_halves() -> None:
    server = BigQuery(lambda rows: failed(INVALID) if {b"7", b"30"} & set(rows) else None)
    result = appender(server).append(ROWS)
    assert result.refused.keys() == {7, 30}
    assert sorted(server.kept, key=int) == [row for row in ROWS if row not in {b"7", b"30"}]
    assert len(server.requests) < 30


def test_a_table_that_takes_no_row_is_no_rows_fault() -> None:
    """The schema of the rows is ahead of the table's: BigQuery says INVALID_ARGUMENT to each."""
    server = BigQuery(lambda _rows: failed(INVALID))
    one = appender(server)
    for rows in (ROWS, ROWS[:1]):
        with pytest.raises(TableAtFaultError, match="no"):
            one.append(rows)
    assert len(server.requests) < 25
    assert classify(TableAtFaultError("no")) == "transient"


def test_nor_is_one_of_which_every_row_is_named() -> None:
    def fault(rows: list[bytes]) -> Any:
        errors = [
            RowError(index=index, code=RowError.RowErrorCode.FIELDS_ERROR, message="no column")
            for index in range(len(rows))
        ]
        return AppendRowsResponse(row_errors=errors, error={"code": INVALID})

    with pytest.raises(TableAtFaultError, match="no column"):
        appender(BigQuery(fault)).append(ROWS)


def test_a_row_alone_is_told_from_the_table_by_one_that_got_through_before() -> None:
    broken: list[bool] = []
    server = BigQuery(lambda rows: failed(INVALID) if broken or b"bad" in rows else None)
    one = appender(server)
    with pytest.raises(TableAtFaultError):
        one.append([b"bad"])  # nothing says yet whose fault it is
    one.append(ROWS)
    assert one.append([b"bad"]).refused == {0: "no"}
    assert server.kept == [*ROWS, ROWS[-1]]
    broken.append(True)
    with pytest.raises(TableAtFaultError):
        one.append([b"bad"])


def test_a_row_in_trouble_is_found_only_when_it_is_looked_for() -> None:
    server = BigQuery(lambda rows: failed(INTERNAL) if b"7" in rows else None)
    with pytest.raises(exceptions.InternalServerError):
        appender(server).append(ROWS)
    assert server.kept == []
    result = appender(server).append(ROWS, isolate=True)
    assert (result.refused, list(result.troubled)) == ({}, [7])
    assert sorted(server.kept, key=int) == [row for row in ROWS if row != b"7"]


@pytest.mark.parametrize("rows", [ROWS, ROWS[:1]])
def test_trouble_of_everything_is_no_rows_trouble(rows: list[bytes]) -> None:
    server = BigQuery(lambda _rows: failed(INTERNAL))
    with pytest.raises(exceptions.ServerError):
        appender(server).append(rows, isolate=True)
    assert len(server.requests) < 25


def test_a_call_that_ended_while_idle_is_opened_again() -> None:
    ended = [Lost()]
    server = BigQuery(lambda rows: ended.pop() if server.requests[1:] and ended else None)
    one = appender(server)
    one.append(ROWS)
    one.append(ROWS)
    assert (server.kept, server.calls) == (ROWS * 2, 2)


def test_a_lost_connection_is_reported() -> None:
    server = BigQuery(lambda _rows: Lost())
    with pytest.raises(exceptions.ServiceUnavailable):
        appender(server).append(ROWS, isolate=True)
    assert server.calls == 1


def test_a_row_is_what_bigquery_reads() -> None:
    at = datetime(2022, 3, 1, 10, 20, 30, 123_456, tzinfo=UTC)
    sent = {
        "message_id": "1",
        "publish_time": microseconds(at),
        "user_id": -(2**63),
        "content_id": 2**63 - 1,
        "read_percent": 0.1,
        "updated_at": microseconds(at),
        "session_id": "s",
        "micro_batch": "b",
        "appended_at": 0,
    }
    read = ROW.FromString(ROW(**sent).SerializeToString())
    assert {name: getattr(read, name) for name in sent} == sent
    assert microseconds(at) == 1_646_130_030_123_456
    with pytest.raises(Exception, match="required"):
        ROW(**{**sent, "user_id": None}).SerializeToString()
