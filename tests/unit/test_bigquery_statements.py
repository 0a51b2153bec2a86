"""Every BigQuery statement of the repository is BigQuery's SQL, which the embedded server alone
cannot show.

They are found by reading the source: a string that begins like a statement, in a module that knows
BigQuery, belongs to BigQuery unless it is given to ``execute``, as psycopg's are. One with
backticks or @parameters belongs to BigQuery wherever it stands. Statements must be literals, or
f-strings of their module's constants: one that is added up from pieces is refused here, since
nobody could read it. Constants of a pipeline's module are taken as they are when it is imported,
which is what is sent, also where a function made them.
"""

from __future__ import annotations

import ast
import functools
import importlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlglot
from sqlglot import exp
from sqlglot.optimizer.qualify import qualify
from sqlglot.tokenizer_core import TokenType

from assets.reading.tables import LANDED, WAREHOUSE
from assets.sinks.bigquery import INGESTION_HOUR, SPELLED

REPOSITORY = Path(__file__).resolve().parents[2]
PACKAGES = (
    "assets", "benchmarks", "jobs", "landing", "local", "ops", "resources", "samples", "sensors",
)  # fmt: skip
KNOWS_BIGQUERY = re.compile(
    r"google\.cloud\.bigquery|google\.cloud import bigquery|resources\.bigquery|Warehouse\b"
)
_VERBS = (
    "SELECT|WITH|MERGE|INSERT|UPDATE|DELETE|TRUNCATE|CREATE|ALTER|DROP|DECLARE|BEGIN|CALL"
    "|EXPORT|LOAD|ASSERT"
)
BEGINS = re.compile(rf"\s*(?:{_VERBS})\s+\S")
CONTAINS = re.compile(_VERBS)
MARKS = re.compile(r"`[^`\s]*\{?\w+\}?[^`\s]*`|@[a-z_]+\b")
PLACEHOLDER = re.compile(r"\{(\w*)\}")

#: Nodes and tokens that sqlglot reads in any dialect, and BigQuery does not.
FOREIGN = (exp.Command, exp.OnConflict, exp.ILike, exp.Returning, exp.Filter, exp.Placeholder)
TABLES = {table.name: table for table in (*WAREHOUSE, *LANDED)}
FLOATS = {
    column.name
    for table in TABLES.values()
    for column in table.columns
    if column.type == "double precision"
}


@dataclass(frozen=True)
class Statement:
    """``text`` with names in the places that are filled in when it is sent.

    ``whole`` unless some of it could not be read in the source.
    """

    place: str
    text: str
    whole: bool = True


