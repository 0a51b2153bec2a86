"""``make dev``: the stack, the webserver and the daemon until Ctrl-C.

Belongs here: that one command. Does not: what it starts.
"""

from __future__ import annotations

import os
import sys
import time

from local.dagster_processes import DagsterDied, DagsterProcesses
from local.stack import DEFAULT_ROOT, Stack


def main() -> int:
    """Run until interrupted; the stack stays up, as after ``make up``."""
    stack = Stack(DEFAULT_ROOT)
    errors = [started.error for started in stack.up() if started.error]
    if errors:
        print("\n".join(errors), file=sys.stderr)
        return 1
    env = {**os.environ, **stack.env()}
    dagster = DagsterProcesses(env=env, logs=stack.root / "logs")
    try:
        dagster.start()
        dagster.wait_ready()
        print(f"Dagster UI: {dagster.url}   (Ctrl-C stops it; `make down` stops the servers)")
        while True:
            time.sleep(1)
            dagster.check_alive()
    except KeyboardInterrupt:
        return 0
    except (DagsterDied, TimeoutError) as error:
        print(error, file=sys.stderr)
        return 1
    finally:
        dagster.stop()


if __name__ == "__main__":
    sys.exit(main())
