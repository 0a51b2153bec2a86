"""One Typesense collection of documents, a table's columns being their fields.

Belongs here: its creation, writing, deleting and reading back by id, sending a search, and classing
what the server says. Does not: which documents a pipeline keeps in one, and what it searches for.

A document's ``id``, which Typesense declares by itself, is the table's key; ``row_hash`` is what it
is read back by.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from assets.frame.tables import ROW_HASH, Column, Table
from assets.sinks.result import SAMPLE
from landing.batch.failures import PermanentError, TransientError
from resources import retryable
from resources.typesense import in_address

if TYPE_CHECKING:
    from typesense.sync.client import Client

Document = dict[str, Any]

_TYPES = {
    "bigint": "int64", "boolean": "bool", "double precision": "float", "integer": "int32",
    "smallint": "int32", "text": "string", "text[]": "string[]",
}  # fmt: skip
#: What a field is unless it says otherwise.
_DEFAULTS = {"facet": False, "optional": False, "index": True}

#: Documents that one answer may hold.
_PAGE = 250
#: Documents that a deletion may name: its filter is part of an address.
_DELETED = 40
#: Ids that may stand in a filter as they are; the others are addressed one by one.
_PLAIN = re.compile(r"[A-Za-z0-9._-]{1,64}")
_REFUSED, _SERVER_ERRORS = 400, 500
_NOT_FOUND, _THERE_ALREADY = 404, 409


@dataclass(frozen=True, slots=True)
class DocumentStore:
    """A collection and the fields of its documents: the table's columns, ``id`` first.

    ``facets`` are counted by value, ``sorted_by`` are texts that results can be ordered by. A
    column that may be null is left out of documents without it. ``row_hash`` is kept, not searched.
    ``separators`` end a word as a space does; Typesense drops other punctuation and joins what it
    stood between.
    """

    client: Client
    name: str
    table: Table
    facets: frozenset[str] = frozenset()
    sorted_by: frozenset[str] = frozenset()
    separators: tuple[str, ...] = ()

    @property
    def fields(self) -> dict[str, dict[str, Any]]:
        """The fields as Typesense is told them, by name; without ``id``."""
        return {column.name: self._field(column) for column in self.table.columns[1:]}

    def ensure(self) -> None:
        """Create the collection, or see that it has our fields and separators.

        Raises PermanentError when it has others, and for what the server refuses.
        """
        wanted = self.fields
        separators = list(self.separators)
        created: Any = {
            "name": self.name, "fields": list(wanted.values()), "token_separators": separators
        }  # fmt: skip
        with asking(f"collection {self.name}"):
            described = self._described()
            if described is None:
                try:
                    described = self.client.collections.create(created)
                except Exception as error:
                    if _status(error) != _THERE_ALREADY:
                        raise
                    described = self._described()
        there = {field["name"]: field for field in (described or {}).get("fields", ())}
        other = sorted(
            name for name in {*there, *wanted} if _differ(there.get(name), wanted.get(name))
        )
        if sorted((described or {}).get("token_separators", ())) != sorted(separators):
            other.append("token_separators")
        if other:
            raise PermanentError(
                f"Typesense collection {self.name} has other fields than ours"
                f" ({', '.join(other)}): drop it, or name another one; then backfill with"
                f" `dagster job backfill --job {self.table.pipeline} --all`"
            )

    def upsert(
        self,
        documents: Sequence[Document],
        refuse: Callable[[str, str], None] | None = None,
    ) -> None:
        """Write the documents; every line of the answer is read.

        ``refuse`` is told of documents that will never be taken, while others of the request were.
        Raises PermanentError or TransientError, naming documents and reasons, when another was not
        taken.
        """
        if not documents:
            return
        lines = "\n".join(json.dumps(one, ensure_ascii=False) for one in documents)
        with asking(f"documents for {self.name}"):
            answer = self.client.collections[self.name].documents.import_(
                lines.encode(), {"action": "upsert", "dirty_values": "reject"}
            )
        outcomes = [json.loads(line) for line in answer.split("\n") if line.strip()]
        if len(outcomes) != len(documents):
            raise TransientError(
                f"Typesense answered for {len(outcomes)} of {len(documents)} documents"
            )
        refused = [
            (one["id"], int(outcome.get("code", _SERVER_ERRORS)), str(outcome.get("error")))
            for one, outcome in zip(documents, outcomes, strict=True)
            if outcome.get("success") is not True
        ]
        at_fault = len(refused) < len(documents) and all(_permanent(one) for _, one, _ in refused)
        if refuse and at_fault:
            for key, status, reason in refused:
                refuse(key, f"{status} {reason}")
        elif refused:
            reasons = Counter(f"{status} {reason}" for _, status, reason in refused)
            raise refusal(
                # Transient only when all of them are: one that never will be taken decides.
                max((status for _, status, _ in refused), key=_permanent),
                f"Typesense refused {len(refused)} of {len(documents)} documents, among them"
                f" {', '.join(key for key, _, _ in refused[:SAMPLE])}:"
                f" {'; '.join(f'{n} x {reason}' for reason, n in reasons.most_common(SAMPLE))}",
            )

    def delete(self, keys: Sequence[str]) -> None:
        """Remove the documents that are there."""
        documents = self.client.collections[self.name].documents
        plain = [key for key in keys if _PLAIN.fullmatch(key)]
        with asking(f"deletion from {self.name}"):
            for at in range(0, len(plain), _DELETED):
                documents.delete({"filter_by": f"id:[{','.join(plain[at : at + _DELETED])}]"})
            for key in keys:
                if not _PLAIN.fullmatch(key):
                    _forgiving(documents[in_address(key)].delete)

    def stored(self, keys: Sequence[str]) -> dict[str, str]:
        """The hashes of those of the documents that are there."""
        found: dict[str, str] = {}
        plain = [key for key in keys if _PLAIN.fullmatch(key)]
        for at in range(0, len(plain), _PAGE):
            answer = self.search(
                {
                    "q": "*",
                    "filter_by": f"id:[{','.join(plain[at : at + _PAGE])}]",
                    "include_fields": f"id,{ROW_HASH.name}",
                    "per_page": _PAGE,
                }
            )
            found |= {hit["document"]["id"]: _hash(hit["document"]) for hit in answer["hits"]}
        documents = self.client.collections[self.name].documents
        with asking(f"documents of {self.name}"):
            for key in keys:
                if not _PLAIN.fullmatch(key):
                    one = _forgiving(documents[in_address(key)].retrieve)
                    found |= {key: _hash(one)} if one is not None else {}
        return found

    def count(self) -> int:
        """How many documents the collection holds; none when there is no collection."""
        with asking(f"collection {self.name}"):
            described = self._described()
        return int(described["num_documents"]) if described else 0

    def search(self, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
        """The result of one search, sent as a body: an address has at most 4,000 bytes.

        Raises PermanentError or TransientError for a failure, which comes in an answer of status
        200.
        """
        (found,) = self.searches([parameters])
        return found

    def searches(self, several: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """The results of several searches of one request; raises as :meth:`search`."""
        searches: Any = {"searches": [{"collection": self.name, **one} for one in several]}
        with asking("a search"):
            answer: Any = self.client.multi_search.perform(searches)
        results: list[Mapping[str, Any]] = answer["results"]
        for found in results:
            if "error" in found:
                status = int(found.get("code", _SERVER_ERRORS))
                raise refusal(status, f"Typesense refused a search: {found['error']}")
        return results

    def _field(self, column: Column) -> dict[str, Any]:
        field: dict[str, Any] = {"name": column.name, "type": _TYPES[column.type]}
        if column.name in self.facets:
            field["facet"] = True
        if column.name in self.sorted_by:
            field["sort"] = True
        if column.name == ROW_HASH.name:
            # What is not indexed must be optional.
            return field | {"index": False, "optional": True}
        return field | ({"optional": True} if column.nullable else {})

    def _described(self) -> Mapping[str, Any] | None:
        return _forgiving(self.client.collections[self.name].retrieve)


@contextmanager
def asking(what: str) -> Iterator[None]:
    """Class the client's errors, whose statuses nothing else knows."""
    from typesense.exceptions import TypesenseClientError

    try:
        yield
    except TypesenseClientError as error:
        status = _status(error)
        if status is None:
            raise
        raise refusal(status, f"Typesense refused {what}: {error}") from error


def refusal(status: int, message: str) -> PermanentError | TransientError:
    """What the server's refusal with an HTTP status means."""
    return PermanentError(message) if _permanent(status) else TransientError(message)


def _hash(document: Mapping[str, Any]) -> str:
    return str(document.get(ROW_HASH.name, ""))


def _forgiving(call: Callable[[], Any]) -> Mapping[str, Any] | None:
    """What the call answers; None where there is nothing of that name."""
    try:
        answer: Mapping[str, Any] = call()
    except Exception as error:
        if _status(error) != _NOT_FOUND:
            raise
        return None
    return answer


def _differ(there: Mapping[str, Any] | None, wanted: Mapping[str, Any] | None) -> bool:
    if there is None or wanted is None:
        return True
    complete = {**_DEFAULTS, **wanted}
    return any(there.get(setting) != value for setting, value in complete.items())


def _status(error: Exception) -> int | None:
    """The HTTP status of an error of the client, which keeps it as an OSError's number."""
    from typesense.exceptions import TypesenseClientError

    number = error.errno if isinstance(error, TypesenseClientError) else None
    return number if number and number >= _REFUSED else None


def _permanent(status: int) -> bool:
    return not retryable.http(status)
