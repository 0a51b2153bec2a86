"""Lyrics in the open: JSON objects with title, author and verses, alone or in an array.

Belongs here: the names of this layout, the text that verses make. Does not: JSON
(``json_text.py``), rules (``fields.py``).
Source: the layout of public hymnals as data, ``{"title", "author", "verses": [[line, …], …],
"chorus": [line, …], "addedChorus": [line, …], …}``; other names (id, meter, tune) say nothing of
the lyrics. The author may end in the year, ``Isaac Watts (1707)``, ``(c. 1755)``, ``(©1855)`` or
``Isaac Watts 1709``. Several authors, ``A & B``, are one credit.
Imported lazily: needs polars.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from assets.formats.values import BadValueError, text
from assets.music.bronze import fields

_YEAR = re.compile(r"\s*\(\s*(?:c\.|ca\.|©)?\s*(1\d{3}|20\d\d)\s*\)$")
#: Without brackets only behind two words: "The 1975" is a name.
_BARE_YEAR = re.compile(r"(?<=\S)\s+\S+(\s+(1\d{3}|20\d\d))$")


def recognises(entry: Mapping[str, Any]) -> bool:
    """Whether an object has this layout."""
    return "verses" in entry


def record(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The record of one object. Raises BadValueError."""
    author, year = credited(text("author", entry.get("author")))
    return fields.record(
        "lyrics",
        {
            "title": entry.get("title"),
            "artist_name": author,
            "year": year,
            "lyrics_text": "\n\n".join(_stanzas(entry)),
        },
    )


def credited(author: str | None) -> tuple[str | None, int | None]:
    """The author without the years at the end, and the last of them."""
    year = None
    while author and (found := _YEAR.search(author)):
        year = year or int(found[1])
        author = author[: found.start()]
    if author and year is None and (found := _BARE_YEAR.search(author)):
        return author[: found.start(1)], int(found[2])
    return author or None, year


def _stanzas(entry: Mapping[str, Any]) -> Iterator[str]:
    """As they are sung first: a verse, the chorus, the other verses, the added chorus."""
    verses = entry["verses"]
    if not isinstance(verses, list):
        raise BadValueError("bad_lyrics", "verses is no array")
    chorus = _stanza("chorus", entry.get("chorus"))
    for number, verse in enumerate(verses, start=1):
        if found := _stanza(f"verse {number}", verse):
            yield found
        if number == 1 and chorus:
            yield chorus
    if chorus and not verses:
        yield chorus
    if added := _stanza("addedChorus", entry.get("addedChorus")):
        yield added


def _stanza(name: str, lines: object) -> str:
    if lines is None:
        return ""
    if isinstance(lines, str):
        return lines
    if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
        raise BadValueError("bad_lyrics", f"{name} is no array of lines")
    return "\n".join(lines)
