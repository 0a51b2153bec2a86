"""What parameters may be, the same for every route.

Belongs here: types that several routes share. Does not: what a pipeline says about them.
"""

from __future__ import annotations

import re
from datetime import date
from typing import Annotated

from fastapi.openapi.models import Example
from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, WithJsonSchema

from resources import keyset

_DAY = r"^[1-9][0-9]{3}-[0-9]{2}-[0-9]{2}$"


def _storable(text: str) -> str:
    """Raises ValueError for what no store can hold: NUL, and half of a surrogate pair."""
    if "\x00" in text:
        raise ValueError("a text must not hold NUL characters")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("a text must be Unicode without lone surrogates") from None
    return text


def _written_as_day(given: object) -> object:
    """Raises ValueError for seconds, which pydantic takes for a date, and for years too early.

    A window of days before it must begin in a year that there is.
    """
    if isinstance(given, str) and re.fullmatch(_DAY, given):
        return given
    raise ValueError("a day is written as 2022-03-23, in a year from 1000 on")


def examples(there: object, nobody: object = None, status: int = 200) -> dict[str, Example]:
    """Values for OpenAPI, each under the status that it is answered with where a test asks it.

    ``there`` is in the samples, ``nobody`` is an example of 404.
    """
    found: dict[str, Example] = {str(status): {"value": there}}
    if nobody is not None:
        found["404"] = {"value": nobody, "summary": "There is none."}
    return found


_STORABLE = AfterValidator(_storable)
#: The same for who reads the description.
_NO_NUL = Field(json_schema_extra={"pattern": r"^[^\u0000]*$"})
#: A key or a name.
Name = Annotated[str, StringConstraints(min_length=1, max_length=512), _STORABLE, _NO_NUL]
#: The name of an object in a bucket, which has at most 1,024 bytes.
ObjectName = Annotated[str, StringConstraints(min_length=1, max_length=1_024), _STORABLE, _NO_NUL]
#: Words of a question.
Words = Annotated[str, StringConstraints(min_length=1, max_length=1_000), _STORABLE, _NO_NUL]
#: The cursor of a list's page.
Cursor = Annotated[
    str,
    StringConstraints(min_length=1, max_length=keyset.MOST_CHARACTERS),
    _STORABLE,
    _NO_NUL,
]
#: A day.
Day = Annotated[
    date,
    BeforeValidator(_written_as_day),
    WithJsonSchema({"type": "string", "format": "date", "pattern": _DAY}),
]
