"""The names of assets as Dagster's graph shows them: it cuts long ones in the middle."""

from __future__ import annotations

import re
from collections import defaultdict

import pytest

from definitions import build_defs

#: What a node shows of its name when one looks at a whole pipeline.
SHOWN = 18


def shown(name: str, longest: int = SHOWN) -> str:
    """As dagster-webserver cuts a name: the end from a separator on, and what fits before it."""
    over = len(name) - longest
    if over <= 0:
        return name
    separators = [found.start() for found in re.finditer(r"[_>.-]", name)]
    cut = (len(name) + over) // 2
    beyond = [index for index, at in enumerate(separators) if at > over + 3]
    if beyond:
        cut = separators[max(beyond[0], len(separators) // 2)]
    return f"{name[: cut - over - 1]}…{name[cut:]}"


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("bronze_records", "bronze_records"),
        # As a picture of the graph had them.
        ("gold_genre_by_year", "gold_genre_by_year"),
        ("gold_artist_performance", "gold_…_performance"),
        ("gold_album_performance", "gold_…_performance"),
        ("gold_tempo_key_profile", "gold_…_key_profile"),
    ],
)
def test_a_name_is_cut_as_the_graph_cuts_it(name: str, label: str) -> None:
    assert shown(name) == label


def test_no_two_assets_of_a_group_look_alike_in_the_graph() -> None:
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for node in build_defs().get_repository_def().asset_graph.asset_nodes:
        groups[node.group_name, shown(node.key.path[-1])].append(node.key.path[-1])
    assert not {label: names for label, names in groups.items() if len(names) > 1}
