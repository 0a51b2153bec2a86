"""Names folded until spellings of one artist, or of one title, are equal: what songs may match by.

Belongs here: what is left out of a name for that. Does not: whether songs that match by name are
one (``matching.py``), and keys of names (``names.py``), which tell every spelling apart.

Left out are accents, case, punctuation, ``The`` before (or behind a comma after) an artist, and who
is featured. Words that say which recording it is, ``live`` or ``remix``, stay.
Imported lazily: needs polars.
"""

from __future__ import annotations

import polars as pl  # noqa: TID253

from assets.music.silver.names import SEPARATOR

#: Characters that are kept of each, so that a key of both fits an index.
ARTIST_CHARACTERS = 100
TITLE_CHARACTERS = 150
#: Between artist and title in a key; folding leaves none in either.
BETWEEN = " / "

_FEATURED = r"\s*[\(\[]\s*(?:feat|ft|featuring)\b[^\)\]]*[\)\]]|\s+(?:feat\.|ft\.|featuring\s).*$"
_MARKS = r"\p{M}+"
_NO_WORD = r"[^\p{L}\p{N}]+"
_APOSTROPHES = r"['`\u2018\u2019\u00b4]"
#: Titles by which nobody means one recording.
_GENERIC = (
    r"^(?:untitled|intro|outro|interlude|prelude|skit|bonus track|hidden track|track \d+|\d+)$"
)


def folded_artist(name: pl.Expr) -> pl.Expr:
    """The first of the artists that a name joins; null where nothing is left."""
    first = name.str.split(SEPARATOR).list.first()
    words = _words(_lower(first).str.replace(r"^\s*(.*\S)\s*,\s*the\s*$", "the $1"))
    return _cut(words.str.replace(r"^the ", ""), ARTIST_CHARACTERS)


def folded_title(title: pl.Expr) -> pl.Expr:
    """A title; null where nothing is left, or where it says which song as little as ``Intro``."""
    words = _words(_lower(title))
    return _cut(pl.when(~words.str.contains(_GENERIC)).then(words), TITLE_CHARACTERS)


def folded_album(title: pl.Expr) -> pl.Expr:
    """A title of an album; null where nothing is left. *21* and *Untitled* name one artist's."""
    return _cut(_words(_lower(title)), TITLE_CHARACTERS)


def match_key(artist: pl.Expr, title: pl.Expr) -> pl.Expr:
    """By what songs of this folded artist and title match: null unless both are known."""
    return pl.concat_str(artist, folded_title(title), separator=BETWEEN)


def _lower(text: pl.Expr) -> pl.Expr:
    plain = text.str.normalize("NFKD").str.replace_all(_MARKS, "").str.to_lowercase()
    return plain.str.replace_all(_FEATURED, "")


def _words(text: pl.Expr) -> pl.Expr:
    apart = text.str.replace_all("&", " and ", literal=True).str.replace_all(_APOSTROPHES, "")
    return apart.str.replace_all(_NO_WORD, " ").str.strip_chars()


def _cut(text: pl.Expr, characters: int) -> pl.Expr:
    return pl.when(text.str.len_chars() > 0).then(text.str.head(characters))
