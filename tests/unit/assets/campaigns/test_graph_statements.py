"""Rules that hold for every statement of the graph."""

from __future__ import annotations

import re

import pytest

from assets.campaigns import answers, graph, recommendations

STATEMENTS = {
    name: value
    for module in (graph, recommendations, answers)
    for name, value in vars(module).items()
    if isinstance(value, str) and name.isupper() and "MATCH" in value
}


def test_statements_were_found():
    assert {"CREATE_EVENTS", "SET_PARTICIPATION", "CAMPAIGNS_OF"} <= STATEMENTS.keys()


@pytest.mark.parametrize("name", STATEMENTS)
def test_values_are_bound(name):
    assert "$rows" in STATEMENTS[name]
    assert not re.search(r"""['"]""", STATEMENTS[name])


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_pattern_with_an_edge_starts_at_a_bound_node(name):
    """``MATCH (u:User)-[..]->(e {key: ..})`` walks all users on some servers."""
    for pattern in re.findall(r"MATCH (\(.*)", STATEMENTS[name]):
        if "-[" in pattern:
            assert re.match(r"\([a-z]\)", pattern), pattern


@pytest.mark.parametrize("name", STATEMENTS)
def test_totals_are_set_never_incremented(name):
    assert not re.search(r"\+ ?=|= *\w+\.\w+ *\+", STATEMENTS[name])
