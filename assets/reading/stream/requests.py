"""Rows and messages cut into requests.

Belongs here: where one request ends and the next begins. Does not: sending them (``append.py``,
``rejects.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def in_requests(
    items: Iterable[T], size: Callable[[T], int], *, most_bytes: int, most_items: int
) -> Iterator[list[T]]:
    """The items in their order, as many at once as a request may have; a larger one by itself."""
    part: list[T] = []
    total = 0
    for item in items:
        if part and (len(part) >= most_items or total + size(item) > most_bytes):
            yield part
            part, total = [], 0
        part.append(item)
        total += size(item)
    if part:
        yield part
