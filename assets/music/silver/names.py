"""Names as keys: normalised by the one definition that bronze has, looked up by the statements.

Belongs here: who ``A;B`` are, keys of artists without an id, normalised album and genre names, as
temporary tables. Does not: what is made of them (``songs``, ``dimensions``).

The database normalises nothing itself: its rules of case and white space are not Python's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from assets.music.silver.statements import digest

if TYPE_CHECKING:
    import psycopg

#: Between artists in one name, where no artist id says that the name is one credit.
SEPARATOR = ";"

_PAGE = 20_000

_CREATE = """
CREATE TEMP TABLE credit (
    artist_name text COLLATE "C" NOT NULL, position smallint NOT NULL,
    artist_key text COLLATE "C" NOT NULL, name text NOT NULL, alone boolean NOT NULL
) ON COMMIT DROP;
CREATE TEMP TABLE plain (text text COLLATE "C" NOT NULL, key text COLLATE "C" NOT NULL)
ON COMMIT DROP
"""

_ARTISTS = """
SELECT artist_name FROM {sources} WHERE artist_id IS NULL AND artist_name IS NOT NULL
EXCEPT SELECT artist_name FROM credit
"""
_TEXTS = """
SELECT text FROM ({texts}) AS t (text) WHERE text IS NOT NULL EXCEPT SELECT text FROM plain
"""

#: SQL for the key of an album without a release id, of its artist's key and its normalised title.
ALBUM_FINGERPRINT = "'fp-' || " + digest("coalesce({artist_key}, '') || E'\\x1f' || {title}")


def create(conn: psycopg.Connection[Any]) -> None:
    """Empty temporary tables ``credit`` and ``plain``."""
    conn.execute(_CREATE)


def add_credits(conn: psycopg.Connection[Any], sources: str) -> None:
    """Fill ``credit`` for the names without an id of a relation with the columns of sources.

    One row per artist of a name, from position 1; ``alone`` where the name is of one artist only.
    """
    _extend(
        conn,
        _ARTISTS.format(sources=sources),
        "COPY credit (artist_name, position, artist_key, name, alone) FROM STDIN",
        _credits,
    )


def add_plain(conn: psycopg.Connection[Any], texts: str) -> None:
    """Fill ``plain`` (text, its normalised form) for the texts that a query gives."""
    _extend(conn, _TEXTS.format(texts=texts), "COPY plain (text, key) FROM STDIN", _plain)


def artist_key(name: str) -> str:
    """The key of an artist of whom only the name is known."""
    from assets.music.bronze.records import fingerprint

    return "fp-" + fingerprint("", name, "")


def split(joined: str) -> list[tuple[str, str]]:
    """The artists of a name, in order, each once: key and name."""
    from assets.music.bronze.records import normalised

    artists: dict[str, str] = {}
    for part in joined.split(SEPARATOR):
        if normalised(name := part.strip()):
            artists.setdefault(artist_key(name), name)
    return list(artists.items())


def _credits(joined: str) -> Iterator[tuple[Any, ...]]:
    artists = split(joined)
    for position, (key, name) in enumerate(artists, start=1):
        yield joined, position, key, name, len(artists) == 1


def _plain(text: str) -> Iterator[tuple[Any, ...]]:
    from assets.music.bronze.records import normalised

    if key := normalised(text):
        yield text, key


def _extend(
    conn: psycopg.Connection[Any],
    query: str,
    copy: str,
    make: Callable[[str], Iterator[tuple[Any, ...]]],
) -> None:
    """Rows of every text that ``query`` gives, a page of texts at a time."""
    with conn.cursor(name="quintet_names") as texts, conn.cursor() as cursor:
        texts.execute(query)
        while page := texts.fetchmany(_PAGE):
            with cursor.copy(copy) as target:
                for (text,) in page:
                    for row in make(text):
                        target.write_row(row)
    conn.execute("ANALYZE credit")
    conn.execute("ANALYZE plain")
