"""Parameters of pages: what forms send, an empty field being none.

Belongs here: types that several pages share. Does not: what routes take (``api/parameters.py``).
"""

from __future__ import annotations

from typing import Annotated

from fastapi import Query
from pydantic import BeforeValidator

from api.parameters import Name, Words


def _blank_is_none(value: object) -> object:
    return None if isinstance(value, str) and not value.strip() else value


#: Stands beside a type with None. What limits the type stands within: None has no limits.
BLANK = BeforeValidator(_blank_is_none)

MaybeName = Annotated[Name | None, BLANK, Query()]
MaybeWords = Annotated[Words | None, BLANK, Query()]
