"""What the catalogue shows of a batch and of all products: counts, and bars of them.

Belongs here: counting, drawing. Does not: any write.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from assets.frame import pictures
from assets.images.tables import PRODUCT

if TYPE_CHECKING:
    import psycopg

_NONE = "(unknown)"

_TOTALS = f"""
SELECT count(*), count(*) FILTER (WHERE repaired), count(DISTINCT article_type),
    count(*) FILTER (WHERE base_colour IS NULL), count(*) FILTER (WHERE season IS NULL),
    count(*) FILTER (WHERE year IS NULL), count(*) FILTER (WHERE usage IS NULL),
    count(*) FILTER (WHERE product_display_name IS NULL)
FROM {PRODUCT.qualified}
"""


def catalogue_metadata(conn: psycopg.Connection[Any]) -> dict[str, Any]:
    """Totals of all products, and a picture of how they spread. Raises psycopg.Error."""
    row = conn.execute(_TOTALS).fetchone() or (0,) * 8
    products, repaired, types, colour, season, year, usage, name = row
    metadata: dict[str, Any] = {
        "dagster/table_name": PRODUCT.qualified,
        "dagster/column_lineage": PRODUCT.column_lineage(),
        "products": products,
        "products_repaired": repaired,
        "article_types": types,
        "unknown_base_colour": colour,
        "unknown_season": season,
        "unknown_year": year,
        "unknown_usage": usage,
        "unknown_name": name,
    }
    if products:
        spread = [_counts(conn, column) for column in ("master_category", "season")]
        metadata["products_by_category_and_season"] = dg.MetadataValue.md(_bars(*spread))
    return metadata


def _counts(conn: psycopg.Connection[Any], column: str) -> list[tuple[str, int]]:
    rows = conn.execute(
        f"SELECT coalesce({column}, %s), count(*) FROM {PRODUCT.qualified} GROUP BY 1", (_NONE,)
    )
    return [(str(value), int(count)) for value, count in rows]


def _bars(categories: Sequence[tuple[str, int]], seasons: Sequence[tuple[str, int]]) -> str:
    figure = pictures.figure(9, 2.8)
    for axes, counts, title in zip(
        figure.subplots(1, 2),
        (categories, seasons),
        ("Products per master category", "Products per season"),
        strict=True,
    ):
        bars = pictures.largest(counts)[::-1]
        axes.barh([pictures.drawable(name) for name, _ in bars], [count for _, count in bars])
        axes.set_title(title, fontsize=9)
    return pictures.markdown(figure, "products per master category and per season")
