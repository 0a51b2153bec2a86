"""Parameters of pages: what forms send, an empty field being none.

Belongs here: types that several pages share. Does not: what routes take (``api/parameters.py``).
"""

from __future__ import annotations

from datetime import date
from typing import Annotated

from fastapi import Query
from pydantic import BeforeValidator

from api.parameters import Name, Words


def _blank_is_none(value: object) -> object:
    return None if isinstance(value, str) and not value.strip() else value


_BLANK = BeforeValidator(_blank_is_none)

MaybeName = Annotated[Name | None, _BLANK, Query()]
MaybeWords = Annotated[Words | None, _BLANK, Query()]
MaybeInt = Annotated[int | None, _BLANK, Query()]
MaybeDate = Annotated[date | None, _BLANK, Query()]
