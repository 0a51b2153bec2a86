"""What is searched for: how long a term may be, and whether there is a word in it.

Belongs here: what both indexes ask of a term. Does not: how either takes it apart.
"""

from __future__ import annotations

#: Stands for all songs where songs are searched by words.
EVERYTHING = "*"
TERM_CHARACTERS = 1_000


def trimmed(term: str) -> str:
    """The term without space around it. Raises ValueError for an empty or overlong one."""
    words = term.strip()
    if not words or len(words) > TERM_CHARACTERS:
        raise ValueError(f"a term has 1 to {TERM_CHARACTERS:,} characters, not {len(words):,}")
    return words


def as_written(term: str) -> bool:
    """Whether no other words may stand for the term's: ``*``, a phrase, words not to be there."""
    return term == EVERYTHING or '"' in term or any(word[0] == "-" for word in term.split())


def has_words(term: str) -> bool:
    """Whether there is a letter or digit, of any script: punctuation and emoji say nothing."""
    return any(character.isalnum() for character in term)
