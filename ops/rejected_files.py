"""Rejected music put back: whole files, into the raw bucket, under their own keys.

Belongs here: which files can be put back. Does not: the ledger's batches, or what the operator is
told (``ops.quarantine``).

A file that was rejected as a whole lies in the raw bucket still: written again, it is a new version
and is read by today's rules. Rejected rows of a readable file cannot be put back alone, for a row
of HDF5 or JSON is no file. The file is put back as a whole, from its copy if it has left the raw
bucket: what it says of other records is known and changes nothing. It is ordered as the version
that was rejected. Where a later file says otherwise of one of its records, it stays out.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import IO, TYPE_CHECKING, BinaryIO, cast

from assets.music.bronze.archive import Archive
from landing.arrival.arrivals import note_put_back
from landing.arrival.identity import ObjectVersion
from landing.batch.chunks import UnreadableObject
from landing.batch.reasons import RejectReason
from landing.stores.base import ObjectNotCurrent
from ops.rejects import Reject, Replayed
from resources.postgres import PostgresResource

if TYPE_CHECKING:
    import polars as pl

    from landing.stores.minio import MinioStore

_BLOCK_BYTES = 1024 * 1024

_VERSION = """
SELECT store, bucket, key, version, size, modified_at FROM landing.object_version
WHERE store = 'minio' AND bucket = %s AND key = %s AND version = %s
"""
_OTHERWISE = """
SELECT count(*) FROM unnest(%s::text[], %s::text[]) AS said (key, row_hash)
JOIN music.record r ON r.key = said.key AND r.row_hash <> said.row_hash
"""


def put_back(
    rejects: Iterable[Reject],
    raw: MinioStore,
    archive: Archive,
    postgres: PostgresResource,
    reasons: Mapping[str, RejectReason],
) -> Replayed:
    """Write the files of these rejects again where that is right. Safe to repeat.

    ``reasons`` are the pipeline's, by code.
    """
    result = Replayed()
    for (key, version), group in groupby(rejects, lambda r: (r.key, r.version)):
        willing = 0
        for reject in group:
            if reject.reason in reasons and reasons[reject.reason].final:
                result.refused[reasons[reject.reason].final] += 1
            else:
                willing += 1
        if not willing:
            continue
        with tempfile.TemporaryFile(prefix="quintet-") as file:
            refusal = _fetch(key, version, file, raw=raw, archive=archive, postgres=postgres)
            if refusal is not None:
                result.refused[refusal] += willing
                continue
            file.seek(0)
            put = raw.put(key, cast("BinaryIO", file))
            # Only now: a key of its own gets other versions, too. Until this is noted, and its
            # batch takes longer than that to be read, it is as new as it looks.
            with postgres.connect(autocommit=True) as conn:
                note_put_back(
                    conn, raw.kind, raw.bucket, of=(key, version), key=key, version=put.version
                )
            result.objects[put.uri] = willing
    return result


def _fetch(
    key: str,
    version: str,
    file: IO[bytes],
    *,
    raw: MinioStore,
    archive: Archive,
    postgres: PostgresResource,
) -> str | None:
    """The file's content into ``file``; why not, if that is impossible or wrong."""
    current = raw.stat(key)
    if current is not None and current.version != version:
        return f"{key} was replaced: its newer version arrives by itself"
    with postgres.connect() as conn:
        row = conn.execute(_VERSION, (raw.bucket, key, version)).fetchone()
    if row is None:
        return f"{key} landed in another bucket than {raw.bucket}"
    ledgered = ObjectVersion(*row)
    try:
        with archive.open(ledgered) as stream:
            while block := stream.read(_BLOCK_BYTES):
                file.write(block)
    except ObjectNotCurrent:
        return f"{key} was deleted: upload it again"
    file.seek(0)
    overtaken = _overtaken(ledgered, cast("BinaryIO", file), postgres)
    if overtaken:
        return f"{key}: later files say otherwise of {overtaken:,} of its records; correct it"
    return None


def _overtaken(version: ObjectVersion, stream: BinaryIO, postgres: PostgresResource) -> int:
    """How many of the file's records, by today's rules, say something else now."""
    from assets.music.bronze.formats.sniffing import read_records

    def count(rows: pl.DataFrame) -> int:
        with postgres.connect() as conn:
            found = conn.execute(
                _OTHERWISE, (rows["record_key"].to_list(), rows["row_hash"].to_list())
            ).fetchone()
        return int(found[0]) if found else 0

    try:
        return sum(count(chunk.accepted) for chunk in read_records(stream, version))
    except UnreadableObject:
        return 0  # it will be rejected again, and stays where it is
