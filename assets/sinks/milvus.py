"""One Milvus collection of vectors that are all of one model.

Belongs here: its creation, the model's name kept with it, writing and reading rows by key. Does
not: which rows a pipeline keeps in one, and searching.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from assets.embeddings import Space
from assets.frame.tables import ROW_HASH, Table
from assets.sinks.isolating import Isolating, Refusal
from assets.sinks.milvus_index import Index
from assets.sinks.result import Verification
from landing.batch.failures import PermanentError, classify
from resources.milvus import one_of, sdk

if TYPE_CHECKING:
    from pymilvus import CollectionSchema, DataType, MilvusClient

    from assets.embeddings import VectorCache

Row = dict[str, Any]

#: Rows per call, and bytes of their values: 1,000 vectors of 1,024 numbers are 4 MB, a server takes
#: 64 MB, and a text may have 64 KB.
BATCH_ROWS = 1_000
BATCH_BYTES = 16 * 1024 * 1024
VECTOR = "vector"
#: The function field beside a text: what BM25 searches.
SPARSE = "sparse"
#: Longest text in bytes; Milvus takes no longer VARCHAR.
TEXT_BYTES = 65_535
#: Longest key in bytes.
_KEY_BYTES = 512
#: What Milvus says of a value that it will never take, and of data that may be at fault.
_OF_ONE_VALUE = ("exceeds max length", "exceeds max_length", "is not a number or infinity")
_OF_DATA = (*_OF_ONE_VALUE, "row number", "exceeds", "expected", "should be", "invalid")
_MODEL = "quintet.model"
_AUTO = Index()
_HASH = ROW_HASH.name
#: Vectors of a page that a verification compares number by number.
_COMPARED_VECTORS = 3
_TOLERANCE = 1e-6


class AnotherModelError(PermanentError):
    """The collection holds vectors of another model: they cannot be compared with ours."""


class AnotherSchemaError(PermanentError):
    """The collection has other fields than ours."""


def _refusal(error: Exception) -> Refusal | None:
    """What Milvus, or its client, says of the values of rows."""
    exceptions = sdk().exceptions
    if not isinstance(error, exceptions.MilvusException) or classify(error) == "transient":
        return None
    said = str(error.message)
    if isinstance(error, _by_name(exceptions)) or any(words in said for words in _OF_DATA):
        return Refusal(said, certain=any(words in said for words in _OF_ONE_VALUE))
    return None


def _by_name(exceptions: Any) -> tuple[type[Exception], ...]:
    return exceptions.DataNotMatchException, exceptions.ParamError


@dataclass(frozen=True, slots=True)
class VectorStore:
    """A collection and the shape of its rows.

    The columns of ``table`` are its fields; the one called ``vector`` is compared by cosine.
    ``text``, if any, is the column that BM25 searches, through the column ``sparse``.
    """

    client: MilvusClient
    name: str
    space: Space
    table: Table
    index: Index = _AUTO
    text: str | None = None

    @property
    def key(self) -> str:
        """The primary key's field."""
        return self.table.key[0]

    def ensure(self) -> None:
        """Create the collection or what a kill left out of it, and load it.

        Where the vectors' index is not the one that they should have, they get another; until it is
        built nobody finds any.

        Raises AnotherModelError when it belongs to another model or size, AnotherSchemaError when
        it has other fields.
        """
        if not self.client.has_collection(self.name):
            self.client.create_collection(
                self.name,
                schema=self._schema(),
                consistency_level="Strong",
                properties={_MODEL: self._model},
            )
        self._check()
        self._index()
        # After a restart of the server nothing is loaded.
        self.client.load_collection(self.name)

    def upsert(self, rows: Sequence[Row]) -> None:
        """Write rows, each with every field."""
        for part in self._parts(rows):
            self.client.upsert(self.name, part)

    def isolating(self, refuse: Callable[[str, str], None] | None) -> Isolating[list[Row]]:
        """To write rows through, of which those that Milvus refuses are told by key.

        Without ``refuse`` every error is raised.
        """

        def refused(rows: list[Row], detail: str) -> None:
            if refuse:
                refuse(rows[0][self.key], detail)

        return Isolating(_refusal, refused if refuse else None)

    def stored(self, keys: Sequence[str], fields: Iterable[str]) -> dict[str, Row]:
        """The rows that are there, by key."""
        return self.where(self.key, keys, fields)

    def where(self, field: str, values: Sequence[str], fields: Iterable[str]) -> dict[str, Row]:
        """The rows whose ``field`` has one of the values, by key."""
        wanted = [self.key, *fields]
        found: dict[str, Row] = {}
        for at in range(0, len(values), BATCH_ROWS):
            rows = self.client.query(
                self.name,
                filter=one_of(field, values[at : at + BATCH_ROWS]),
                output_fields=wanted,
                consistency_level="Strong",
            )
            found |= {row[self.key]: row for row in rows}
        return found

    def hashes(self, keys: Sequence[str]) -> dict[str, str]:
        """The ``row_hash`` of the rows that are there, by key."""
        return {key: row[_HASH] for key, row in self.stored(keys, [_HASH]).items()}

    def sampled(self, text_hashes: Mapping[str, str], cache: VectorCache) -> Verification:
        """Rows by key whose vector is not, number by number, the cached one of their text's hash.

        The first of them only: vectors are large, and what is written together is right together.
        """
        import numpy as np

        keys = list(text_hashes)[:_COMPARED_VECTORS]
        vectors = cache.vectors(text_hashes[key] for key in keys)
        found = self.stored(keys, [VECTOR])
        differing = [
            key
            for key in keys
            if not np.allclose(
                found.get(key, {}).get(VECTOR, 0),
                vectors.get(text_hashes[key], 0),
                atol=_TOLERANCE,
            )
        ]
        return Verification(differing=len(differing), sample=tuple(differing))

    def delete(self, keys: Sequence[str]) -> int:
        """Remove rows; how many there were."""
        there = list(self.stored(keys, ()))
        for at in range(0, len(there), BATCH_ROWS):
            self.client.delete(self.name, filter=one_of(self.key, there[at : at + BATCH_ROWS]))
        return len(there)

    def flush(self) -> None:
        """Make everything written durable."""
        self.client.flush(self.name)

    def key_pages(self) -> Iterator[list[str]]:
        """All keys, a thousand at a time."""
        return self.pages(self.key)

    def pages(self, field: str) -> Iterator[list[str]]:
        """One field of all rows, a thousand at a time."""
        iterator = self.client.query_iterator(
            self.name, batch_size=BATCH_ROWS, output_fields=[field], filter=""
        )
        try:
            while rows := iterator.next():
                yield [row[field] for row in rows]
        finally:
            iterator.close()

    def _parts(self, rows: Sequence[Row]) -> Iterator[list[Row]]:
        """Rows in calls that a server takes."""
        part: list[Row] = []
        size = 0
        for row in rows:
            texts = sum(len(value.encode()) for value in row.values() if isinstance(value, str))
            more = 4 * self.space.dimensions + texts
            if part and (len(part) == BATCH_ROWS or size + more > BATCH_BYTES):
                yield part
                part, size = [], 0
            part.append(row)
            size += more
        if part:
            yield part

    @property
    def _model(self) -> str:
        return f"{self.space.model}/{self.space.dimensions}"

    def _schema(self) -> CollectionSchema:
        pymilvus = sdk()
        schema: CollectionSchema = pymilvus.MilvusClient.create_schema(
            auto_id=False, enable_dynamic_field=False, description=f"vectors of {self._model}"
        )
        # Words in lower case: the one analyzer that every server has.
        searched = {"enable_analyzer": True, "enable_match": True, "max_length": TEXT_BYTES,
                    "analyzer_params": {"type": "standard"}}  # fmt: skip
        kinds: dict[str, tuple[DataType, dict[str, Any]]] = {
            "text": (pymilvus.DataType.VARCHAR, {"max_length": _KEY_BYTES}),
            "bigint": (pymilvus.DataType.INT64, {}),
            "real[]": (pymilvus.DataType.FLOAT_VECTOR, {"dim": self.space.dimensions}),
            "sparsevec": (pymilvus.DataType.SPARSE_FLOAT_VECTOR, {}),
        }
        for column in self.table.columns:
            kind, settings = kinds[column.type]
            if column.name == self.text:
                settings = searched
            schema.add_field(column.name, kind, is_primary=column.name == self.key, **settings)
        if self.text:
            schema.add_function(
                pymilvus.Function(
                    name="bm25",
                    function_type=pymilvus.FunctionType.BM25,
                    input_field_names=[self.text],
                    output_field_names=[SPARSE],
                )
            )
        return schema

    def _index(self) -> None:
        params = self.client.prepare_index_params()
        rows = int(self.client.get_collection_stats(self.name)["row_count"])
        kind, settings = self.index.of(rows)
        held = self.client.list_indexes(self.name, VECTOR)
        if held and self._outgrown(held[0], kind):
            self.client.release_collection(self.name)
            self.client.drop_index(self.name, held[0])
            held = []
        if not held:
            params.add_index(VECTOR, index_type=kind, metric_type="COSINE", params=dict(settings))
        if self.text and not self.client.list_indexes(self.name, SPARSE):
            params.add_index(SPARSE, index_type="SPARSE_INVERTED_INDEX", metric_type="BM25")
        if len(params):
            self.client.create_index(self.name, params)

    def _outgrown(self, index: str, kind: str) -> bool:
        """Whether the vectors' index is of another kind than it should be.

        One that was chosen by their number stays when some are removed.
        """
        held = self.client.describe_index(self.name, index)["index_type"]
        return held != kind and not (self.index.kind == "auto" and held == "HNSW")

    def _check(self) -> None:
        described: Mapping[str, Any] = self.client.describe_collection(self.name)
        held = described.get("properties", {}).get(_MODEL)
        again = f"then backfill with `dagster job backfill --job {self.table.pipeline} --all`"
        if held != self._model:
            raise AnotherModelError(
                f"collection {self.name} holds vectors of {held or 'an unknown model'}, not of"
                f" {self._model}: set OPENAI_EMBEDDING_MODEL back, or name a new collection, or"
                f" drop this one; {again}"
            )
        fields = {field["name"] for field in described["fields"]}
        if fields != set(self.table.names):
            raise AnotherSchemaError(
                f"collection {self.name} has the fields {', '.join(sorted(fields))}, not"
                f" {', '.join(sorted(self.table.names))}: name a new collection or drop this one;"
                f" {again}"
            )
