"""One Neo4j database: statements over rows, each in a transaction of its own.

Belongs here: constraints, running statements in bounded parts. Does not: the connection
(``resources/neo4j.py``), any node, edge or statement.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neo4j import Driver

#: Rows per statement, which is one transaction.
BATCH_ROWS = 10_000


@dataclass(frozen=True, slots=True)
class Graph:
    """One database, reached through its driver. Statements take their rows as ``$rows``."""

    driver: Driver
    database: str

    def ensure(self, constraints: Iterable[str]) -> None:
        """Create the constraints that are missing (``CREATE CONSTRAINT … IF NOT EXISTS``)."""
        for statement in constraints:
            self.run(statement)

    def run(self, statement: str, rows: Any = None) -> list[Any]:
        """One statement in a transaction of its own, tried again by the driver when it may be."""
        result = self.driver.execute_query(
            statement, parameters_={"rows": rows}, database_=self.database
        )
        return list(result.records)

    def write(self, statement: str, rows: Sequence[Any]) -> None:
        """The same for rows, and nothing at all without any."""
        if rows:
            self.run(statement, rows)


def parts(rows: Iterator[Any], size: int = BATCH_ROWS) -> Iterator[list[Any]]:
    """The rows as lists of at most ``size``."""
    while part := list(islice(rows, size)):
        yield part
