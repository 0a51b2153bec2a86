"""Why rows, files and messages are rejected: what a reason is, and noticing undeclared ones.

Belongs here: the shape of a reason, and those that no format or pipeline gives. Does not: those
of a format (``assets/formats``) or of a pipeline (beside its rules), which
``assets.pipelines.reject_reasons`` gathers.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable
from dataclasses import dataclass

#: What to do, if no more is known. A corrected file is a new version and arrives by itself.
CORRECT_ROW = "correct the row in its file"
CORRECT_FILE = "put a correct file in its place"


@dataclass(frozen=True, slots=True)
class RejectReason:
    """A code to count by; what was wrong, and what to do about it, for people.

    ``final`` says why what was rejected for it is never put back as it was; empty where it may be.
    """

    code: str
    meaning: str
    remedy: str = CORRECT_ROW
    final: str = ""


#: The ledger's own: no reader gives it, so that every pipeline has it.
KILLS_PROCESS = RejectReason(
    "kills_process",
    "every process that read the object alone died (no memory left, or a crash in a library)",
    "read it on a machine with more memory, or put smaller or correct files in its place; put "
    "again as it is, it is tried again",
)

#: What its store does not give.
UNREADABLE = RejectReason(
    "unreadable",
    "its store refuses to give the file, in the words that are beside it, and gives others",
    "make it readable (rights, key, storage class), then copy it onto itself: it arrives again",
)


#: What a sink does not take. Such rows are in no quarantine file: see landing/batch/refused.py.
REJECTED_BY_SINK = RejectReason(
    "rejected_by_sink",
    "a store refuses the row, in the words that are beside it, and takes others",
    CORRECT_ROW,
)


class UnknownReasonWarning(UserWarning):
    """A row was rejected for a reason that its pipeline does not declare."""


def duplicate(key: str) -> RejectReason:
    """Two rows of one file have the same value in the column ``key``."""
    return RejectReason(
        f"duplicate_{key}",
        "another row of the same file is about the same record and was kept; its line is named",
        "none, if the row that was kept is the right one",
        final="duplicate: another row of the same file was kept",
    )


def warn_of_unknown(codes: Iterable[str], known: Collection[str]) -> None:
    """Warn of every code that is not ``known``.

    No error: a batch must not fail because a text is missing. In tests it is one.
    """
    for code in codes:
        if code not in known:
            message = f"{code!r} is no known reject reason: declare it beside its rule"
            warnings.warn(message, UnknownReasonWarning, stacklevel=2)
