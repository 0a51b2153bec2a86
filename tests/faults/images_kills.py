"""The points at which a run of an image task is killed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

from assets.images.pipeline import REQUESTS
from tests.faults.killed_run import die, die_after, replace
from tests.integration.images.landings import Landings

#: Outcomes at which a run dies in the middle of the images.
SOME = 12


def run_up_to(point: str, partition: str, batch: str | None) -> None:
    """Run a task's partition in this process, which does not live to see its end.

    Without a batch as a person starts it.
    """
    (POINTS | PREDICTING)[point]()
    tags = {"quintet/batch": batch} if batch else {}
    Landings(os.environ).run_partition(REQUESTS, partition, tags)


def _taken() -> None:
    """The task is registered, the batch that brought its request is not validated."""
    from assets.images.tasks import ledger

    die_after(ledger, "register")


def _request_in_hand() -> None:
    """As above, once the task's registration is committed."""
    from assets.images.tasks.taking import Desk

    die_after(Desk, "take")


def _items_before_commit() -> None:
    from assets.images.tasks import manifest

    die_after(manifest, "_first")


def _items() -> None:
    from assets.images.tasks import manifest

    die_after(manifest, "decide")


def _some_put() -> None:
    """Images are in the bucket of which nobody has told Postgres."""
    from assets.images.processing import engine

    def make(original: Any) -> Any:
        def dying(*args: Any, **kwargs: Any) -> Iterator[Any]:
            for number, outcome in enumerate(original(*args, **kwargs), start=1):
                if number == SOME:
                    die()
                yield outcome

        return dying

    replace(engine, "process", make)


def _some_told() -> None:
    from assets.images.tasks import items, work

    replace(work, "BLOCK", lambda _: SOME)
    die_after(items, "settle")


def _before_block() -> None:
    """Every image is in the bucket, of none is anything told."""
    from assets.images.tasks import items

    replace(items, "settle", lambda _: lambda *_: die())


def _all_told() -> None:
    from assets.images.tasks import work

    die_after(work, "work")


def _csv() -> None:
    """One of the two files is there."""
    from assets.images.tasks import metadata_files

    die_after(metadata_files, "put")


def _files() -> None:
    """Both are, and the ledger has not been told."""
    from assets.images.tasks import metadata_files

    die_after(metadata_files, "write")


def _files_told() -> None:
    """The ledger knows the files, the task is not done."""
    from assets.images.tasks import ledger

    die_after(ledger, "written")


def _closed() -> None:
    """The task is done, its client has not been told."""
    from assets.images.tasks import ledger

    die_after(ledger, "close")


def _result() -> None:
    """All is there, and the batch is not loaded."""
    from assets.images.tasks import ending

    die_after(ending, "end")


POINTS: dict[str, Callable[[], None]] = {
    "request: registered, not committed": _taken,
    "request: committed, its batch not": _request_in_hand,
    "items: written, not committed": _items_before_commit,
    "items: committed": _items,
    "images: some put, none told": _some_put,
    "images: some told": _some_told,
    "images: all put, none told": _before_block,
    "images: all told": _all_told,
    "metadata: csv alone": _csv,
    "metadata: both files": _files,
    "metadata: files told": _files_told,
    "result: task done, no result file": _closed,
    "result: written": _result,
}


def _some_seen() -> None:
    """A block of results is predicted and written, of the next one nothing is told."""
    from assets.images.classifier import predicting

    calls = [0]

    def make(original: Any) -> Any:
        def dying(*args: Any) -> None:
            calls[0] += 1
            if calls[0] == 2:
                die()
            original(*args)

        return dying

    replace(predicting, "BLOCK", lambda _: SOME)
    replace(predicting, "_write", make)


def _none_committed() -> None:
    """A block is predicted, and its transaction has begun."""
    from assets.images.tasks import ledger

    die_after(ledger, "outdate")


def _all_seen() -> None:
    """Every prediction is there, and nothing else knows."""
    from assets.images.classifier import predicting

    die_after(predicting, "predict_task")


#: Points of a task that asks for predictions.
PREDICTING: dict[str, Callable[[], None]] = {
    "predictions: none committed": _none_committed,
    "predictions: some told": _some_seen,
    "predictions: all told": _all_seen,
}
