"""Lists of images: tasks, a task's items, and the values that a request may ask for.

Belongs here: their columns, filters and orders. Does not: paging (``resources/keyset.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from assets.images.processing.operation import STATUSES
from assets.images.requests.request import ImageRequest
from assets.images.tasks.ledger import State
from resources.keyset import By, Listing, where

if TYPE_CHECKING:
    import psycopg

#: What came of an item; ``waiting`` has no outcome yet, ``not_ok`` has one but no image.
ItemState = Literal[
    "ok", "missing", "corrupt", "too_large", "unsupported", "timeout", "crashed", "waiting",
    "not_ok",
]  # fmt: skip
FilterField = Literal[
    "gender", "master_category", "sub_category", "article_type", "base_colour", "season", "usage",
    "year",
]  # fmt: skip
_FIELDS = (*ImageRequest.FILTERS, "year")


class UnknownItemError(LookupError):
    """The task has no such product."""


@dataclass(frozen=True, slots=True)
class ListedTask:
    """How a task gets on, but for its items by outcome."""

    task_id: str
    state: State
    items: int | None
    settled: int
    problems: Sequence[str]
    requested_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    seconds: float


@dataclass(frozen=True, slots=True)
class TaskItem:
    """A requested product, what the catalogue says of it, and what came of it.

    ``status`` is None while it waits. ``path`` is that of its image, in the folder of the task.
    """

    number: int
    product_id: int
    gender: str | None
    master_category: str | None
    sub_category: str | None
    article_type: str | None
    base_colour: str | None
    season: str | None
    usage: str | None
    year: int | None
    product_display_name: str | None
    status: str | None
    detail: str
    path: str | None
    width: int | None
    height: int | None
    bytes: int | None
    digest: str | None
    source_digest: str | None
    predicted_master_category: str | None
    predicted_master_score: float | None
    predicted_article_type: str | None
    predicted_article_score: float | None
    predicted_dominant_colour: str | None
    predicted_colour_score: float | None
    predicted_by: str | None


@dataclass(frozen=True, slots=True)
class FilterValue:
    """A value that products have: how many, and how many of them have an image to work on."""

    field: str
    value: str
    products: int
    images: int


_TASKS = """
SELECT task_id, state, items, settled, problems, requested_at, started_at, finished_at, seconds
FROM images.image_task
"""
_ITEMS = f"""
SELECT i.number, i.product_id, {", ".join(f"p.{name}" for name in _FIELDS)},
    p.product_display_name, i.status, i.detail,
    CASE WHEN i.status = 'ok' THEN i.product_id || '.' || i.extension END AS path,
    i.width, i.height, i.bytes, i.digest, i.content AS source_digest,
    q.master_category AS predicted_master_category, q.master_score AS predicted_master_score,
    q.article_type AS predicted_article_type, q.article_score AS predicted_article_score,
    q.dominant_colour AS predicted_dominant_colour, q.colour_score AS predicted_colour_score,
    q.model_version AS predicted_by
FROM images.image_task_item AS i LEFT JOIN images.product AS p ON p.id = i.product_id
LEFT JOIN images.image_task_prediction AS q ON q.task_id = i.task_id AND q.number = i.number
"""
_VALUES = f"""
SELECT v.field, v.value, count(*) AS products,
    count(*) FILTER (WHERE m.status = 'ok') AS images
FROM images.product AS p LEFT JOIN images.image AS m ON m.product_id = p.id
CROSS JOIN LATERAL (VALUES {", ".join(f"('{name}', p.{name}::text)" for name in _FIELDS)})
    AS v (field, value)
"""


def listed_tasks(state: State | None = None) -> Listing[ListedTask]:
    """Tasks, those that were asked for last before others."""
    filters, bound = where({"state = {}": state})
    newest = (By("requested_at", "timestamptz", descending=True), By("task_id", "text", True))
    return Listing(ListedTask, f"{_TASKS} {filters}", newest, bound)


def task_items(task_id: str, status: ItemState | None = None) -> Listing[TaskItem]:
    """The items of a task in their order, those of one status if any is named."""
    conditions: dict[str, Any] = {"i.task_id = {}": task_id}
    if status == "waiting":
        conditions["i.status IS NULL AND {}"] = True
    elif status == "not_ok":
        conditions["i.status <> {}"] = STATUSES[0]
    else:
        conditions["i.status = {}"] = status
    filters, bound = where(conditions)
    return Listing(TaskItem, f"{_ITEMS} {filters}", (By("number", "bigint"),), bound)


def task_item(connection: psycopg.Connection[Any], task_id: str, product_id: int) -> TaskItem:
    """One product of a task. Raises UnknownItemError."""
    filters, bound = where({"i.task_id = {}": task_id, "i.product_id = {}": product_id})
    found = Listing(TaskItem, f"{_ITEMS} {filters}", (By("number", "bigint"),), bound)
    rows = found.page(connection, 1).rows
    if not rows:
        raise UnknownItemError(f"task {task_id!r} has no product {product_id}")
    return rows[0]


def filter_values(field: FilterField | None = None) -> Listing[FilterValue]:
    """What a request may ask for, by field; the commonest values of each before others."""
    filters, bound = where({"v.value IS NOT NULL AND {}": True, "v.field = {}": field})
    commonest = (
        By("field", "text"), By("products", "bigint", descending=True), By("value", "text"),
    )  # fmt: skip
    query = f"{_VALUES} {filters} GROUP BY v.field, v.value"
    return Listing(FilterValue, query, commonest, bound)
