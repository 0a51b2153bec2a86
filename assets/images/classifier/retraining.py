"""Whether a new model is due, and making it: from the catalogue to the pointer in the bucket.

Belongs here: the guard, fetching images, the order of what is written. Does not: Dagster, learning
(``training.py``).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from assets.images.classifier import stored
from assets.images.classifier.examples import (
    FEWEST_IMAGES,
    Example,
    changed_share,
    examples,
    label_counts,
    version_of,
)
from assets.images.classifier.onnx_file import Card
from landing.batch.failures import PermanentError

if TYPE_CHECKING:
    import logging

    import psycopg
    from dagster import DagsterLogManager

    from assets.images.classifier.training import Views
    from landing.stores.base import ObjectStore

    Log = DagsterLogManager | logging.Logger

#: Of what a model was made of, so much must have come, gone or changed before another is made.
CHANGED_ENOUGH = 0.01

_THREADS = 4
_BLOCK = 200
_PROGRESS_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class NotDue:
    """No new model, and why. ``version`` is of the one that stays; empty without any."""

    reason: str
    version: str = ""


@dataclass(frozen=True, slots=True)
class Made:
    """A new model: what it says of itself, where it is, what it cost."""

    card: Card
    pointer: stored.Pointer
    model_bytes: int
    unreadable: int
    seconds: float


def retrain(
    connection: psycopg.Connection[Any],
    products: ObjectStore,
    models: ObjectStore,
    *,
    force: bool,
    log: Log,
) -> Made | NotDue:
    """Make a model of what there is, where that has changed enough, or by ``force``.

    Few seconds without a change: one query, two small objects. At most MOST_IMAGES are fetched,
    a block at a time. Raises psycopg.Error and what the stores raise.
    """
    from assets.images.classifier import onnx_file, training
    from assets.images.classifier.features import FEATURE_VERSION

    started = time.monotonic()
    found = examples(connection)
    # A transaction must not stay open while images are fetched and learned.
    connection.rollback()
    if len(found) < FEWEST_IMAGES:
        return NotDue(
            f"too few images: {len(found)} products have labels and an image, {FEWEST_IMAGES} are "
            "needed"
        )
    code = (FEATURE_VERSION, training.TRAINING_VERSION)
    version = version_of(found, *code)
    if not force and (reason := _stays(models, found, version, code)):
        return NotDue(*reason)
    seen: list[Views] = []
    unreadable = 0
    for views in _views(products, found, log):
        if views is None:
            unreadable += 1
        else:
            seen.append(views)
    try:
        trained = training.train(seen)
    except training.TooFewImagesError as error:
        return NotDue(f"too few images: {error}")
    about = onnx_file.card(trained, version, label_counts(found))
    data = onnx_file.written(trained, about)
    pointer = stored.publish(
        models, version, data, code=code, learned=(one.fingerprint for one in found)
    )
    return Made(about, pointer, len(data), unreadable, time.monotonic() - started)


def _stays(
    models: ObjectStore, found: Sequence[Example], version: str, code: tuple[str, ...]
) -> tuple[str, str] | None:
    """Why the model that there is stays, and its version; None where another is due."""
    try:
        pointer = stored.latest(models)
    except PermanentError:  # a broken pointer is mended by the next model
        return None
    if pointer is None:
        return None
    if pointer.version == version:
        return "the same products, images and labels as before", version
    share = changed_share(
        stored.learned(models, pointer.version), (one.fingerprint for one in found)
    )
    if pointer.code == code and share < CHANGED_ENOUGH:
        return f"{share:.2%} of it changed, less than {CHANGED_ENOUGH:.0%}", pointer.version
    return None


def _views(products: ObjectStore, found: Sequence[Example], log: Log) -> Iterator[Views | None]:
    """Each product's vectors, None for an image that is gone or can't be read."""
    from assets.images.classifier.features import UnreadableImageError
    from assets.images.classifier.training import views

    def seen(example: Example) -> Views | None:
        try:
            return views(example, products.get(example.key))
        except (KeyError, UnreadableImageError):
            # The inventory follows; what it has not seen yet is left out.
            return None

    started = shown = time.monotonic()
    with ThreadPoolExecutor(_THREADS, "learn") as pool:
        for start in range(0, len(found), _BLOCK):
            yield from pool.map(seen, found[start : start + _BLOCK])
            if time.monotonic() - shown > _PROGRESS_SECONDS:
                shown = time.monotonic()
                done = min(start + _BLOCK, len(found))
                per_second = done / (shown - started)
                log.info("reading images=%d of=%d per_second=%.0f", done, len(found), per_second)
