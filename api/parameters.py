"""What parameters may be, the same for every route.

Belongs here: types that several routes share. Does not: what a pipeline says about them.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, StringConstraints

from resources import keyset


def _storable(text: str) -> str:
    """Raises ValueError for what no store can hold: NUL, and half of a surrogate pair."""
    if "\x00" in text:
        raise ValueError("a text must not hold NUL characters")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("a text must be Unicode without lone surrogates") from None
    return text


#: A key or a name.
Name = Annotated[str, StringConstraints(min_length=1, max_length=512), AfterValidator(_storable)]
#: The name of an object in a bucket, which has at most 1,024 bytes.
ObjectName = Annotated[
    str, StringConstraints(min_length=1, max_length=1_024), AfterValidator(_storable)
]
#: Words of a question.
Words = Annotated[str, StringConstraints(min_length=1, max_length=1_000), AfterValidator(_storable)]
#: The cursor of a list's page.
Cursor = Annotated[
    str,
    StringConstraints(min_length=1, max_length=keyset.MOST_CHARACTERS),
    AfterValidator(_storable),
]
