"""An OpenAI-compatible server: embeddings, chat, batches, faults on demand; and Telegram's sink.

Keys: the secret of OPENAI_SERVER_KEY, or the secret followed by ``.`` and any name; the same are
tokens of Telegram bots. Faults, counters, files and messages are kept per key, so that callers with
names of their own do not meet.

- ``PUT /admin/faults`` sets a plan (`local.fault_plan`), ``DELETE`` ends it
- ``GET /admin/counters`` reads (`local.openai.account`), ``DELETE`` clears
- ``GET /admin/prompts`` counts every different prompt; ``?messages=1`` shows them, too
- ``GET /admin/messages`` lists what ``/bot<key>/sendMessage`` accepted

Runs in the servers' environment: ``python -m local.openai_server PORT WORDLLAMA_DIRECTORY``.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from local.embedder import Embedder
from local.openai.app import App


def main(port: int, wordllama: Path) -> None:
    """Serve until SIGTERM."""
    import uvicorn

    uvicorn.run(
        App(os.environ["OPENAI_SERVER_KEY"], Embedder(wordllama)),
        host="127.0.0.1",
        port=port,
        lifespan="off",
        log_level="warning",
        access_log=False,
        # Thousands of calls may begin at once.
        backlog=4096,
        timeout_graceful_shutdown=1,
        timeout_keep_alive=75,
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
