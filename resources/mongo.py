"""MongoDB, through pymongo.

Belongs here: how to connect and what a write must survive. Does not: any collection of ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import dagster as dg

if TYPE_CHECKING:
    from pymongo import MongoClient
    from pymongo.collection import Collection

Document = dict[str, Any]


class MongoResource(dg.ConfigurableResource[Any]):
    """One MongoDB. ``uri`` carries the credentials; timeouts are in seconds.

    Timeouts that the URI names (``?timeoutMS=5000``) win over those of the fields.
    """

    uri: str
    connect_timeout: float = 10.0
    #: Of one operation as a whole, server selection and retries included.
    operation_timeout: float = 30.0

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        """What pydantic shows of the resource: no credentials."""
        yield "operation_timeout", self.operation_timeout

    def client(self) -> MongoClient[Document]:
        """A new client; use it as a context manager. It connects at its first operation."""
        from pymongo import MongoClient

        named = {name.lower() for name, _ in parse_qsl(urlsplit(self.uri).query)}
        timeouts: dict[str, Any] = {
            "connectTimeoutMS": int(self.connect_timeout * 1000),
            "serverSelectionTimeoutMS": int(self.connect_timeout * 1000),
            "timeoutMS": int(self.operation_timeout * 1000),
        }
        # pymongo lets an argument win over the URI.
        unnamed: dict[str, Any] = {
            name: value for name, value in timeouts.items() if name.lower() not in named
        }
        return MongoClient(self.uri, appname="quintet", tz_aware=True, **unnamed)

    def check(self) -> str:
        """Who is reachable as whom, in one line. Raises pymongo.errors.PyMongoError."""
        import pymongo

        managed: AbstractContextManager[MongoClient[Document]] = self.client()
        # Reads are tried again until their time is up: here that is no longer than to connect.
        with managed as client, pymongo.timeout(self.connect_timeout):
            version = client.server_info()["version"]
            status = client.admin.command("connectionStatus")
            users = status["authInfo"]["authenticatedUsers"]
        name = ", ".join(user["user"] for user in users) or "no authentication"
        return f"MongoDB {version} as {name}"


def durable(client: MongoClient[Document], database: str, collection: str) -> Collection[Document]:
    """A collection whose writes are acknowledged by a majority and journalled."""
    from pymongo import WriteConcern

    return client.get_database(database).get_collection(
        collection, write_concern=WriteConcern("majority", j=True)
    )
