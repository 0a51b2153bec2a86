"""Embeddings of texts: asked of the API once per text, model and dimensions, then kept.

Belongs here: the cache in Postgres and the calls that fill it. Does not: which texts, and where
vectors go next. A text is known by its hash, the SHA-256 of its UTF-8 in hex.

The API takes 8,192 tokens a text, 300,000 and 2,048 texts a call. How many tokens a text has only
its model's table tells, which is not to be had offline; none has more tokens than bytes of UTF-8,
for each token stands for one byte at least. So the model gets the first TEXT_BYTES bytes of a text,
which in most languages are some 1,500 words or more, and calls hold CALL_BYTES.
Source: https://platform.openai.com/docs/api-reference/embeddings/create
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from assets.sinks.isolating import Isolating, Refusal
from landing.batch.failures import PermanentError, TransientError
from resources.advisory_locks import Lock, held

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import psycopg
    from openai import OpenAI

    from resources.openai import OpenAIResource
    from resources.postgres import PostgresResource

    Vector = npt.NDArray[np.float32]

DIMENSIONS = 1_024
#: One less than the tokens that the API takes: some tokenizers put one before a text.
TEXT_BYTES = 8_191
#: Bytes of texts per call, and texts: a call that is lost costs little.
CALL_BYTES = 290_000
CALL_TEXTS = 128
#: Attempts at a call, and seconds after which no further one begins.
ATTEMPTS = 8
CALL_SECONDS = 60.0
#: What the API says of a text with too many tokens.
_TOO_LONG = ("maximum context length", "maximum input length")
#: Vectors kept in memory: 4 KiB each.
_KEPT = 4_096

_KNOWN = """
SELECT text_hash FROM cache.embedding
WHERE model = %(model)s AND dimensions = %(dimensions)s AND text_hash = ANY(%(hashes)s)
"""
_READ = """
SELECT text_hash, vector FROM cache.embedding
WHERE model = %(model)s AND dimensions = %(dimensions)s AND text_hash = ANY(%(hashes)s)
"""
_STORE = """
INSERT INTO cache.embedding (model, dimensions, text_hash, vector)
SELECT %(model)s, %(dimensions)s, text_hash, vector
FROM unnest(%(hashes)s::text[], %(vectors)s::bytea[]) AS new (text_hash, vector)
ON CONFLICT DO NOTHING
"""


class MissingVectorError(TransientError):
    """The API answered with fewer or more vectors than it was given texts."""


class UnusableVectorError(TransientError):
    """The API answered with a vector that has no direction: null, zero, or of no finite numbers."""


@dataclass(frozen=True, slots=True)
class Space:
    """What vectors must share to be comparable."""

    model: str
    dimensions: int = DIMENSIONS


@dataclass(frozen=True, slots=True)
class EmbeddingResult:
    """Distinct texts, of which ``embedded`` were paid for now, in ``calls`` answered calls."""

    distinct: int = 0
    embedded: int = 0
    calls: int = 0
    tokens: int = 0

    def plus(self, other: EmbeddingResult) -> EmbeddingResult:
        """Both together; texts that both had count twice in ``distinct``."""
        return EmbeddingResult(
            self.distinct + other.distinct,
            self.embedded + other.embedded,
            self.calls + other.calls,
            self.tokens + other.tokens,
        )

    @property
    def details(self) -> dict[str, int]:
        """What a sink reports of it."""
        return {"embedded": self.embedded, "calls": self.calls, "tokens": self.tokens}


class VectorCache:
    """Reads cached vectors, the latest used ones from memory."""

    def __init__(self, connection: psycopg.Connection[Any], space: Space) -> None:
        self._connection, self._space = connection, space
        self._kept: OrderedDict[str, Vector] = OrderedDict()

    def vectors(self, hashes: Iterable[str]) -> dict[str, Vector]:
        """The vectors (float32, ``dimensions`` long) of the hashes that are known."""
        import numpy as np

        found: dict[str, Vector] = {}
        wanted = set(hashes)
        for text_hash in wanted & self._kept.keys():
            self._kept.move_to_end(text_hash)
            found[text_hash] = self._kept[text_hash]
        if unknown := wanted - found.keys():
            parameters = _parameters(self._space, sorted(unknown))
            for text_hash, raw in self._connection.execute(_READ, parameters, binary=True):
                found[text_hash] = self._kept[text_hash] = np.frombuffer(raw, dtype="<f4")
        while len(self._kept) > _KEPT:
            self._kept.popitem(last=False)
        return found

    def required(self, hashes: Iterable[str]) -> dict[str, Vector]:
        """As :meth:`vectors`, of hashes that were ensured. Raises TransientError for one gone."""
        wanted = set(hashes)
        found = self.vectors(wanted)
        if left := len(wanted) - len(found):
            raise TransientError(f"{left} embeddings left the cache while they were being used")
        return found


class Embedder:
    """Makes sure that texts are in the cache. One at a time may pay for texts: see ``embedder``."""

    def __init__(
        self, connection: psycopg.Connection[Any], client: OpenAI, space: Space, concurrency: int
    ) -> None:
        self._connection, self._client = connection, client
        self._space, self._concurrency = space, concurrency
        self._failed = threading.Event()

    def ensure(
        self, texts: Mapping[str, str], refused: dict[str, str] | None = None
    ) -> EmbeddingResult:
        """Embed those of the texts, given by their hash, that no one has paid for yet.

        A text that the API refuses, while it takes others or in words that mean nothing else, is
        put into ``refused``: the words by the text's hash. So is one that it gives no usable vector
        for, while it does for others. Without ``refused`` either is raised. The answer of every
        call is in the cache before its thread makes the next. Raises openai errors after ATTEMPTS
        attempts, MissingVectorError, UnusableVectorError, PermanentError for wrong dimensions.
        """
        if not texts:
            return EmbeddingResult()
        # Two sinks of one run want the same texts.
        with held(self._connection, Lock.EMBEDDINGS):
            known = self._connection.execute(_KNOWN, _parameters(self._space, list(texts)))
            have = {row[0] for row in known}
            new = [(key, text) for key, text in texts.items() if key not in have]
            calls = list(_calls(new))
            tokens = sum(self._in_parallel(calls, refused))
        embedded = len(new) - sum(key in (refused or ()) for key, _ in new)
        return EmbeddingResult(len(texts), embedded, len(calls), tokens)

    def _in_parallel(
        self, calls: Sequence[Sequence[tuple[str, str]]], refused: dict[str, str] | None
    ) -> Iterator[int]:
        if not calls:
            return
        self._failed.clear()
        workers = min(self._concurrency, len(calls))
        with ThreadPoolExecutor(workers, thread_name_prefix="embed") as pool:
            yield from pool.map(lambda texts: self._call(texts, refused), calls)

    def _call(self, texts: Sequence[tuple[str, str]], refused: dict[str, str] | None) -> int:
        if self._failed.is_set():
            return 0  # another call has failed for good: nothing more is paid for
        told = None if refused is None else (lambda one, why: refused.update({one[0][0]: why}))
        isolating: Isolating[Sequence[tuple[str, str]]] = Isolating(_refusal, told)
        paid: list[int] = []
        try:
            isolating.write(texts, lambda part: paid.append(self._embed(part)))
            isolating.settle()
        except BaseException:
            self._failed.set()
            raise
        return sum(paid)

    def _embed(self, texts: Sequence[tuple[str, str]]) -> int:
        vectors, tokens = embed(self._client, self._space, [text for _, text in texts])
        parameters = _parameters(self._space, [key for key, _ in texts])
        self._connection.execute(_STORE, {**parameters, "vectors": vectors})
        return tokens


@contextmanager
def embedder(
    pg: PostgresResource, openai: OpenAIResource
) -> Iterator[tuple[Embedder, VectorCache]]:
    """What fills and what reads the cache for the resource's model, on one connection."""
    space = Space(openai.embedding_model)
    with pg.connect(autocommit=True) as connection, openai.client() as client:
        yield (
            Embedder(connection, client, space, openai.concurrency),
            VectorCache(connection, space),
        )


