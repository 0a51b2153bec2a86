"""``make land``: a file of the user's own put where its pipeline's sensor looks.

Belongs here: that, through the real client. Does not: what becomes of it (`landing`, `sensors`).
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from assets.pipelines import PIPELINES, landed_files
from landing.arrival.source import Source
from ops.pipelines import landed_pipeline

if TYPE_CHECKING:
    from assets.frame.declared import LandedFiles


class CannotLandError(Exception):
    """The file would not be found; the message says why."""


def place_of(file: Path, name: str) -> tuple[LandedFiles, str]:
    """What the file lands as and the key under which its sensor finds it.

    ``name`` is a pipeline, or the job of one of several things that land for it; a pipeline's
    first that takes a file of this name is meant. Raises CannotLandError when there is none.
    """
    landed = [files for files in landed_files() if name in (files.pipeline, files.job)]
    if not landed:
        raise CannotLandError(
            f"there is no pipeline {name!r} of files: PIPELINE={' or '.join(PIPELINES)}"
        )
    refusals = []
    for files in landed:
        try:
            return files, key_of(file, source_of(files))
        except CannotLandError as refusal:
            refusals.append(str(refusal))
    raise CannotLandError("\n".join(dict.fromkeys(refusals)))


def source_of(files: LandedFiles) -> Source:
    """Where their sensor looks now."""
    places = files.places()
    return files.source(places.bucket, places.prefix)


def key_of(file: Path, source: Source) -> str:
    """The key under which the sensor finds the file. Raises CannotLandError when it would not."""
    if not file.is_file():
        raise CannotLandError(f"{file} is no file")
    if not file.stat().st_size and not source.empty_objects:
        raise CannotLandError(f"{file} is empty: an empty object does not start anything")
    # A prefix that ends amid a name is the beginning of what files there are called.
    folder, slash, begins = source.prefix.rpartition("/")
    named = file.name.startswith(begins)
    key = folder + slash + file.name if named else source.prefix + file.name
    if not source.pattern.fullmatch(key) or key.endswith(source.temporary_suffixes):
        raise CannotLandError(
            f"the sensor of {source.name} would pass over {file.name}: it looks for keys that "
            f"match {source.pattern.pattern} and do not end with "
            f"{' '.join(source.temporary_suffixes)}"
        )
    return key


def run(path: str, pipeline: str) -> int:
    """Put the file there and say what happens next; the exit code."""
    file = Path(path).expanduser()
    try:
        files, key = place_of(file, pipeline)
    except CannotLandError as error:
        print(error, file=sys.stderr)
        return 1
    with landed_pipeline(files) as landed, file.open("rb") as stream:
        version = landed.open_bucket(files.places().bucket).put(key, stream)
    print(
        f"landed {version.uri} ({version.size:,} bytes)\n"
        f"the sensor of {files.pipeline} finds it at its next tick and makes a batch of it: "
        "`make dev` says how far it is\n"
        "`make quarantine` lists the batches with rejected rows"
    )
    return 0
