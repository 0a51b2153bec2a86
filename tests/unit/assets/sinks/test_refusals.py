"""What BigQuery and Neo4j say of rows, with their own errors: which of them set a row aside."""

from __future__ import annotations

import io
from typing import Any

import polars as pl
import pytest
from google.api_core.exceptions import BadRequest, Forbidden
from neo4j.exceptions import Neo4jError, ServiceUnavailable

from assets.campaigns.tables import USER_EVENTS_STAGING
from assets.sinks import bigquery, neo4j
from assets.sinks.bigquery import Warehouse
from landing.batch.failures import TransientError
from tests.integration.campaigns.world import SCHEMA

CODE = "Neo.ClientError.Statement."


def neo4j_error(code: str, message: str = "no") -> Exception:
    error: Exception = Neo4jError._hydrate_neo4j(code=code, message=message)
    return error


def test_neo4j_s_words_on_values():
    too_large = "Property value is too large to index, please see index documentation"
    for code in ("TypeError", "ArgumentError", "ConstraintVerificationFailed"):
        found = neo4j.refusal(neo4j_error(CODE + code))
        assert (found is None) == (code == "ConstraintVerificationFailed")
    assert neo4j.refusal(neo4j_error("Neo.ClientError.Schema.ConstraintValidationFailed"))
    sized = neo4j.refusal(neo4j_error("Neo.DatabaseError.Statement.ExecutionFailed", too_large))
    assert sized is not None
    assert sized.certain
    keyless = "Cannot merge the following node because of null property value for 'user_id'"
    assert neo4j.refusal(neo4j_error(f"{CODE}SemanticError", keyless))
    memory = neo4j.refusal(neo4j_error("Neo.TransientError.General.MemoryPoolOutOfMemoryError"))
    assert memory is not None
    assert (memory.too_much, memory.certain) == (True, False)
    for other in (
        neo4j_error(f"{CODE}SyntaxError"),
        neo4j_error(f"{CODE}SemanticError", "Variable `n` not defined"),
        neo4j_error("Neo.ClientError.Security.Unauthorized"),
        neo4j_error("Neo.TransientError.Transaction.DeadlockDetected"),
        ServiceUnavailable("away"),
        TransientError("no"),
    ):
        assert neo4j.refusal(other) is None


def refused(reason: str, message: str = "Error while reading data") -> BadRequest:
    return BadRequest(message, errors=[{"reason": reason, "message": message}])


class Loads:
    """A client whose table takes files without a bad row; a job is all or nothing."""

    project = "p"

    def __init__(self, bad: set[str], error: Exception) -> None:
        self.bad, self.error = bad, error
        self.held: list[str] = []
        self.jobs = 0

    def load_table_from_file(self, file: Any, _table: str, *, job_config: Any, **_: Any) -> Any:
        keys = pl.read_parquet(io.BytesIO(file.read()))["record_id"].to_list()
        client = self
        self.jobs += 1

        class Job:
            def result(self, **_: Any) -> None:
                if client.bad & set(keys):
                    raise client.error
                if job_config.write_disposition == "WRITE_TRUNCATE":
                    client.held = []
                client.held += keys

        return Job()


def staged(client: Loads, told: dict[str, str] | None, rows: int = 40) -> bigquery.Staged:
    chunks = pl.DataFrame(
        {name: [f"r{n:02}" for n in range(rows)] if name == "record_id" else [None] * rows
         for name in SCHEMA},
        schema=SCHEMA,
    ).iter_slices(15)  # fmt: skip
    client_of_any_kind: Any = client

    def tell(row: pl.DataFrame, detail: str) -> None:
        assert told is not None
        told[row.item(0, "record_id")] = detail

    return bigquery.stage(
        Warehouse(client_of_any_kind, "d", ()),
        USER_EVENTS_STAGING,
        chunks,
        batch_id="b",
        refused=tell if told is not None else None,
    )


def test_rows_that_bigquery_refuses_are_found_by_splitting_their_load():
    client, told = Loads({"r03", "r30"}, refused("invalid", "Value out of range")), {}
    result = staged(client, told)
    keys = {f"r{n:02}" for n in range(40)}
    assert sorted(client.held) == sorted(keys - {"r03", "r30"}), "each once, the table emptied once"
    assert result.rows == 38
    assert told == dict.fromkeys(["r03", "r30"], "Value out of range")


def test_the_table_s_or_the_system_s_refusal_is_raised():
    every = {f"r{n:02}" for n in range(40)}
    with pytest.raises(BadRequest):
        staged(Loads(every, refused("invalid")), {})
    for error in (
        refused("invalidQuery"), refused("resourcesExceeded"), Forbidden("no"), TransientError("x"),
    ):  # fmt: skip
        client = Loads({"r03"}, error)
        with pytest.raises(type(error)):
            staged(client, {})
        assert client.jobs == 1
    with pytest.raises(BadRequest):
        staged(Loads({"r03"}, refused("invalid")), None)