def hash_of(text: str) -> str:
    """What a text is known by in the cache."""
    return hashlib.sha256(text.encode()).hexdigest()


def embed(client: OpenAI, space: Space, texts: Sequence[str]) -> tuple[list[bytes], int]:
    """Vectors of the texts as little-endian float32, in their order, and the tokens used.

    Each is of finite numbers, not all of which are zero. Raises openai errors, MissingVectorError,
    UnusableVectorError, PermanentError for vectors of another length.
    """
    import numpy as np
    import stamina

    from resources.openai import retry_after

    def worth_it(error: Exception) -> bool | float:
        return isinstance(error, (MissingVectorError, UnusableVectorError)) or retry_after(error)

    for attempt in stamina.retry_context(
        on=worth_it, attempts=ATTEMPTS, timeout=CALL_SECONDS, wait_initial=0.2, wait_max=10.0
    ):
        with attempt:
            answer = client.embeddings.create(
                model=space.model,
                input=[beginning(text) for text in texts],
                dimensions=space.dimensions,
                encoding_format="float",
            )
            data = sorted(answer.data or [], key=lambda item: item.index)
            if [item.index for item in data] != list(range(len(texts))):
                raise MissingVectorError(
                    f"model {space.model} gave {len(data)} vectors for {len(texts)} texts"
                )
            vectors = [np.asarray(item.embedding or (), dtype="<f4") for item in data]
            lengths = {len(vector) for vector in vectors}
            if not lengths & {0, space.dimensions}:
                raise PermanentError(
                    f"model {space.model} gives vectors of {sorted(lengths)} numbers, not"
                    f" {space.dimensions}: choose a model that can (OPENAI_EMBEDDING_MODEL)"
                )
            if bad := sum(not usable(vector, space) for vector in vectors):
                raise UnusableVectorError(
                    f"model {space.model} gave {bad} unusable vectors for {len(texts)} texts"
                )
    tokens = answer.usage.total_tokens if answer.usage else 0
    return [vector.tobytes() for vector in vectors], tokens


