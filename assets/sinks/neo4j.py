"""One Neo4j database: statements over rows, each in a transaction of its own.

Belongs here: constraints, running statements in bounded parts. Does not: the connection
(``resources/neo4j.py``), any node, edge or statement.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from assets.sinks.isolating import Refusal

if TYPE_CHECKING:
    from neo4j import Driver

#: Rows per statement, which is one transaction.
BATCH_ROWS = 10_000
#: neo4j.com/docs/status-codes: what may be the values' fault. Syntax and rights are not among them.
_OF_VALUES = (
    "Neo.ClientError.Statement.TypeError", "Neo.ClientError.Statement.ArgumentError",
    "Neo.ClientError.Statement.ArithmeticError", "Neo.ClientError.Statement.ConstraintViolation",
    "Neo.ClientError.Statement.ParameterMissing", "Neo.ClientError.Schema.Constraint",
)  # fmt: skip
_TOO_LARGE = ("Property value is too large to index",)
#: A key without a value, under a code that mostly stands for the statement itself.
_OF_A_KEY = ("Neo.ClientError.Statement.SemanticError", "null property value")
#: A transaction needs more memory than it may have: fewer rows need less.
_TOO_MUCH = "Neo.TransientError.General.MemoryPoolOutOfMemoryError"


class Created(NamedTuple):
    """How many nodes and edges a transaction has made."""

    nodes: int
    edges: int


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
        return list(self._executed(statement, rows).records)

    def created(self, statement: str, rows: Sequence[Any]) -> Created:
        """What a statement over rows has created, by the counts of its commit."""
        if not rows:
            return Created(0, 0)
        counters = self._executed(statement, rows).summary.counters
        return Created(counters.nodes_created, counters.relationships_created)

    def _executed(self, statement: str, rows: Any) -> Any:
        return self.driver.execute_query(
            statement, parameters_={"rows": rows}, database_=self.database
        )

    def write(self, statement: str, rows: Sequence[Any]) -> None:
        """The same for rows, and nothing at all without any."""
        if rows:
            self.run(statement, rows)


def refusal(error: Exception) -> Refusal | None:
    """What Neo4j says of the values of rows: their kind, their size, a constraint."""
    from neo4j.exceptions import ClientError, Neo4jError

    # Bolt's integers have 64 bits: the driver sends nothing of the request.
    if isinstance(error, OverflowError):
        return Refusal(str(error), certain=True)
    code = (error.code or "") if isinstance(error, Neo4jError) else ""
    of_values = isinstance(error, ClientError) and code.startswith(_OF_VALUES)
    # A value that is too large for an index is the server's failure to it, and names itself.
    too_large = isinstance(error, Neo4jError) and any(
        words in (error.message or "") for words in _TOO_LARGE
    )
    message = getattr(error, "message", None) or str(error)
    of_a_key = code == _OF_A_KEY[0] and _OF_A_KEY[1] in message
    too_much = code == _TOO_MUCH
    if not (of_values or too_large or of_a_key or too_much):
        return None
    return Refusal(f"{code}: {message}", certain=too_large, too_much=too_much)


def parts(rows: Iterator[Any], size: int = BATCH_ROWS) -> Iterator[list[Any]]:
    """The rows as lists of at most ``size``."""
    while part := list(islice(rows, size)):
        yield part
