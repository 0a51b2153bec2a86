"""One Typesense document per song, with the song's key as its id.

Belongs here: the collection, its documents, writing and reading them back. Does not: searching
(``answers.py``).
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from assets.music.search.passages import words_text
from assets.music.search.song_rows import Song, read_songs
from assets.sinks.result import SAMPLE, SinkResult, Verification, compared
from landing.batch.failures import PermanentError, TransientError
from resources import retryable
from resources.typesense import in_address

if TYPE_CHECKING:
    from typesense.sync.client import Client

    from resources.postgres import PostgresResource

Document = dict[str, Any]

#: ``id`` is the song's key, which Typesense declares by itself. ``song_key`` repeats it to sort by.
#: ``genre_code`` stands for the genre in filters: see :func:`genre_code`.
FIELDS: tuple[Mapping[str, Any], ...] = (
    {"name": "song_key", "type": "string", "sort": True},
    {"name": "title", "type": "string", "optional": True},
    {"name": "artist", "type": "string", "optional": True},
    {"name": "artists", "type": "string[]"},
    {"name": "album", "type": "string", "optional": True},
    {"name": "genre", "type": "string", "facet": True, "optional": True},
    {"name": "genre_code", "type": "string", "optional": True},
    {"name": "year", "type": "int32", "facet": True, "optional": True},
    {"name": "lyrics", "type": "string", "optional": True},
    {"name": "row_hash", "type": "string", "index": False, "optional": True},
)
_DEFAULTS = {"facet": False, "optional": False, "index": True}

#: Documents that one answer may hold.
_PAGE = 250
#: Documents that a deletion may name: its filter is part of an address.
_DELETED = 40
#: Ids that may stand in a filter as they are; the others are addressed one by one.
_PLAIN = re.compile(r"[A-Za-z0-9._-]{1,64}")
_REFUSED, _SERVER_ERRORS = 400, 500
_NOT_FOUND, _THERE_ALREADY = 404, 409


def ensure(client: Client, name: str) -> None:
    """Create the collection, or see that it has our fields.

    Raises PermanentError when it has others, and for what the server refuses.
    """
    fields: Any = [dict(field) for field in FIELDS]
    with asking(f"collection {name}"):
        described = _described(client, name)
        if described is None:
            try:
                described = client.collections.create({"name": name, "fields": fields})
            except Exception as error:
                if _status(error) != _THERE_ALREADY:
                    raise
                described = _described(client, name)
    there = {field["name"]: field for field in (described or {}).get("fields", ())}
    wanted = {field["name"]: field for field in FIELDS}
    if other := sorted(
        field for field in {*there, *wanted} if _differ(there.get(field), wanted.get(field))
    ):
        raise PermanentError(
            f"Typesense collection {name} has other fields than these songs ({', '.join(other)}):"
            " drop it, or name another one in MUSIC_TYPESENSE_COLLECTION; then backfill with"
            " `dagster job backfill --job music --all`"
        )


def write(
    pages: Iterable[Sequence[str]], client: Client, name: str, pg: PostgresResource
) -> SinkResult:
    """Upsert the songs of the pages of keys as they are now; delete those that are gone.

    ``unchanged`` are songs that were there with the same hash. ``details``: with_lyrics. Raises
    TransientError or PermanentError, naming songs and reasons, when a document was not taken.
    """
    started = time.monotonic()
    ensure(client, name)
    written = unchanged = deleted = with_lyrics = 0
    with pg.connect() as connection:
        for keys in pages:
            songs = read_songs(connection, keys)
            connection.commit()
            documents = [document(song) for song in songs]
            before = stored(client, name, keys)
            _import(client, name, documents)
            gone = sorted(before.keys() - {song.song_key for song in songs})
            _delete(client, name, gone)
            written += len(documents)
            unchanged += sum(before.get(song.song_key) == song.row_hash for song in songs)
            deleted += len(gone)
            with_lyrics += sum("lyrics" in one for one in documents)
    return SinkResult(
        written, unchanged, deleted, time.monotonic() - started, {"with_lyrics": with_lyrics}
    )


def verify(
    pages: Iterable[Sequence[str]], client: Client, name: str, pg: PostgresResource
) -> Verification:
    """Every song that there is has a document with its hash, and no song that is gone has one."""
    total = Verification()
    with pg.connect() as connection:
        for keys in pages:
            expected = {song.song_key: song.row_hash for song in read_songs(connection, keys)}
            connection.commit()
            absent = [key for key in keys if key not in expected]
            total = total.plus(compared(expected, stored(client, name, keys), absent))
    return total


def count(client: Client, name: str) -> int:
    """How many songs the collection holds; none when there is no collection."""
    with asking(f"collection {name}"):
        described = _described(client, name)
    return int(described["num_documents"]) if described else 0


def document(song: Song) -> Document:
    """The song as a document: fields without a value are left out."""
    lyrics = (song.lyrics.text or "").strip() or words_text(song.lyrics.words or ())
    fields = {
        "id": song.song_key,
        "song_key": song.song_key,
        "title": song.title,
        "artist": song.artist,
        "artists": list(song.artists),
        "album": song.album,
        "genre": song.genre,
        "genre_code": genre_code(song.genre) if song.genre else None,
        "year": song.year,
        "lyrics": lyrics or None,
        "row_hash": song.row_hash,
    }
    return {field: value for field, value in fields.items() if value is not None}


def genre_code(genre: str) -> str:
    """32 hex digits for a genre, whatever its case and spacing.

    Filters name a genre by it: Typesense has no escape for a backtick within a value, and takes
    ``R&B`` and ``RB`` for equal.
    """
    from assets.music.bronze.records import normalised

    return hashlib.sha256(normalised(genre).encode()).hexdigest()[:32]


def stored(client: Client, name: str, keys: Sequence[str]) -> dict[str, str]:
    """The hashes of those of the songs that are there."""
    found: dict[str, str] = {}
    plain = [key for key in keys if _PLAIN.fullmatch(key)]
    with asking(f"collection {name}"):
        for at in range(0, len(plain), _PAGE):
            part = plain[at : at + _PAGE]
            answer = search(
                client,
                {
                    "collection": name,
                    "q": "*",
                    "filter_by": f"id:[{','.join(part)}]",
                    "include_fields": "id,row_hash",
                    "per_page": _PAGE,
                },
            )
            found |= {
                hit["document"]["id"]: hit["document"].get("row_hash", "") for hit in answer["hits"]
            }
        for key in keys:
            if not _PLAIN.fullmatch(key) and (one := _one(client, name, key)) is not None:
                found[key] = one.get("row_hash", "")
    return found


def search(client: Client, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    """The result of one search, sent as a body: an address may not be longer than 4,000 bytes.

    Raises PermanentError or TransientError for a failure, which comes in an answer of status 200.
    """
    searches: Any = {"searches": [dict(parameters)]}
    answer: Any = client.multi_search.perform(searches)
    found: Mapping[str, Any]
    (found,) = answer["results"]
    if "error" in found:
        raise _error(
            int(found.get("code", _SERVER_ERRORS)), f"Typesense refused a search: {found['error']}"
        )
    return found


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
        raise _error(status, f"Typesense refused {what}: {error}") from error


def _import(client: Client, name: str, documents: Sequence[Document]) -> None:
    """Upsert the documents; every line of the answer is read."""
    if not documents:
        return
    lines = "\n".join(json.dumps(one, ensure_ascii=False) for one in documents)
    with asking(f"documents for {name}"):
        answer = client.collections[name].documents.import_(
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
    if refused:
        reasons = Counter(f"{status} {reason}" for _, status, reason in refused)
        raise _error(
            # Transient only when all of them are: one that never will be taken decides.
            max((status for _, status, _ in refused), key=_permanent),
            f"Typesense refused {len(refused)} of {len(documents)} documents, among them"
            f" {', '.join(key for key, _, _ in refused[:SAMPLE])}:"
            f" {'; '.join(f'{n} x {reason}' for reason, n in reasons.most_common(SAMPLE))}",
        )


def _delete(client: Client, name: str, keys: Sequence[str]) -> None:
    documents = client.collections[name].documents
    plain = [key for key in keys if _PLAIN.fullmatch(key)]
    with asking(f"deletion from {name}"):
        for at in range(0, len(plain), _DELETED):
            documents.delete({"filter_by": f"id:[{','.join(plain[at : at + _DELETED])}]"})
        for key in keys:
            if not _PLAIN.fullmatch(key):
                _forgiving(documents[in_address(key)].delete)


def _one(client: Client, name: str, key: str) -> Mapping[str, Any] | None:
    return _forgiving(client.collections[name].documents[in_address(key)].retrieve)


def _described(client: Client, name: str) -> Mapping[str, Any] | None:
    return _forgiving(client.collections[name].retrieve)


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


def _error(status: int, message: str) -> PermanentError | TransientError:
    return PermanentError(message) if _permanent(status) else TransientError(message)