def statements_of(source: str, place: str) -> Iterator[Statement]:
    """BigQuery's statements in a module. Raises AssertionError for one put together of pieces."""
    knows = KNOWS_BIGQUERY.search(source) is not None
    if not CONTAINS.search(source) or not (knows or MARKS.search(source)):
        return  # reading it as Python takes the longest
    tree = ast.parse(source)
    nodes = list(ast.walk(tree))
    executed, executed_names = _given_to_execute(nodes)
    pieces = {id(part) for node in nodes if isinstance(node, ast.JoinedStr)
              for part in node.values}  # fmt: skip
    docstrings = {
        id(node.value)
        for node in nodes
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    constants = {
        target.id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    names = {
        id(node.value): target.id
        for node in nodes
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in nodes:
        if id(node) in pieces or id(node) in docstrings:
            continue
        text = _text(node, constants)
        if text is None or not BEGINS.match(text):
            continue
        for_postgres = id(node) in executed or names.get(id(node)) in executed_names
        if not for_postgres and (knows or MARKS.search(text)):
            filled = PLACEHOLDER.sub(r"\1", text)
            yield Statement(
                f"{place}:{getattr(node, 'lineno', 0)}", filled, _is_whole(node, constants)
            )
    for node in nodes:
        if knows and isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Mod)):
            begins = _text(node.left, constants)
            assert not (begins and BEGINS.match(begins)), (
                f"{place}:{node.lineno}: write the statement as one literal"
            )


def _is_whole(node: ast.AST, constants: Mapping[str, ast.AST]) -> bool:
    if not isinstance(node, ast.JoinedStr):
        return True
    parts = [part.value for part in node.values if isinstance(part, ast.FormattedValue)]
    return all(
        isinstance(part, ast.Name) and _text(constants.get(part.id, part), constants) is not None
        for part in parts
    )


def constants_of(place: str) -> Iterator[Statement]:
    """Statements among a module's constants, and in its dictionaries of them."""
    module = importlib.import_module(place.removesuffix(".py").replace("/", "."))
    for name, value in vars(module).items():
        texts = value.values() if isinstance(value, Mapping) else [value]
        for number, text in enumerate(texts):
            if isinstance(text, str) and BEGINS.match(text) and MARKS.search(text):
                yield Statement(f"{place}:{name}-{number}", PLACEHOLDER.sub(r"\1", text))


def _text(node: ast.AST, constants: Mapping[str, ast.AST]) -> str | None:
    """What a string node says; None for other nodes.

    An f-string is filled with the module's constants, and with ``x`` or 1 where it takes others.
    """
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if not isinstance(node, ast.JoinedStr):
        return None
    text = ""
    for part in node.values:
        if isinstance(part, ast.FormattedValue):
            name = part.value.id if isinstance(part.value, ast.Name) else ""
            filled = _text(constants[name], constants) if name in constants else None
            number = text.rstrip().endswith(("LIMIT", "INTERVAL", "=", "<", ">"))
            text += ("1" if number else "x") if filled is None else filled
        else:
            text += str(_text(part, constants))
    return text


def _given_to_execute(nodes_of_module: Iterable[ast.AST]) -> tuple[set[int], set[str]]:
    """Nodes inside, and names of, what psycopg's ``execute`` and its like are called with."""
    nodes: set[int] = set()
    names: set[str] = set()
    for call in nodes_of_module:
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
            continue
        if call.func.attr in {"execute", "executemany", "copy", "SQL"} and call.args:
            for node in ast.walk(call.args[0]):
                nodes.add(id(node))
                if isinstance(node, ast.Name):
                    names.add(node.id)
    return nodes, names


@functools.cache
def statements() -> tuple[Statement, ...]:
    found: list[Statement] = []
    files = [path for name in PACKAGES for path in sorted((REPOSITORY / name).rglob("*"))]
    for path in [*files, REPOSITORY / "definitions.py"]:
        place = str(path.relative_to(REPOSITORY))
        if path.suffix == ".py":
            source = path.read_text(encoding="utf-8")
            written = list(statements_of(source, place))
            if place.startswith("assets/reading/"):
                written = [one for one in written if one.whole] + list(constants_of(place))
            found += written
        elif path.suffix == ".sql" and "`" in path.read_text(encoding="utf-8"):
            found.append(Statement(place, PLACEHOLDER.sub(r"\1", path.read_text(encoding="utf-8"))))
    return tuple(found)


def of_reading() -> list[Statement]:
    """Those that name only tables that reading declares, as it calls them."""
    found = []
    for one in statements():
        tree = sqlglot.parse_one(one.text, dialect="bigquery")
        own = {cte.alias for cte in tree.find_all(exp.CTE)}
        tables = {table.name for table in tree.find_all(exp.Table)} - own
        if tables and tables <= TABLES.keys():
            found.append(one)
    return found


def problems(statement: Statement) -> list[str]:
    """What BigQuery would not take."""
    try:
        trees = sqlglot.parse(statement.text, dialect="bigquery")
    except sqlglot.errors.ParseError as error:
        return [str(error)]
    found = [f"{type(node).__name__}: {node}" for tree in trees if tree is not None
             for node in tree.find_all(*FOREIGN)]  # fmt: skip
    tokens = sqlglot.tokenize(statement.text, read="bigquery")
    found += ["a cast by ::" for token in tokens if token.token_type == TokenType.DCOLON]
    if len(trees) != 1:
        found.append(f"{len(trees)} statements")
    for tree in trees:
        for window in tree.find_all(exp.Window) if tree else ():
            keys = {c.name for key in window.args["partition_by"] for c in key.find_all(exp.Column)}
            found += [f"PARTITION BY the FLOAT64 {name}" for name in keys & FLOATS]
    return found


@pytest.mark.parametrize("statement", statements(), ids=lambda one: one.place)
def test_is_bigquery_sql(statement):
    assert problems(statement) == []


@pytest.mark.parametrize("statement", of_reading(), ids=lambda one: one.place)
def test_columns_are_those_of_the_tables(statement):
    """Names what every column is of; an unknown or ambiguous one raises."""
    schema: dict[str, object] = {
        table.name: {column.name: SPELLED[column.type] for column in table.columns}
        | ({INGESTION_HOUR: "TIMESTAMP"} if table.partition == INGESTION_HOUR else {})
        for table in TABLES.values()
    }
    tree = sqlglot.parse_one(statement.text, dialect="bigquery")
    query = tree.args["using"].unnest() if isinstance(tree, exp.Merge) else tree
    if isinstance(query, exp.Query):
        qualify(query.copy(), schema=schema, dialect="bigquery", quote_identifiers=False)
    if isinstance(tree, exp.Merge):
        table = TABLES[tree.this.name]
        required = {column.name for column in table.columns if not column.nullable}
        for insert in tree.find_all(exp.Insert):
            inserted = [column.name for column in insert.this.expressions]
            assert required <= set(inserted) <= set(table.names)
            assert len(insert.expression.expressions) == len(inserted)


def test_statements_of_every_kind_are_found():
    found = {place.split(":")[0] for place in (one.place for one in statements())}
    assert found >= {
        "assets/campaigns/answers.py",
        "assets/campaigns/recommendation_table.py",
        "assets/campaigns/recommendations.py",
        "assets/reading/affinity/computation.py",
        "assets/reading/answers.py",
        "assets/reading/content_days.py",
        "assets/sinks/bigquery.py",
        "resources/bigquery.py",
    }
    marked = [
        str(path.relative_to(REPOSITORY))
        for name in PACKAGES
        for path in (REPOSITORY / name).rglob("*.py")
        if re.search(r"(?:FROM|JOIN|INTO|MERGE|UPDATE|TABLE) `", path.read_text(encoding="utf-8"))
    ]
    # What only makes statements: they are looked at where they are used.
    assert set(marked) - {"assets/reading/fact_statements.py"} <= found
    assert len(of_reading()) >= 30


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("from resources.bigquery import run\nrun(c, 'SELECT 1 AS one')", 1),
        ("import resources.bigquery\nrun(c, f'''\nSELECT {a} FROM `{b}`''')", 1),
        ("X = 'DELETE FROM `{t}` WHERE a = 1'", 1),
        ("from google.cloud.bigquery import Client\nconn.execute('SELECT 1')", 0),
        ("from google.cloud.bigquery import Client\nQ = 'SELECT 1'\nconn.execute(Q)", 0),
        ("Q = 'SELECT 1'", 0),
        ("'''SELECT is what this says of `it`.'''", 0),
    ],
)
def test_the_source_is_read(source, count):
    assert len(list(statements_of(source, "x.py"))) == count


def test_a_statement_in_pieces_is_refused():
    with pytest.raises(AssertionError, match="one literal"):
        list(statements_of("import resources.bigquery\nq = 'SELECT a' + b", "x.py"))


@pytest.mark.parametrize(
    "text",
    [
        "SELECT FROM WHERE",
        "SELECT a::STRING FROM `t`",
        "INSERT INTO `t` (a) VALUES (1) ON CONFLICT (a) DO NOTHING",
        "SELECT COUNT(*) FILTER (WHERE a) FROM `t`",
        "SELECT a FROM `t` WHERE a = %s",
        "SELECT ROW_NUMBER() OVER (PARTITION BY read_percent ORDER BY a) FROM `t`",
        "VACUUM t",
        "SELECT 1; SELECT 2",
    ],
)
def test_what_is_not_bigquery_sql_is_told(text):
    assert problems(Statement("x", text))
