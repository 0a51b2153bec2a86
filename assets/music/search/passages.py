"""Lyrics as passages: pieces short enough that one vector says what each is about.

Belongs here: how a song's lyrics are cut. Does not: where passages are kept.

Whole verses (divided by empty lines) are put together as long as they stay within
PASSAGE_CHARACTERS; nothing is in two passages, and nothing but white space is left out. A longer
verse is cut at its line ends, a longer line between words, a longer word anywhere. Of a bag of
words there is one passage: the words, most frequent first, those of one count in their order, as
many as are within WORDS_CHARACTERS.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Any, Literal

Kind = Literal["text", "words"]

PASSAGE_CHARACTERS = 600
WORDS_CHARACTERS = 8_000

#: What divides a text, from the widest to the narrowest.
_VERSE, _LINE, _WORD = re.compile(r"\s*\n\s*\n\s*"), re.compile(r"\s*\n\s*"), re.compile(r"\s+")
_DIVISIONS = ((_VERSE, "\n\n"), (_LINE, "\n"), (_WORD, " "))


@dataclass(frozen=True, slots=True)
class Lyrics:
    """A song's lyrics: text, or words with their counts (``[{"word": …, "count": …}, …]``)."""

    text: str | None = None
    words: Sequence[Mapping[str, Any]] | None = None

    @property
    def kind(self) -> Kind:
        """What the passages are made of: the text, where there is one."""
        return "text" if self.text and self.text.strip() else "words"


def passages(lyrics: Lyrics) -> list[str]:
    """The lyrics in pieces, in their order; empty when they hold nothing but white space."""
    if lyrics.kind == "words":
        words = words_text(lyrics.words or ())
        return [words] if words else []
    return list(_cut((lyrics.text or "").replace("\r\n", "\n").strip(), 0))


def words_text(words: Sequence[Mapping[str, Any]]) -> str:
    """The words of a bag, most frequent first."""
    ordered = sorted(words, key=lambda item: -int(item["count"]))
    kept = [word for item in ordered if (word := str(item["word"]).strip())]
    ends = accumulate(len(word) + 1 for word in kept)
    return " ".join(w for w, end in zip(kept, ends, strict=True) if end <= WORDS_CHARACTERS + 1)


def _cut(text: str, division: int) -> Iterator[str]:
    """``text`` cut where ``_DIVISIONS[division]`` or, within longer parts, a narrower one says."""
    if len(text) <= PASSAGE_CHARACTERS:
        if text:
            yield text
        return
    if division == len(_DIVISIONS):
        ends = [*range(0, len(text), PASSAGE_CHARACTERS), len(text)]
        yield from (text[start:end] for start, end in pairwise(ends))
        return
    between, joint = _DIVISIONS[division]
    together = ""
    for part in between.split(text):
        longer = f"{together}{joint}{part}" if together else part
        if len(longer) <= PASSAGE_CHARACTERS:
            together = longer
            continue
        if together:
            yield together
        together = ""
        if len(part) <= PASSAGE_CHARACTERS:
            together = part
        else:
            yield from _cut(part, division + 1)
    if together:
        yield together
