"""Why requests are refused. Belongs here: the reasons. Does not: finding them."""

from __future__ import annotations

from landing.batch.reasons import RejectReason

_AGAIN = "write the request as its result file says, under any key"
_FINAL = "a request: write it again, corrected, under any key"
_ONCE_KNOWN = "correct it, or write it again once the catalogue has such products, under any key"

REQUEST_REASONS: tuple[RejectReason, ...] = (
    RejectReason("not_json", "the file is no JSON object of at most 1 MiB", _AGAIN, _FINAL),
    RejectReason(
        "unknown_field", "a field that no request has; the nearest are named", _AGAIN, _FINAL
    ),
    RejectReason(
        "invalid_request", "a value of the wrong kind, or two that contradict", _AGAIN, _FINAL
    ),
    RejectReason(
        "unknown_value", "a value that no product of the catalogue has; the nearest are named",
        _ONCE_KNOWN, _FINAL,
    ),
)  # fmt: skip


def remedy(code: str) -> str:
    """What the author of a request can do that was refused for this reason."""
    return next(reason.remedy for reason in REQUEST_REASONS if reason.code == code)
