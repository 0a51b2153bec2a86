"""``make dev``: the stack, the webserver and the daemon until Ctrl-C.

Belongs here: that one command. Does not: what it starts and how it ends (``foreground``).
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence

from local.foreground import INTERRUPTED, Foreground
from local.pipelines import selected
from local.progress import Progress
from local.stack import DEFAULT_ROOT, Stack
from local.waiting import Waiting


def main(argv: Sequence[str] | None = None) -> int:
    """Run until interrupted; the servers stay up, as after ``make up``."""
    parser = argparse.ArgumentParser(prog="make dev", description=__doc__)
    parser.add_argument("--pipelines", default="", help="comma-separated; all by default")
    parser.add_argument("--port", type=int, help="of the UI")
    arguments = parser.parse_args(argv)
    names = selected(arguments.pipelines)

    def stay(foreground: Foreground) -> int:
        foreground.start(names)
        foreground.wait_ready()
        foreground.say("Ctrl-C stops Dagster; `make land FILE=… PIPELINE=…` gives it a file")
        waiting = Waiting(foreground.stack.env()["POSTGRES_URL"])
        while True:
            time.sleep(1)
            foreground.check_alive()
            for line in waiting.news():
                foreground.say(line)

    foreground = Foreground(Stack(DEFAULT_ROOT), "make dev", Progress().say, arguments.port)
    code = foreground.run(stay)
    return 0 if code == INTERRUPTED else code


if __name__ == "__main__":
    sys.exit(main())
