"""Why requests are refused. Belongs here: the reasons. Does not: finding them."""

from __future__ import annotations

from landing.batch.reasons import RejectReason

_AGAIN = "write the request as its result file says, under any key"
_FINAL = "a request: write it again, corrected, under any key"

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
        _AGAIN, _FINAL,
    ),
)  # fmt: skip
