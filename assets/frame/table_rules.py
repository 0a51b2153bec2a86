"""Rules that declared tables state of their rows in Postgres, as SQL, and which rows break them.

Belongs here: from the declaration to statements and their findings. Does not: the checks that
Dagster shows of them (a pipeline's). Identifiers and literals come from declarations only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from assets.frame.tables import Column, Table
from assets.sinks.result import SAMPLE

if TYPE_CHECKING:
    import psycopg

Kind = Literal["nothing_missing", "values_in_range", "keys_unique", "references_hold"]

KINDS: tuple[Kind, ...] = get_args(Kind)
#: What each kind asks, in words.
SAYS: dict[str, str] = {
    "nothing_missing": "Every column that must have a value has one.",
    "values_in_range": "Every limited column is in its range.",
    "keys_unique": "Every key is there once.",
    "references_hold": "Every reference points to a row.",
}


@dataclass(frozen=True, slots=True)
class Rule:
    """``broken`` is the condition, on alias ``t``, of rows that break it.

    ``alone`` rules are counted by a query of their own, for Postgres to plan as a join; the others
    of a table share one pass over it.
    """

    table: Table
    text: str
    broken: str
    alone: bool = False


@dataclass(frozen=True, slots=True)
class Broken:
    """Rows that break a rule, and the keys of a few of them."""

    rule: str
    rows: int
    sample: tuple[str, ...]


def rules(table: Table, kind: Kind) -> tuple[Rule, ...]:
    """The rules of one kind that the declaration states of a table."""
    make = {
        "nothing_missing": _missing,
        "values_in_range": _ranges,
        "keys_unique": _unique,
        "references_hold": _references,
    }[kind]
    return tuple(make(table))


def broken(conn: psycopg.Connection[Any], checked: Sequence[Rule]) -> list[Broken]:
    """Those of the rules that rows break, in order. Raises psycopg.Error."""
    counts: dict[Rule, int] = {}
    for table in dict.fromkeys(rule.table for rule in checked):
        together = [rule for rule in checked if rule.table == table and not rule.alone]
        counts |= _counts(conn, table, together)
    for rule in checked:
        if rule.alone:
            row = conn.execute(f"SELECT count(*) {_where(rule)}").fetchone()
            counts[rule] = int(row[0]) if row else 0
    return [
        Broken(rule.text, counts[rule], _sample(conn, rule)) for rule in checked if counts[rule]
    ]


def _counts(
    conn: psycopg.Connection[Any], table: Table, checked: Sequence[Rule]
) -> dict[Rule, int]:
    if not checked:
        return {}
    counts = ", ".join(f"count(*) FILTER (WHERE {rule.broken})" for rule in checked)
    row = conn.execute(f"SELECT {counts} FROM {table.qualified} AS t").fetchone() or ()
    return dict(zip(checked, row, strict=True))


def _where(rule: Rule) -> str:
    return f"FROM {rule.table.qualified} AS t WHERE {rule.broken}"


def _sample(conn: psycopg.Connection[Any], rule: Rule) -> tuple[str, ...]:
    key = ", ".join(f"t.{name}" for name in rule.table.key)
    rows = conn.execute(f"SELECT concat_ws(' ', {key}) {_where(rule)} ORDER BY 1 LIMIT {SAMPLE}")
    return tuple(text for (text,) in rows)


def _missing(table: Table) -> Iterator[Rule]:
    for column in table.columns:
        if not column.nullable:
            yield Rule(table, f"{table.name}.{column.name} is set", f"t.{column.name} IS NULL")


def _ranges(table: Table) -> Iterator[Rule]:
    for column in table.columns:
        for text, condition in _conditions(column):
            # Of null nothing is known, so it breaks nothing.
            yield Rule(table, f"{table.name}.{column.name} {text}", f"NOT ({condition})")


def _conditions(column: Column) -> Iterator[tuple[str, str]]:
    bounds = [
        *([f"t.{column.name} >= {column.minimum}"] if column.minimum is not None else []),
        *([f"t.{column.name} > {column.above}"] if column.above is not None else []),
        *([f"t.{column.name} <= {column.maximum}"] if column.maximum is not None else []),
    ]
    if bounds:
        yield column.limits, " AND ".join(bounds)
    if column.allowed:
        values = ", ".join(f"'{value}'" for value in column.allowed)
        yield f"is one of {', '.join(column.allowed)}", f"t.{column.name} IN ({values})"


def _unique(table: Table) -> Iterator[Rule]:
    own, key = (", ".join(f"{alias}{name}" for name in table.key) for alias in ("t.", ""))
    yield Rule(
        table,
        f"{table.name} has one row per {key}",
        f"({own}) IN (SELECT {key} FROM {table.qualified} GROUP BY {key} HAVING count(*) > 1)",
        alone=True,
    )


def _references(table: Table) -> Iterator[Rule]:
    for column in table.columns:
        if column.reference:
            to = column.reference
            yield Rule(
                table,
                f"{table.name}.{column.name} is in {to}",
                f"t.{column.name} IS NOT NULL AND NOT EXISTS (SELECT"
                f" FROM {table.pipeline}.{to.table} AS r WHERE r.{to.column} = t.{column.name})",
                alone=True,
            )
