"""The catalogue's values, without reading the catalogue."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from assets.images.requests.known_values import known_values
from assets.images.requests.request import ImageRequest
from migrations.upgrade import upgrade

pytestmark = pytest.mark.servers("postgres")

PRODUCTS = 20_000
#: In an order that differs from that of most languages; unknown is one of them.
VALUES = (
    None,
    "a",
    "A",
    "Ä",
    "ä",
    "b",
    "Z",
    "é",
    "_",
    "-",
    " ",
    "1",
    "10",
    "2",
    "Men",
    "men",
    "男",
)


@pytest.fixture
def connection(env) -> Iterator[psycopg.Connection[Any]]:
    upgrade(env["POSTGRES_URL"])
    with psycopg.connect(env["POSTGRES_URL"], autocommit=True) as made:
        yield made


def stock(connection: psycopg.Connection[Any]) -> dict[str, set[str]]:
    """Products of values drawn by chance; those of each column."""
    chosen = random.Random(1)
    held: dict[str, set[str]] = {field: set() for field in ImageRequest.FILTERS}
    columns = ", ".join(held)
    with connection.cursor().copy(
        f"COPY images.product (id, {columns}, repaired, row_hash, ingested_at) FROM STDIN"
    ) as copy:
        for number in range(PRODUCTS):
            # Of the last column nothing is known.
            values = [chosen.choice(VALUES) for _ in range(len(held) - 1)] + [None]
            copy.write_row((number, *values, False, "", "2026-01-01T00:00:00Z"))
            for field, value in zip(held, values, strict=True):
                held[field] |= {value} if value else set()
    connection.execute("VACUUM ANALYZE images.product")
    return held


def test_of_an_empty_catalogue_nothing_is_known(connection):
    assert known_values(connection) == {field: frozenset() for field in ImageRequest.FILTERS}


def test_all_values_are_found_and_few_products_read(connection):
    held = stock(connection)
    # Rows that scans of the table and of its indexes have returned to this session so far.
    read = """
        SELECT pg_stat_get_xact_tuples_returned('images.product'::regclass)
            + (SELECT sum(pg_stat_get_xact_tuples_returned(indexrelid)) FROM pg_index
               WHERE indrelid = 'images.product'::regclass)
    """
    with connection.transaction():
        found = known_values(connection)
        (rows,) = connection.execute(read).fetchone() or (None,)

    assert {field: set(values) for field, values in found.items()} == held
    assert 0 < rows < PRODUCTS / 10
