"""``make api-key``: make a key of the query service, revoke one, or list them.

Belongs here: that command and what it prints. Does not: what a key is (``api/keys.py``).
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import cast

from api import keys
from api.keys import Scope
from ops.environment import require
from ops.terminal import printable, table
from resources.postgres import PostgresResource


def run(name: str | None, scopes: Sequence[str], *, per_minute: int, revoke: str | None) -> int:
    """Print a new key, once; or revoke one; or list those that open. 1 where there is none such."""
    with PostgresResource(url=require("POSTGRES_URL")).connect() as connection:
        if revoke:
            if keys.revoke(connection, revoke):
                print(f"{printable(revoke)} opens nothing any more, within seconds.")
                return 0
            print(f"There is no such key: {printable(revoke)}", file=sys.stderr)
            return 1
        if name:
            try:
                key = keys.make(connection, name, cast("Sequence[Scope]", scopes), per_minute)
            except ValueError as error:
                print(error, file=sys.stderr)
                return 1
            print(f"{key}\nIt is not kept: nobody can show it again.", flush=True)
            return 0
        found = sorted(keys.current(connection).values(), key=lambda one: (one.name, one.key_id))
    rows = [("key", "name", "scopes", "a minute")]
    rows += [
        (one.key_id, printable(one.name), " ".join(sorted(one.scopes)),
         f"{one.requests_per_minute:,}")
        for one in found
    ]  # fmt: skip
    print(table(rows))
    return 0