def usable(vector: Vector, space: Space) -> bool:
    """Whether it has the space's length, and a direction: finite numbers that are not all zero."""
    import numpy as np

    return len(vector) == space.dimensions and bool(np.isfinite(vector).all() and vector.any())


def beginning(text: str) -> str:
    """What the model gets of a text: whole characters of its first TEXT_BYTES bytes."""
    if len(text) * 4 <= TEXT_BYTES:
        return text
    return text.encode()[:TEXT_BYTES].decode(errors="ignore")


def _calls(texts: Sequence[tuple[str, str]]) -> Iterator[list[tuple[str, str]]]:
    """Texts by their hashes, in calls that the API takes."""
    call: list[tuple[str, str]] = []
    size = 0
    for one in texts:
        more = min(len(one[1].encode()), TEXT_BYTES)
        if call and (len(call) == CALL_TEXTS or size + more > CALL_BYTES):
            yield call
            call, size = [], 0
        call.append(one)
        size += more
    if call:
        yield call


def _refusal(error: Exception) -> Refusal | None:
    """What the API says of texts. Of a model or a key that is wrong it says it to every text."""
    import openai

    if isinstance(error, UnusableVectorError):
        return Refusal(str(error))
    if not isinstance(error, openai.BadRequestError | openai.UnprocessableEntityError):
        return None
    return Refusal(error.message, certain=any(words in error.message for words in _TOO_LONG))


def _parameters(space: Space, hashes: Sequence[str]) -> Mapping[str, Any]:
    return {"model": space.model, "dimensions": space.dimensions, "hashes": hashes}
