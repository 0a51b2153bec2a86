"""``python -m api``: the service until it is interrupted.

Belongs here: that command. Does not: the application (``app.py``).
"""

from __future__ import annotations

import argparse
import gc
import os
from collections.abc import Sequence
from pathlib import Path

import uvicorn

from api.app import create_app
from api.clients import preload, systems_of
from assets.pipelines import chosen_pipelines
from ops.environment import load_environment

#: Seconds that requests in progress get to end.
_GRACE = 10


def main(argv: Sequence[str] | None = None) -> None:
    """Serve ``--host`` and ``--port``; the variables are those of ``.env``, else the process's."""
    parser = argparse.ArgumentParser(prog="python -m api", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    arguments = parser.parse_args(argv)
    load_environment(Path.cwd())
    app = create_app()
    preload(systems_of(chosen_pipelines()))
    # Or each full collection looks through all that was imported, for a tenth of a cheap request.
    gc.collect()
    gc.freeze()
    uvicorn.run(
        app, host=arguments.host, port=arguments.port, log_level="warning",
        timeout_graceful_shutdown=_GRACE, server_header=False,
    )  # fmt: skip


if __name__ == "__main__":
    main()
    # At once: threads of clients that still wait for their server must not be waited for.
    os._exit(0)
