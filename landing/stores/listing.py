"""A whole listing, page by page, for whoever needs all of it at once.

Belongs here: going on from page to page. Does not: any store, a listing in bounded pieces
(``landing/arrival/scan.py``).
"""

from __future__ import annotations

from collections.abc import Iterator

from landing.stores.base import ObjectStore, Page


def pages(
    store: ObjectStore, prefix: str, after: str | None = None, *, limit: int = 1_000
) -> Iterator[Page]:
    """All pages after ``after``, some of which may be empty. Raises what the store raises."""
    token: str | None = None
    while True:
        page = store.list_page(prefix, after, limit, token)
        yield page
        if page.is_last:
            return
        after, token = page.last_key or after, page.token
