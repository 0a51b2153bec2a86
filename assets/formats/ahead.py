"""Reading and what is done with it at the same time.

Belongs here: making the next piece of a file while the one before is in use. Does not: any format,
objects side by side (``landing/batch/read_ahead.py``).
"""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

Item = TypeVar("Item")


def one_ahead(items: Generator[Item]) -> Generator[Item]:
    """The items in their order, each made by another thread while the one before is in use.

    At most one waits. Raises what ``items`` raises, behind what came before; left early, it closes
    ``items`` first, whose thread is not running then.
    """
    end = object()
    with closing(items), ThreadPoolExecutor(1, thread_name_prefix="one-ahead") as maker:
        following = maker.submit(next, items, end)
        while (item := following.result()) is not end:
            following = maker.submit(next, items, end)
            yield item  # type: ignore[misc]  # mypy: what is not the end is an item
