"""What the query service is measured against: the same questions in bare FastAPI routes.

No keys, limits, deadlines, metrics or evidence: a pool, a query, an answer. A server of its own,
with the options that ours has: ``python -m benchmarks.api_bare PORT``.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import uvicorn
from fastapi import FastAPI
from psycopg_pool import ConnectionPool

from assets.images import answers as images
from assets.music import answers as music

CONNECTIONS = 16


def made() -> FastAPI:
    app = FastAPI()
    pool: ConnectionPool[Any] = ConnectionPool(
        os.environ["POSTGRES_URL"], min_size=1, max_size=CONNECTIONS, open=True,
        kwargs={"autocommit": True},
    )  # fmt: skip

    @app.get("/v1/health/live")
    async def live() -> dict[str, str]:
        return {"status": "live"}

    @app.get("/v1/music/songs/{song_key}/plays")
    def plays(song_key: str) -> music.SongPlays:
        with pool.connection() as connection:
            return music.song_plays(connection, song_key)

    @app.get("/v1/images/tasks/{task_id}")
    def task(task_id: str) -> images.TaskStatus:
        with pool.connection() as connection:
            return images.task(connection, task_id)

    return app


if __name__ == "__main__":
    uvicorn.run(
        made(), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", server_header=False
    )
