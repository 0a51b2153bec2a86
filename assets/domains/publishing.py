"""A month's files on S3: descriptions as CSV and Parquet, a manifest, and pointers to the latest.

Belongs here: keys, contents, the order of writing. Does not: what a description is.
Imported lazily: needs polars.

Files lie in a folder named by what they hold, so that a month that is published again is complete
or absent, and writes nothing when nothing changed. The pointers are written last: who follows them
never finds a half.
"""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import polars as pl  # noqa: TID253

from assets.domains.descriptions import Diff, MonthSummaries, Summary
from assets.domains.months import Month
from landing.batch.failures import TransientError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from landing.stores.base import ObjectStore

_SCHEMA = {
    "domain": pl.String,
    "category": pl.String,
    "description": pl.String,
    "prompt_hash": pl.String,
}


class UploadMismatchError(TransientError):
    """A file does not read back as it was written."""


@dataclass(frozen=True, slots=True)
class Publication:
    """What was published: ``files`` by key with their SHA-256, the keys written now."""

    folder: str
    files: dict[str, str]
    written: tuple[str, ...]
    manifest: dict[str, Any]


def frame_of(summaries: Sequence[Summary]) -> pl.DataFrame:
    """The rows of the files, by domain."""
    rows = [(one.domain, one.category, one.text, one.prompt_hash) for one in summaries]
    return pl.DataFrame(rows, schema=_SCHEMA, orient="row").sort("domain")


def publish(
    store: ObjectStore,
    prefix: str,
    month: Month,
    found: MonthSummaries,
    *,
    diff: Diff,
    model: str,
) -> Publication:
    """Write what is not there yet, read it back, then turn the pointers to it.

    Raises UploadMismatchError and the store's own errors.
    """
    frame = frame_of(found.answered)
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    contents = {"csv": frame.write_csv().encode(), "parquet": buffer.getvalue()}
    digests = {suffix: hashlib.sha256(data).hexdigest() for suffix, data in contents.items()}
    manifest = {
        "month": str(month),
        "model": model,
        "domains": len(found.summaries),
        "published": len(found.answered),
        "rejected": len(found.rejected),
        "rejected_by_reason": found.reasons,
        "rejected_domains": {one.domain: one.reason for one in found.rejected},
        "cost_dollars": found.cost / 1e6,
        "against_the_month_before": asdict(diff),
        "files": {f"{month}-descriptions.{suffix}": digests[suffix] for suffix in digests},
    }
    text = json.dumps(manifest, indent=2, ensure_ascii=False, sort_keys=True).encode()
    version = hashlib.sha256(text).hexdigest()[:16]
    folder = f"{prefix}{month}/{version}/"
    objects = {f"{folder}{month}-descriptions.{s}": data for s, data in contents.items()}
    objects[f"{folder}manifest.json"] = text
    pointer = json.dumps({"month": str(month), "folder": folder}).encode()
    pointers = (f"{prefix}{month}/latest.json", *_newest(store, prefix, month))
    ordered = [*objects.items(), *((key, pointer) for key in pointers)]
    written = [key for key, data in ordered if _put(store, key, data)]
    files = {key: hashlib.sha256(data).hexdigest() for key, data in objects.items()}
    return Publication(folder, files, tuple(written), manifest)


def _newest(store: ObjectStore, prefix: str, month: Month) -> tuple[str, ...]:
    """The pointer over all months, unless it points to a later one."""
    key = f"{prefix}latest.json"
    try:
        newest = Month.parse(json.loads(store.get(key))["month"])
    except (KeyError, ValueError):
        return (key,)
    return (key,) if newest <= month else ()


def _put(store: ObjectStore, key: str, data: bytes) -> bool:
    """Write the object unless it is there as it should be; whether it was written.

    Raises UploadMismatchError.
    """
    if _held(store, key) == data:
        return False
    store.put(key, data)
    if _held(store, key) != data:
        raise UploadMismatchError(f"{key} does not read back as it was written")
    return True


def _held(store: ObjectStore, key: str) -> bytes | None:
    try:
        return store.get(key)
    except KeyError:
        return None
