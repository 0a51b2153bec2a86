"""What a Pub/Sub server must not forget, in one SQLite file.

Belongs here: tables, and the bodies of messages that are not done. Does not: who may have which
message when (`local.pubsub.backlog`).

Made for a server that is killed, not for a machine that loses power: nothing is synced to disk, so
a commit costs microseconds and outlives the process (sqlite.org/pragma.html#pragma_synchronous).
A message is stored once per subscription, and is gone once that acknowledged it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path

_TABLES = """
CREATE TABLE IF NOT EXISTS topic (
    name TEXT PRIMARY KEY, body BLOB NOT NULL, published INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE IF NOT EXISTS subscription (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, body BLOB NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS message (
    subscription INTEGER NOT NULL,
    number INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    ordering_key TEXT NOT NULL,
    body BLOB NOT NULL,
    PRIMARY KEY (subscription, number)
) STRICT, WITHOUT ROWID;
"""
#: Pages after which the write-ahead log is moved into the file: 32 MB.
_CHECKPOINT = 8_000


class Journal:
    """The file ``path``, made when it is not there. One process, one thread."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._run("PRAGMA journal_mode = WAL")
        self._run("PRAGMA synchronous = OFF")
        self._run(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT}")
        self._connection.executescript(_TABLES)

    def _run(self, sql: str, values: Iterable[object] = ()) -> sqlite3.Cursor:
        return self._connection.execute(sql, tuple(values))

    def _change(self) -> None:
        if not self._connection.in_transaction:
            self._run("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Keep everything changed so far."""
        if self._connection.in_transaction:
            self._run("COMMIT")

    def close(self) -> None:
        """Commit and close."""
        self.commit()
        self._connection.close()

    # -- topics and subscriptions -----------------------------------------------------------

    def topics(self) -> dict[str, tuple[bytes, int]]:
        """Serialized topics by name, with how many messages were published."""
        rows = self._run("SELECT name, body, published FROM topic ORDER BY name")
        return {name: (body, published) for name, body, published in rows}

    def put_topic(self, name: str, body: bytes) -> None:
        """Add or replace; what was published stays counted."""
        self._change()
        self._run(
            "INSERT INTO topic (name, body) VALUES (?, ?) "
            "ON CONFLICT (name) DO UPDATE SET body = excluded.body",
            (name, body),
        )

    def remove_topic(self, name: str) -> None:
        """Its subscriptions stay."""
        self._change()
        self._run("DELETE FROM topic WHERE name = ?", (name,))

    def subscriptions(self) -> dict[str, tuple[int, bytes]]:
        """Numbers and serialized subscriptions by name."""
        rows = self._run("SELECT name, number, body FROM subscription ORDER BY name")
        return {name: (number, body) for name, number, body in rows}

    def put_subscription(self, name: str, body: bytes) -> int:
        """Add or replace; its number."""
        self._change()
        row = self._run(
            "INSERT INTO subscription (name, body) VALUES (?, ?) "
            "ON CONFLICT (name) DO UPDATE SET body = excluded.body RETURNING number",
            (name, body),
        ).fetchone()
        return int(row[0])

    def remove_subscription(self, number: int) -> None:
        """Remove it and its messages."""
        self._change()
        self._run("DELETE FROM message WHERE subscription = ?", (number,))
        self._run("DELETE FROM subscription WHERE number = ?", (number,))

    # -- messages ---------------------------------------------------------------------------

    def last_message(self) -> int:
        """The highest number of a message that is kept; 0 when there is none."""
        # MAX of a column that is not the first of the key reads everything; this does not.
        highest = [self._edge(number, "MAX") for number, _ in self.subscriptions().values()]
        return max((number for number in highest if number is not None), default=0)

    def oldest(self, subscription: int) -> int | None:
        """The lowest number of a message that is not done."""
        return self._edge(subscription, "MIN")

    def _edge(self, subscription: int, function: str) -> int | None:
        row = self._run(
            f"SELECT {function}(number) FROM message WHERE subscription = ?", (subscription,)
        ).fetchone()
        return None if row[0] is None else int(row[0])

    def append(
        self, topic: str, subscriptions: Iterable[int], messages: list[tuple[int, str, bytes]]
    ) -> None:
        """Add messages (number, ordering key, body) of ``topic`` to each subscription."""
        self._change()
        for subscription in subscriptions:
            self._connection.executemany(
                "INSERT INTO message (subscription, number, attempts, ordering_key, body) "
                f"VALUES ({int(subscription)}, ?, 0, ?, ?)",
                messages,
            )
        self._run(
            "UPDATE topic SET published = published + ? WHERE name = ?", (len(messages), topic)
        )

    def body(self, subscription: int, number: int) -> bytes | None:
        """One message, or None when it is gone."""
        row = self._run(
            "SELECT body FROM message WHERE subscription = ? AND number = ?", (subscription, number)
        ).fetchone()
        return None if row is None else bytes(row[0])

    def waiting(self, subscription: int) -> Iterator[tuple[int, str, int]]:
        """Number, ordering key and attempts of every message that is not done, in order."""
        yield from self._run(
            "SELECT number, ordering_key, attempts FROM message WHERE subscription = ? "
            "ORDER BY number",
            (subscription,),
        )

    def done(self, subscription: int, numbers: Iterable[int]) -> None:
        """Remove messages."""
        self._change()
        self._connection.executemany(
            "DELETE FROM message WHERE subscription = ? AND number = ?",
            [(subscription, number) for number in numbers],
        )

    def attempted(self, subscription: int, attempts: Iterable[tuple[int, int]]) -> None:
        """Set how often messages (number, attempts) went out."""
        self._change()
        self._connection.executemany(
            f"UPDATE message SET attempts = ?2 WHERE subscription = {int(subscription)} "
            "AND number = ?1",
            list(attempts),
        )

    def forget_before(self, subscription: int, number: int) -> int:
        """Remove the messages below ``number``; how many there were."""
        self._change()
        return self._run(
            "DELETE FROM message WHERE subscription = ? AND number < ?", (subscription, number)
        ).rowcount
