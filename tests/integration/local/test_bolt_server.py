"""What the server in Neo4j's place refuses, as Neo4j does; and what it takes and Neo4j would not.

A row that is refused is found by splitting.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from neo4j.exceptions import ClientError, ConstraintError, CypherTypeError

from assets.sinks.isolating import Isolating
from assets.sinks.neo4j import Graph, refusal
from resources.neo4j import Neo4jResource

pytestmark = pytest.mark.servers("bolt")

UNIQUE = "CREATE CONSTRAINT thing IF NOT EXISTS FOR (t:Thing) REQUIRE t.id IS UNIQUE"
CREATE = "UNWIND $rows AS row CREATE (t:Thing {id: row.id}) SET t.held = row.held"
MERGE = "UNWIND $rows AS row MERGE (t:Thing {id: row.id}) SET t.held = row.held"


@pytest.fixture
def graph(env) -> Iterator[Graph]:
    resource = Neo4jResource(
        uri=env["NEO4J_URI"],
        user=env["NEO4J_USER"],
        password=env["NEO4J_PASSWORD"],
        database=env["NEO4J_DATABASE"],
    )
    with resource.driver() as driver:
        found = Graph(driver, resource.database)
        found.ensure([UNIQUE])
        yield found


def things(*held: Any) -> list[dict[str, Any]]:
    return [{"id": f"t{number}", "held": one} for number, one in enumerate(held)]


def isolated(graph: Graph, statement: str, rows: list[dict[str, Any]]) -> dict[str, str]:
    told: dict[str, str] = {}
    isolating: Isolating[list[dict[str, Any]]] = Isolating(
        refusal, lambda row, said: told.update({row[0]["id"]: said})
    )
    isolating.write(rows, lambda part: graph.write(statement, part))
    isolating.settle()
    return told


def ids(graph: Graph) -> list[str]:
    return [one["id"] for one in graph.run("MATCH (t:Thing) RETURN t.id AS id ORDER BY id")]


def test_a_map_is_no_property(graph) -> None:
    rows = things(1, "a", {"x": 1}, [1, 2], None)
    with pytest.raises(CypherTypeError) as raised:
        graph.write(MERGE, rows)
    assert raised.value.code == "Neo.ClientError.Statement.TypeError"
    told = isolated(graph, MERGE, rows)
    assert told.keys() == {"t2"}
    assert "Property values can only be of primitive types or arrays thereof" in told["t2"]
    assert ids(graph) == ["t0", "t1", "t3", "t4"]


def test_a_constraint_is_kept_and_of_two_rows_the_later_one_is_refused(graph) -> None:
    graph.write(CREATE, things("there"))
    rows = [*things("other", 1, 2), {"id": "t2", "held": 3}]
    with pytest.raises(ConstraintError) as raised:
        graph.write(CREATE, rows)
    assert raised.value.code == "Neo.ClientError.Schema.ConstraintValidationFailed"
    told = isolated(graph, CREATE, rows)
    assert told.keys() == {"t0", "t2"}
    assert all("ConstraintValidationFailed: Duplicated key" in said for said in told.values())
    held = graph.run("MATCH (t:Thing) RETURN t.id AS id, t.held AS held ORDER BY id")
    assert [tuple(one) for one in held] == [("t0", "there"), ("t1", 1), ("t2", 2)]


def test_an_integer_beyond_64_bits_is_refused_before_it_is_sent(graph) -> None:
    told = isolated(graph, MERGE, things(2**63 - 1, 2**63, -(2**63), -(2**63) - 1))
    assert told.keys() == {"t1", "t3"}
    assert ids(graph) == ["t0", "t2"]


def test_division_by_zero_is_an_error_of_values(graph) -> None:
    with pytest.raises(ClientError) as raised:
        graph.run("UNWIND $rows AS row RETURN 1 / row", [1, 0])
    assert raised.value.code == "Neo.ClientError.Statement.ArithmeticError"
    assert refusal(raised.value)


@pytest.mark.parametrize(
    "row",
    [
        {"id": "t", "held": [1, "a"]},
        {"id": "t", "held": [1, None]},
        {"id": "t", "held": [[1], [2]]},
        {"id": None, "held": 1},
        {"id": "x" * 8_165, "held": 1},
    ],
    ids=["mixed list", "null in a list", "list of lists", "null key", "large key"],
)
def test_what_neo4j_refuses_and_this_server_takes(graph, row) -> None:
    """Should one of them fail, the server has become more like Neo4j: take it off the list."""
    graph.write(MERGE, [row])
    assert graph.run("MATCH (t:Thing) RETURN count(t) AS things")[0]["things"] == 1
