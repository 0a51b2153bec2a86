"""Lists of rows in Postgres: a page at a time, or as a whole in bounded memory.

Belongs here: the one rule by which a list is paged, and its cursors. Does not: which lists there
are (``answers.py`` of a pipeline, ``landing``), how they are sent (``api``).

A page begins after the sort values of the last row of the page before, of which the last columns
are a key. So a row that is there all the time comes exactly once, however many have its sort
value, and whatever is inserted or deleted meanwhile. A row whose own sort value changes between
two pages may come twice or not at all: lists are sorted by their key unless asked otherwise.

Cursors are no secrets: they hold sort values, and give nothing that the list does not. Their digest
is of the list, its filters and its order, so that a cursor that was cut, altered or made by another
question is refused, not misread.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar

import msgspec

if TYPE_CHECKING:
    import psycopg

    Connection = psycopg.Connection[Any]

T = TypeVar("T")

Kind = Literal["text", "bigint", "double precision", "timestamptz", "date"]

#: Rows of a list that are in memory at a time while all of them are read.
BLOCK_ROWS = 500
#: Seconds that whoever reads all rows may take between two blocks: a transaction is open meanwhile.
IDLE_SECONDS = 60
_BIGINT = range(-(2**63), 2**63)
_DIGEST_BYTES = 9
#: Characters of a long text that are compared, and of the longest cursor, which is of a key that an
#: index holds (2,704 bytes).
_COMPARED = 300
MOST_CHARACTERS = 6_000


class BrokenCursorError(ValueError):
    """The cursor was not given by this list with these filters and this order."""


@dataclass(frozen=True, slots=True)
class By:
    """A column that a list is sorted by. Unknown values come last in either direction.

    Of a ``long`` text only the first characters count, so that it fits into an address; those that
    begin alike are in the order of what is behind.
    """

    column: str
    kind: Kind
    descending: bool = False
    nullable: bool = False
    long: bool = False

    @property
    def expression(self) -> str:
        """The column as it is compared: texts by their bytes, in every database."""
        shown = f"listed.{self.column}"
        if self.long:
            shown = f"left({shown}, {_COMPARED})"
        return shown + (' COLLATE "C"' if self.kind == "text" else "")

    def compared(self, value: Any) -> Any:
        """What of a row's value is compared."""
        return value[:_COMPARED] if self.long and value is not None else value

    @property
    def order(self) -> str:
        """Its part of ORDER BY."""
        way = "DESC" if self.descending else "ASC"
        return f"{self.expression} {way}{' NULLS LAST' if self.nullable else ''}"


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some rows of a list, and the cursor of those behind them; None behind the last."""

    rows: list[T]
    next: str | None


class Pages(Protocol[T]):
    """A list that can be read by pages or as a whole."""

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of a row's values."""

    def page(self, connection: Connection, limit: int, cursor: str | None) -> Page[T]:
        """At most ``limit`` rows behind the cursor. Raises BrokenCursorError."""

    def blocks(self, connection: Connection, cursor: str | None) -> Iterator[list[Sequence[Any]]]:
        """All rows behind the cursor, as tuples. Raises BrokenCursorError, before the first."""


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """A list of rows of a dataclass, whose fields are columns of ``query``.

    ``order`` ends with columns that are a key of the rows; other columns of it may be ``query``'s
    alone. ``parameters`` are bound by name.
    """

    row: type[T]
    query: str
    order: tuple[By, ...]
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def columns(self) -> tuple[str, ...]:
        """See Pages."""
        return tuple(one.name for one in fields(self.row))  # type: ignore[arg-type]

    @property
    def digest(self) -> bytes:
        """Of all that says which list it is."""
        said = json.dumps(
            [self.query, dict(self.parameters), [repr(one) for one in self.order]],
            sort_keys=True, default=str,
        )  # fmt: skip
        return blake2b(said.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES).digest()

    def page(self, connection: Connection, limit: int, cursor: str | None = None) -> Page[T]:
        """See Pages."""
        statement, bound = self._statement(cursor)
        bound["page_limit"] = limit + 1
        found = connection.execute(f"{statement} LIMIT %(page_limit)s", bound).fetchall()
        rows, width = found[:limit], len(self.columns)
        behind = None
        if len(found) > limit:
            last = zip(self.order, rows[-1][width:], strict=True)
            behind = cursor_of(self.digest, [by.compared(value) for by, value in last])
        return Page([self.row(*one[:width]) for one in rows], behind)

    def blocks(
        self, connection: Connection, cursor: str | None = None
    ) -> Iterator[list[Sequence[Any]]]:
        """See Pages: of one snapshot; the server ends it for who does not go on reading."""
        statement, bound = self._statement(cursor)
        return self._blocks(connection, statement, bound)

    def _blocks(
        self, connection: Connection, statement: str, bound: Mapping[str, Any]
    ) -> Iterator[list[Sequence[Any]]]:
        width = len(self.columns)
        with connection.transaction():
            connection.execute("SET TRANSACTION READ ONLY")
            connection.execute(f"SET LOCAL idle_in_transaction_session_timeout = '{IDLE_SECONDS}s'")
            # All rows are read: not planned for the first few.
            connection.execute("SET LOCAL cursor_tuple_fraction = 1.0")
            with connection.cursor(name="quintet_list") as rows:
                rows.execute(statement, bound)
                while block := rows.fetchmany(BLOCK_ROWS):
                    yield [one[:width] for one in block]

    def _statement(self, cursor: str | None) -> tuple[str, dict[str, Any]]:
        names = [*self.columns, *(one.column for one in self.order)]
        shown = ", ".join(f"listed.{name}" for name in names)
        bound = dict(self.parameters)
        behind = "true"
        if cursor is not None:
            values = values_of(self.digest, [one.kind for one in self.order], cursor)
            if any(
                v is None and not one.nullable for v, one in zip(values, self.order, strict=True)
            ):
                raise BrokenCursorError("the cursor is not one of this list")
            behind = after(self.order, values)
            bound |= {f"after_{n}": value for n, value in enumerate(values)}
        order = ", ".join(one.order for one in self.order)
        return (
            f"SELECT {shown} FROM ({self.query}) AS listed WHERE {behind} ORDER BY {order}",
            bound,
        )


