"""Why messages, rows and files of reading are rejected.

Belongs here: the reasons with their texts. Does not: the rules (``rules.py``).
"""

from __future__ import annotations

from landing.batch.reasons import RejectReason

_SEND = "send it again, correctly"

VALUE_REASONS = (
    RejectReason("missing_field", "a value is missing; of files, an empty one too", _SEND),
    RejectReason(
        "wrong_type", "a value of another type; an id in quotes or with a fraction", _SEND
    ),
    RejectReason(
        "out_of_range", "an id beyond 64 bits; a percentage below 0 or without end", _SEND
    ),
    RejectReason(
        "bad_date",
        "no such moment since the year 1000; a second 60, an offset beyond 14 h",
        _SEND,
    ),
    RejectReason("before_2000", "an event before the year 2000", _SEND),
    RejectReason(
        "future_date",
        "later than the message's publish time (files: than now) by more than 5 minutes, and on a "
        "later day",
        _SEND,
    ),
    RejectReason("empty", "a category without a character", _SEND),
    RejectReason("too_long", "a category above 200 characters; a message above 64 KiB", _SEND),
)
MESSAGE_REASONS = (
    RejectReason("not_json", "no JSON in UTF-8, or a number in it that no float holds", _SEND),
    RejectReason("not_an_object", "JSON, but no object", _SEND),
    *VALUE_REASONS,
    RejectReason(
        "refused_by_bigquery",
        "BigQuery will not have the row, whatever is tried",
        "see the detail; once the table takes such rows, `REPLAY=1` publishes it again",
    ),
    RejectReason(
        "failed_n_attempts",
        "the row alone met trouble `READING_MAX_ATTEMPTS` times",
        "see the detail and mend the cause; then `REPLAY=1` publishes it again",
    ),
)
