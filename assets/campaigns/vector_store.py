"""One Milvus collection of vectors that are all of one model.

Belongs here: its creation, the model's name kept with it, writing and reading rows by key. Does
not: which rows (``message_embeddings.py``, ``profiles.py``) and searching (``recommendations.py``).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from assets.campaigns.embeddings import Space
from landing.failures import PermanentError
from resources.milvus import one_of

if TYPE_CHECKING:
    from pymilvus import CollectionSchema, MilvusClient

#: FLAT is exact and free to build; from about 20,000 searched vectors on HNSW answers faster.
IndexKind = Literal["FLAT", "HNSW", "AUTOINDEX"]
Row = dict[str, Any]

#: Rows per call: 1,000 vectors of 1,024 numbers are 4 MB, a sixteenth of what a server takes.
BATCH_ROWS = 1_000
#: Longest key in bytes.
_KEY_BYTES = 512
_MODEL = "quintet.model"
_INDEX_PARAMS: dict[str, dict[str, int]] = {"HNSW": {"M": 16, "efConstruction": 200}}


class AnotherModelError(PermanentError):
    """The collection holds vectors of another model: they cannot be compared with ours."""


@dataclass(frozen=True, slots=True)
class VectorStore:
    """A collection and the shape of its rows.

    ``key`` is the primary key's field; ``strings`` and ``integers`` are fields beside the vector,
    which is called ``vector`` and compared by cosine.
    """

    client: MilvusClient
    name: str
    space: Space
    key: str
    strings: tuple[str, ...]
    integers: tuple[str, ...] = ()
    index: IndexKind = "FLAT"

    def ensure(self) -> None:
        """Create the collection or what a kill left out of it, and load it.

        Raises AnotherModelError when it belongs to another model or size.
        """
        if not self.client.has_collection(self.name):
            self.client.create_collection(
                self.name,
                schema=self._schema(),
                consistency_level="Strong",
                properties={_MODEL: self._model},
            )
        self._check_model()
        if not self.client.list_indexes(self.name):
            params = self.client.prepare_index_params()
            params.add_index(
                "vector",
                index_type=self.index,
                metric_type="COSINE",
                params=_INDEX_PARAMS.get(self.index, {}),
            )
            self.client.create_index(self.name, params)
        # After a restart of the server nothing is loaded.
        self.client.load_collection(self.name)

    def upsert(self, rows: Sequence[Row]) -> None:
        """Write rows, each with every field."""
        for at in range(0, len(rows), BATCH_ROWS):
            self.client.upsert(self.name, list(rows[at : at + BATCH_ROWS]))

    def stored(self, keys: Sequence[str], fields: Iterable[str]) -> dict[str, Row]:
        """The rows that are there, by key."""
        wanted = [self.key, *fields]
        found: dict[str, Row] = {}
        for at in range(0, len(keys), BATCH_ROWS):
            rows = self.client.query(
                self.name,
                filter=one_of(self.key, keys[at : at + BATCH_ROWS]),
                output_fields=wanted,
                consistency_level="Strong",
            )
            found |= {row[self.key]: row for row in rows}
        return found

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
        iterator = self.client.query_iterator(
            self.name, batch_size=BATCH_ROWS, output_fields=[self.key], filter=""
        )
        try:
            while rows := iterator.next():
                yield [row[self.key] for row in rows]
        finally:
            iterator.close()

    @property
    def _model(self) -> str:
        return f"{self.space.model}/{self.space.dimensions}"

    def _schema(self) -> CollectionSchema:
        from pymilvus import DataType, MilvusClient

        schema = MilvusClient.create_schema(
            auto_id=False, enable_dynamic_field=False, description=f"vectors of {self._model}"
        )
        schema.add_field(self.key, DataType.VARCHAR, is_primary=True, max_length=_KEY_BYTES)
        for field in self.strings:
            schema.add_field(field, DataType.VARCHAR, max_length=_KEY_BYTES)
        for field in self.integers:
            schema.add_field(field, DataType.INT64)
        schema.add_field("vector", DataType.FLOAT_VECTOR, dim=self.space.dimensions)
        return schema

    def _check_model(self) -> None:
        described: Mapping[str, Any] = self.client.describe_collection(self.name)
        held = described.get("properties", {}).get(_MODEL)
        if held != self._model:
            raise AnotherModelError(
                f"collection {self.name} holds vectors of {held or 'an unknown model'}, not of"
                f" {self._model}: set OPENAI_EMBEDDING_MODEL back, or name a new collection, or"
                f" drop this one; then backfill with"
                " `dagster job backfill --job campaigns --all`"
            )