def where(conditions: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """A WHERE clause of those conditions that are asked for, and its parameters.

    ``conditions`` are values by the SQL that names them as ``{}``; None is not asked for.
    """
    asked = {sql: value for sql, value in conditions.items() if value is not None}
    bound = {f"filter_{n}": value for n, value in enumerate(asked.values())}
    said = [sql.format(f"%({name})s") for sql, name in zip(asked, bound, strict=True)]
    return (f"WHERE {' AND '.join(said)}" if said else ""), bound


def after(order: Sequence[By], values: Sequence[Any]) -> str:
    """The condition that a row comes behind the one with these values, which it takes by name."""
    one_way = len({one.descending for one in order}) == 1
    if one_way and not any(one.nullable for one in order):
        # As one comparison, by which an index is entered where the page begins.
        columns = ", ".join(one.expression for one in order)
        bounds = ", ".join(_bound(n, one) for n, one in enumerate(order))
        return f"({columns}) {'<' if order[0].descending else '>'} ({bounds})"
    return _behind(order, values, 0)


def _behind(order: Sequence[By], values: Sequence[Any], n: int) -> str:
    if n == len(order):
        return "false"
    one, further = order[n], _behind(order, values, n + 1)
    if values[n] is None:
        return f"({one.expression} IS NULL AND {further})"
    bound = _bound(n, one)
    behind = f"{one.expression} {'<' if one.descending else '>'} {bound}"
    unknown = f" OR {one.expression} IS NULL" if one.nullable else ""
    return f"({behind}{unknown} OR ({one.expression} = {bound} AND {further}))"


def _bound(n: int, one: By) -> str:
    return f"%(after_{n})s::{one.kind}"


def cursor_of(digest: bytes, values: Sequence[Any]) -> str:
    """An opaque text that stands for the place behind a row with these sort values."""
    said = msgspec.msgpack.encode([_written(one) for one in values])
    return base64.urlsafe_b64encode(_sealed(digest, said) + said).rstrip(b"=").decode()


def values_of(digest: bytes, kinds: Sequence[Kind], cursor: str) -> list[Any]:
    """The sort values that a cursor stands for. Raises BrokenCursorError for any other text."""
    refused = BrokenCursorError("the cursor is not one of this list with these filters and sort")
    if len(cursor) > MOST_CHARACTERS or not cursor.isascii():
        raise refused
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise refused from None
    seal, said = raw[:_DIGEST_BYTES], raw[_DIGEST_BYTES:]
    # One spelling only: what is left of the last character's bits must be nothing.
    canonical = base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
    if seal != _sealed(digest, said) or canonical != cursor:
        raise refused
    try:
        values = msgspec.msgpack.decode(said, type=list[Any])
        return [_read(kind, value) for kind, value in zip(kinds, values, strict=True)]
    except (ValueError, TypeError, RecursionError, msgspec.MsgspecError):
        raise refused from None


def _sealed(digest: bytes, said: bytes) -> bytes:
    return blake2b(said, key=digest, digest_size=_DIGEST_BYTES).digest()


def _written(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, date):
        return value.isoformat()
    return value


def _read(kind: Kind, value: Any) -> Any:
    """Raises ValueError or TypeError for what no row of this kind can have."""
    if value is None:
        return None
    if kind == "timestamptz":
        return datetime.fromisoformat(value).astimezone(UTC)
    if kind == "date":
        return date.fromisoformat(value)
    if kind == "double precision":
        return value if isinstance(value, float) else _integer(value)
    return _integer(value) if kind == "bigint" else _text(value)


def _integer(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value not in _BIGINT:
        raise ValueError(f"no whole number of 64 bits: {value!r}")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError("no text that a store can hold")
    value.encode()
    return value
