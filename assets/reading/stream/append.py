"""Rows appended to a table through the Storage Write API's default stream.

Belongs here: rows as protocol buffers, the long-lived AppendRows call, which rows BigQuery refuses
and which give trouble. Does not: retrying (``writing.py``), the tables (``warehouse.py``).
Imported lazily: needs google.cloud.bigquery_storage_v1.

The default stream commits each request as a whole before it answers, and at least once: a request
that is sent again because its answer got lost appends its rows again.
https://cloud.google.com/bigquery/docs/write-api#default_stream

BigQuery says the same of a row that it will not have and of a table that has not the columns of the
rows: "invalid argument". A row is at fault only where another one got through; where none does, one
that did before is sent once more, which does no harm, to tell the two apart.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import grpc
from google.api_core import exceptions  # noqa: TID253
from google.cloud.bigquery_storage_v1.types import AppendRowsRequest  # noqa: TID253
from google.protobuf import (  # noqa: TID253
    descriptor_pb2,
    descriptor_pool,
    message_factory,
)

from assets.reading.stream.requests import in_requests
from landing.batch.failures import TransientError
from resources.bigquery_write import ANSWER_SECONDS

if TYPE_CHECKING:
    from google.cloud.bigquery_storage_v1.services.big_query_write import BigQueryWriteClient

    from assets.frame.tables import Table

#: Bytes of rows in one request; BigQuery takes 10 MB with everything.
REQUEST_BYTES = 9_000_000

#: Requests that may fail before anything is appended, when it is tried in parts.
_FAILED_PARTS = 8

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FIELD = descriptor_pb2.FieldDescriptorProto
_TYPES = {
    "bigint": _FIELD.TYPE_INT64,
    "double precision": _FIELD.TYPE_DOUBLE,
    "text": _FIELD.TYPE_STRING,
    "timestamptz": _FIELD.TYPE_INT64,  # microseconds since 1970
}
#: What the connection is to blame for, not the rows.
_CONNECTION_ERRORS = (
    exceptions.ServiceUnavailable,
    exceptions.DeadlineExceeded,
    exceptions.Cancelled,
    exceptions.TooManyRequests,
)


class TableAtFaultError(TransientError):
    """BigQuery takes no row at all: it is the table's fault, or nothing says that it is a row's."""


@dataclass(frozen=True, slots=True)
class Appended:
    """Which rows were not appended, by index, and why: refused for good, or in trouble for now."""

    refused: dict[int, str] = field(default_factory=dict)
    troubled: dict[int, str] = field(default_factory=dict)


def microseconds(time: datetime) -> int:
    """A time as BigQuery takes it in a protocol buffer."""
    return (time - _EPOCH) // _MICROSECOND


def row_class(table: Table) -> Any:
    """The class of protocol buffers that are rows of a table."""
    file = descriptor_pb2.FileDescriptorProto(
        name=f"{table.name}.proto", package="quintet", syntax="proto2"
    )
    row = file.message_type.add(name=table.name)
    for number, column in enumerate(table.columns, start=1):
        label = _FIELD.LABEL_OPTIONAL if column.nullable else _FIELD.LABEL_REQUIRED
        row.field.add(name=column.name, number=number, type=_TYPES[column.type], label=label)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"quintet.{table.name}"))


class RowAppender:
    """Appends to one table, by one thread. Keeps a call open between requests; ``close()`` it.

    ``table`` is the full name, ``row`` what `row_class` made of its declaration; a request that has
    no answer after ``answer_seconds`` counts as failed.
    """

    def __init__(
        self,
        client: BigQueryWriteClient,
        table: str,
        row: Any,
        *,
        answer_seconds: float = ANSWER_SECONDS,
    ) -> None:
        self._answer_seconds = answer_seconds
        project, dataset, name = table.rsplit(".", 2)
        self._client = client
        self._stream = f"projects/{project}/datasets/{dataset}/tables/{name}/streams/_default"
        self._descriptor = descriptor_pb2.DescriptorProto()
        row.DESCRIPTOR.CopyToProto(self._descriptor)
        self._requests: queue.SimpleQueue[AppendRowsRequest | None] = queue.SimpleQueue()
        self._call: Any = None
        #: The last row that got through.
        self._known: bytes | None = None

    def append(self, rows: Sequence[bytes], *, isolate: bool = False) -> Appended:
        """Append rows; returns which of them BigQuery refuses, the others are in the table.

        With ``isolate``, a failure that is not the connection's is looked for in ever smaller
        parts, down to the rows that have it. Raises google.api_core.exceptions errors when nothing
        or not everything was appended, and TableAtFaultError when BigQuery refuses every row: they
        are to be sent again.
        """
        result = Appended()
        parts = list(
            in_requests(
                range(len(rows)),
                lambda index: len(rows[index]),
                most_bytes=REQUEST_BYTES,
                most_items=len(rows),
            )
        )
        done = failed = 0
        while parts:
            part = parts.pop()
            try:
                self._send([rows[index] for index in part])
            except _RowsRefused as error:
                result.refused.update((part[index], text) for index, text in error.rows.items())
                parts.append([index for index in part if index not in result.refused])
            except exceptions.InvalidArgument as error:
                failed += 1
                if failed > _FAILED_PARTS and not done:
                    self._require_table(error.message)
                parts += _parted(part, result.refused, error)
            except exceptions.GoogleAPICallError as error:
                failed += 1
                hopeless = failed > _FAILED_PARTS and not done
                if not isolate or hopeless or isinstance(error, _CONNECTION_ERRORS):
                    raise
                parts += _parted(part, result.troubled, error)
            else:
                done += 1
                self._known = rows[part[-1]]
            parts = [part for part in parts if part]
        if result.refused and not done:
            self._require_table(next(iter(result.refused.values())))
        if result.troubled and not done:
            # Nothing got through: that is BigQuery's trouble, not these rows'.
            raise exceptions.ServiceUnavailable(next(iter(result.troubled.values())))
        return result

    def close(self) -> None:
        """End the call; the next request opens another."""
        self._requests.put(None)  # ends the thread of gRPC that waits for requests
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _require_table(self, said: str) -> None:
        """Send a row that got through once; raises TableAtFaultError when it does not now."""
        if self._known is None:
            raise TableAtFaultError(said)
        try:
            self._send([self._known])
        except (_RowsRefused, exceptions.InvalidArgument) as error:
            raise TableAtFaultError(said) from error

    def _send(self, rows: list[bytes]) -> None:
        # A call that nothing was sent on for ten minutes is ended by BigQuery.
        was_open = self._call is not None
        try:
            self._exchange(rows)
        except (exceptions.GoogleAPICallError, _RowsRefused) as error:
            self.close()
            if not was_open or isinstance(error, _RowsRefused | exceptions.InvalidArgument):
                raise
            self._exchange_afresh(rows)

    def _exchange_afresh(self, rows: list[bytes]) -> None:
        try:
            self._exchange(rows)
        except (exceptions.GoogleAPICallError, _RowsRefused):
            self.close()
            raise

    def _exchange(self, rows: list[bytes]) -> None:
        request = AppendRowsRequest(write_stream=self._stream, trace_id="quintet:reading")
        data = AppendRowsRequest.pb(request).proto_rows
        data.rows.serialized_rows.extend(rows)
        if self._call is None:
            data.writer_schema.proto_descriptor.CopyFrom(self._descriptor)
            self._open()
        self._requests.put(request)
        # The call has no time limit of its own, since it stays open.
        timer = threading.Timer(self._answer_seconds, self._call.cancel)
        timer.daemon = True
        timer.start()
        try:
            response = next(self._call)
        except StopIteration:
            raise exceptions.ServiceUnavailable("BigQuery ended the stream") from None
        except grpc.RpcError as error:
            raise exceptions.from_grpc_error(error) from error
        finally:
            timer.cancel()
        if response.row_errors:
            raise _RowsRefused(
                {
                    error.index: f"{error.code.name}: {error.message}"
                    for error in response.row_errors
                }
            )
        if response.error.code:
            raise exceptions.from_grpc_status(response.error.code, response.error.message)

    def _open(self) -> None:
        # The transport's method, since the client's waits for an answer before it returns the call.
        self._requests = queue.SimpleQueue()
        transport: Any = self._client.transport  # its types know calls of one request only
        self._call = transport.append_rows(
            iter(self._requests.get, None),
            metadata=[("x-goog-request-params", f"write_stream={self._stream}")],
        )


class _RowsRefused(Exception):
    """BigQuery appended nothing because of these rows: index in the request, and why."""

    def __init__(self, rows: dict[int, str]) -> None:
        super().__init__(f"{len(rows)} rows refused")
        self.rows = rows


def _parted(
    part: list[int], found: dict[int, str], error: exceptions.GoogleAPICallError
) -> list[list[int]]:
    """The halves of a part that has failed; a row that is left alone is ``found``."""
    if len(part) == 1:
        found[part[0]] = error.message
        return []
    middle = len(part) // 2
    return [part[:middle], part[middle:]]
