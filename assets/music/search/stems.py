"""Words as musiXmatch has them: cut to their stems.

Belongs here: how a text becomes the stems of a bag of words. Does not: bags (``passages.py``) and
who searches them.

The stems are Porter2's (Snowball calls it English), whatever the language. Where musiXmatch cuts
words is told by what it published with the data: contractions are written out, ``'s`` is dropped,
other punctuation vanishes and joins what it stood between. Of the 5,000 words in its own table of
stems and words 4,967 become the stem beside them, by Porter's first stemmer 4,774; most of the rest
have another apostrophe or damaged UTF-8. So does every other word of a stem, of which the table
knows but one: hence a term is cut to stems, and stems are not made words by the table.
"""

from __future__ import annotations

import re

#: Ends of words that are words of their own, and what they stand for.
_CONTRACTED = (
    ("'m", " am"), ("'re", " are"), ("'ve", " have"), ("'d", " would"), ("'ll", " will"),
    ("n't", " not"), ("'s", ""),
)  # fmt: skip
_WHOLE = {"he's": "he is", "she's": "she is", "it's": "it is", "ain't": "is not"}
_APOSTROPHES = str.maketrans(dict.fromkeys("\u2019\u02bc`\u00b4", "'"))
_PUNCTUATION = re.compile(r"[^\w\s]|_")


def stems(text: str) -> tuple[str, ...]:
    """The distinct stems of the words of ``text``, in the order of their first appearance."""
    import snowballstemmer

    # One of its own: a stemmer keeps the word that it is at.
    english = snowballstemmer.stemmer("english")
    words = [_written_out(word) for word in text.lower().translate(_APOSTROPHES).split()]
    plain = _PUNCTUATION.sub("", " ".join(words)).split()
    return tuple(dict.fromkeys(english.stemWord(word) for word in plain))


def _written_out(word: str) -> str:
    bare = word.strip('.,;:?!()"')
    if bare in _WHOLE:
        return _WHOLE[bare]
    for ending, meaning in _CONTRACTED:
        if bare.endswith(ending):
            return bare.removesuffix(ending) + meaning
    return bare
