"""``make land``: a file of the user's own put where its pipeline's sensor looks.

Belongs here: that, through the real client. Does not: what becomes of it (`landing`, `sensors`).
"""

from __future__ import annotations

import sys
from pathlib import Path

from assets.pipelines import PIPELINES, landed_of
from landing.arrival.source import Source
from ops.pipelines import landed_pipeline


class CannotLandError(Exception):
    """The file would not be found; the message says why."""


def source_of(pipeline: str) -> Source:
    """Where a pipeline's sensor looks. Raises CannotLandError for an unknown pipeline."""
    if pipeline not in PIPELINES:
        raise CannotLandError(
            f"there is no pipeline {pipeline!r} of files: PIPELINE={' or '.join(PIPELINES)}"
        )
    files = landed_of(pipeline)
    places = files.places()
    return files.source(places.bucket, places.prefix)


def key_of(file: Path, source: Source) -> str:
    """The key under which the sensor finds the file. Raises CannotLandError when it would not."""
    if not file.is_file():
        raise CannotLandError(f"{file} is no file")
    if not file.stat().st_size and not source.empty_objects:
        raise CannotLandError(f"{file} is empty: an empty object does not start anything")
    key = source.prefix + file.name
    if not source.pattern.fullmatch(key) or key.endswith(source.temporary_suffixes):
        raise CannotLandError(
            f"the sensor of {source.pipeline} would pass over {file.name}: it looks for keys that "
            f"match {source.pattern.pattern} and do not end with "
            f"{' '.join(source.temporary_suffixes)}"
        )
    return key


def run(path: str, pipeline: str) -> int:
    """Put the file there and say what happens next; the exit code."""
    file = Path(path).expanduser()
    try:
        source = source_of(pipeline)
        key = key_of(file, source)
    except CannotLandError as error:
        print(error, file=sys.stderr)
        return 1
    with landed_pipeline(pipeline) as landed, file.open("rb") as stream:
        version = landed.open_bucket(source.bucket).put(key, stream)
    print(
        f"landed {version.uri} ({version.size:,} bytes)\n"
        f"the sensor of {pipeline} finds it at its next tick and makes a batch of it: `make dev` "
        "says how far it is\n"
        "`make quarantine` lists the batches with rejected rows"
    )
    return 0
