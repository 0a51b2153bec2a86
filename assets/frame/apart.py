"""Sources whose objects are nobody else's: checked when the definitions load.

Belongs here: telling that two landing prefixes, or a landing prefix and what quintet itself writes,
overlap. Does not: what a source takes (``declared.py``), the scan.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, product

from assets.frame.declared import LandedFiles
from assets.frame.settings import LandingPlaces
from landing.batch.quarantine import quarantine_key
from landing.batch.staging import part_key

#: A batch like any other, whose files are looked for among what a source takes.
_BATCH = "20261122T101503Z-0001"


class OverlappingSourcesError(ValueError):
    """One object could belong to two sources, or a source reads what quintet writes."""


def require_apart(landed: Sequence[LandedFiles]) -> None:
    """Raise OverlappingSourcesError when an object could be two sources' or a run's own output.

    Which source would get it, depended on which tick saw it first. Two sources are apart when they
    are in different stores or buckets, or when no key can begin with both prefixes; patterns do not
    count, for whether two of them share a text is not to be seen.
    """
    placed = [(one, one.places()) for one in landed]
    for one, other in combinations(placed, 2):
        _require_other_keys(*one, *other)
    for reader, writer in product(placed, placed):
        _require_no_output(*reader, *writer)


def _require_other_keys(
    one: LandedFiles, first: LandingPlaces, other: LandedFiles, second: LandingPlaces
) -> None:
    if one.store != other.store or not first.bucket or first.bucket != second.bucket:
        return
    a, b = first.prefix, second.prefix
    if a.startswith(b) or b.startswith(a):
        raise OverlappingSourcesError(
            f"{one.source_name} reads {one.uri(first.bucket, a)} and {other.source_name} "
            f"{other.uri(second.bucket, b)}: an object there could belong to both. Give one of "
            f"them another prefix or bucket, with the variables of {one.pipeline} or "
            f"{other.pipeline} that name them (see .env.example)."
        )


def _require_no_output(
    reader: LandedFiles, source: LandingPlaces, writer: LandedFiles, places: LandingPlaces
) -> None:
    """``reader`` must not take the staging and the quarantine of ``writer`` for what landed."""
    if reader.store != writer.store or not source.bucket:
        return
    pattern = reader.source(source.bucket, source.prefix).pattern
    for what, bucket, key in (
        ("staging", places.staging_bucket, part_key(writer.pipeline, _BATCH, 0)),
        ("quarantine", places.quarantine_bucket, quarantine_key(writer.pipeline, _BATCH)),
    ):
        if bucket == source.bucket and key.startswith(source.prefix) and pattern.fullmatch(key):
            raise OverlappingSourcesError(
                f"{reader.source_name} reads {reader.uri(source.bucket, source.prefix)}, where "
                f"{writer.pipeline} keeps its {what} ({reader.uri(bucket, key)}): it would take "
                f"that for what landed. Give the landing a prefix or a bucket of its own, with the "
                f"variables of {reader.pipeline} or {writer.pipeline} (see .env.example)."
            )
