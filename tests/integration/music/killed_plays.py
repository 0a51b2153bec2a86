"""The load of plays, killed (SIGKILL) at a named point: run by test_plays."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

from assets.music.bronze.formats import plays as lines
from assets.music.plays import load
from tests.integration.music.killed_bronze import after, die
from tests.integration.music.test_plays import PlaysWorld

_BLOCK_BYTES = 1_000


def one_block(*args: Any) -> Iterator[lines.Block]:
    """The first block of a file, and the end."""
    yield next(lines.blocks(*args))
    die()


POINTS = {
    "a block copied": lambda: setattr(load, "blocks", one_block),
    "former rows deleted": after(load, "_delete"),
    "all copied": after(load, "_copied"),
}


def main(batch_id: str, point: str) -> None:
    lines.BLOCK_BYTES = _BLOCK_BYTES
    POINTS[point]()
    PlaysWorld(os.environ).plays(batch_id)


if __name__ == "__main__":
    main(*sys.argv[1:])
