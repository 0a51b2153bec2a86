"""What processes do that ask for a month, or step its batches, until a test kills them.

Their variables are those of the test's servers.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from assets.domains.asking import batch_ledger, batch_mode
from tests.faults.killed_run import die, die_after
from tests.integration.domains.asking.world import LOG, MONTH, World, limits, names_its_number

CONCURRENCY = 200
#: Slots and spare ones.
MOST_IN_FLIGHT = CONCURRENCY + limits(concurrency=CONCURRENCY).spare


def step(world: World) -> batch_mode.BatchStep:
    """One step of the batches of the month."""
    return batch_mode.step(
        world.pg, world.openai, MONTH, review=names_its_number, limits=limits(), log=LOG
    )


def _uploading() -> None:
    from openai.resources.files import Files

    die_after(Files, "create")


def _creating() -> None:
    from openai.resources.batches import Batches

    die_after(Batches, "create")


def _settling() -> None:
    batch_mode._SETTLED_AT_ONCE = 10
    die_after(batch_ledger, "settle", call=2)


#: Where a step dies, and in which of the steps.
POINTS: dict[str, tuple[int, Callable[[], None]]] = {
    "intended": (1, lambda: die_after(batch_ledger, "intend")),
    "uploaded": (1, _uploading),
    "created": (1, _creating),
    "half collected": (2, _settling),
    "all settled": (2, lambda: die_after(batch_ledger, "settle", call=1)),
}


def step_until_killed(point: str) -> None:
    """Die at the point; the process's variables name the servers."""
    POINTS[point][1]()
    step(World(os.environ))
    raise AssertionError(f"{point} was not reached")


def ask_to_the_end() -> None:
    """Ask for all, unless killed before; and die."""
    World(os.environ).ask(concurrency=CONCURRENCY)
    die()
