"""What is taken of a CSV file and what is rejected: the reasons, and the bounds.

Belongs here: what readers of CSV and their callers must agree on. Does not: reading.
"""

from __future__ import annotations

from dataclasses import dataclass

from assets.formats.gzipped import GZIP_REASONS
from landing.batch.reasons import CORRECT_FILE, RejectReason

#: What ``csv_records.read_records`` rejects lines, records and files for.
CSV_REASONS = (
    *GZIP_REASONS,
    RejectReason("archive", "a zip archive or an Excel workbook: the file", CORRECT_FILE),
    RejectReason("bad_header", "a column is missing or there twice: the file", CORRECT_FILE),
    RejectReason("bad_encoding", "not UTF-8, nor UTF-16 with its mark"),
    RejectReason("nul_character", "a NUL in it"),
    RejectReason("too_few_fields", "fewer fields than the header has"),
    RejectReason("too_many_fields", "more fields than the header has"),
    RejectReason("field_too_large", "a field above 1 MiB, or a line above 8 MiB"),
    RejectReason(
        "unclosed_quote",
        "text after a closing quote, or none within 2 MiB; the next line is read anew",
        final="unclosed quote: among other rows it could swallow the next one; correct it",
    ),
)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what is held in memory, in bytes.

    ``line_bytes`` is the longest physical line that is looked into at all.
    """

    block_bytes: int = 1024 * 1024
    field_bytes: int = 1024 * 1024
    record_bytes: int = 2 * 1024 * 1024
    line_bytes: int = 8 * 1024 * 1024
