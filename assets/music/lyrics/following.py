"""Gold and search after songs that changed outside any batch: ``music.lyrics_changed``.

Belongs here: taking noted songs, bringing gold and the indexes to them, crossing them off. Does
not: how each is written (``gold``, ``search``). It must run as the pipeline's only writer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from landing.batch.failures import PermanentError, TransientError

if TYPE_CHECKING:
    import psycopg

    from assets.music.settings import MusicSettings
    from assets.sinks.result import Verification
    from resources.milvus import MilvusResource
    from resources.openai import OpenAIResource
    from resources.postgres import PostgresResource
    from resources.typesense import TypesenseResource

    Connection = psycopg.Connection[Any]

#: Songs that are brought up to date, and crossed off, together.
PAGE_SONGS = 5_000
#: Gold tables that lyrics and genres are part of.
_GOLD = ("song_details", "genre_by_year")
#: No batch: rows of ``music.touched`` under it never outlive the transaction that wrote them.
_SCRATCH = "lyrics_changed"

Follow = Callable[[Sequence[str]], None]


class RefusedSongsError(PermanentError):
    """Postgres refuses gold rows after songs that changed; all others were written.

    ``songs`` are those whose own row it is.
    """

    def __init__(self, words: Mapping[str, str], songs: Iterable[str]) -> None:
        super().__init__("; ".join(f"{row}: {said}" for row, said in words.items()))
        self.words, self.songs = words, frozenset(songs)


@dataclass(frozen=True, slots=True)
class Followers:
    """What shows lyrics and genres, in the order in which it is brought up to date."""

    postgres: PostgresResource
    typesense: TypesenseResource
    milvus: MilvusResource
    openai: OpenAIResource
    settings: MusicSettings

    def all(self) -> dict[str, Follow]:
        """By asset."""
        return {
            "gold": self._gold,
            "song_search": self._song_search,
            "lyrics_vectors": self._lyrics_vectors,
        }

    def _gold(self, keys: Sequence[str]) -> None:
        refused: dict[str, dict[str, str]] = {}
        for table in _GOLD:
            with self.postgres.connect() as conn:
                refused[table] = refresh_gold(conn, table, keys)
        words = {f"{name} {key}": said for name in _GOLD for key, said in refused[name].items()}
        if words:
            raise RefusedSongsError(words, refused["song_details"])

    def _song_search(self, keys: Sequence[str]) -> None:
        from assets.music.search.song_documents import store, verify, write

        with self.typesense.client() as client:
            documents = store(client, self.settings.typesense_collection)
            write([keys], documents, self.postgres)
            _require("song_search", verify([keys], documents, self.postgres))

    def _lyrics_vectors(self, keys: Sequence[str]) -> None:
        from assets.embeddings import Space
        from assets.music.search.lyrics_vectors import store, verify, write

        with closing(self.milvus.client()) as client:
            collection = store(
                client, self.settings.milvus_lyrics, Space(self.openai.embedding_model)
            )
            write([keys], collection, self.postgres, self.openai)
            _require("lyrics_vectors", verify([keys], collection, self.postgres))


def follow(conn: Connection, followers: dict[str, Follow], *, page_songs: int = PAGE_SONGS) -> int:
    """Bring every follower to the songs noted so far; their number.

    A song is crossed off when all have followed, and stays when it was noted again meanwhile.
    Raises RefusedSongsError once all others are crossed off, and whatever else a follower raises:
    its page is taken again next time. ``conn`` must commit each statement.
    """
    songs = 0
    words: dict[str, str] = {}
    left: set[str] = set()
    for keys, noted in _pages(conn, page_songs):
        for one in followers.values():
            try:
                one(keys)
            except RefusedSongsError as error:
                words |= error.words
                left |= error.songs
        followed = [key for key in keys if key not in left]
        conn.execute(
            "DELETE FROM music.lyrics_changed WHERE song_key = ANY(%s) AND changed_at <= %s",
            (followed, noted),
        )
        songs += len(followed)
    if words:
        raise RefusedSongsError(words, left)
    return songs


def refresh_gold(conn: Connection, table: str, keys: Sequence[str]) -> dict[str, str]:
    """Make one gold table what silver says of the songs; its keys that Postgres refuses, and why.

    Raises TransientError if it is not then. Ends the caller's transaction.
    """
    from assets.music.gold.recount import recount
    from assets.music.gold.replacement import replace
    from assets.music.gold.targets import TARGETS

    with conn.transaction():
        conn.execute(
            "INSERT INTO music.touched (batch_id, kind, key)"
            " SELECT %s, 'song', key FROM unnest(%s::text[]) AS noted (key)",
            (_SCRATCH, list(keys)),
        )
        refused = replace(conn, TARGETS[table], _SCRATCH).refused
        found = recount(conn, TARGETS[table], aside=refused)
        conn.execute("DELETE FROM music.touched WHERE batch_id = %s", (_SCRATCH,))
        _require(table, found)
    return dict(refused)


def _pages(conn: Connection, rows: int) -> Iterator[tuple[list[str], datetime]]:
    after = ""
    while True:
        noted = conn.execute(
            "SELECT song_key, changed_at FROM music.lyrics_changed"
            " WHERE song_key > %s ORDER BY song_key LIMIT %s",
            (after, rows),
        ).fetchall()
        if not noted:
            return
        yield [key for key, _ in noted], max(changed_at for _, changed_at in noted)
        after = noted[-1][0]


def _require(what: str, found: Verification) -> None:
    if not found.ok:
        raise TransientError(found.problem(what))
