"""`.env.example` and the defaults in code are one list."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from assets.pipelines import (
    PIPELINES,
    UnknownPipelineError,
    apply_defaults,
    chosen_pipelines,
    defaults,
    required,
)
from definitions import build_defs

DEFAULTS, REQUIRED = defaults(), required()
EXAMPLE = (Path(__file__).parents[3] / ".env.example").read_text()
LISTED = dict(re.findall(r"^([A-Z0-9_]+)=(.*)$", EXAMPLE, re.MULTILINE))


def test_the_example_gives_the_defaults():
    assert {name: LISTED.get(name) for name in DEFAULTS} == DEFAULTS


def test_what_is_required_is_listed_and_empty():
    assert {name: LISTED.get(name) for name in REQUIRED} == dict.fromkeys(REQUIRED, "")


def test_a_variable_that_is_set_wins(monkeypatch):
    for name in DEFAULTS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CAMPAIGNS_BUCKET", "mine")
    apply_defaults()
    try:
        assert os.environ["CAMPAIGNS_BUCKET"] == "mine"
        assert os.environ["CAMPAIGNS_PREFIX"] == DEFAULTS["CAMPAIGNS_PREFIX"]
    finally:
        for name in set(DEFAULTS) - {"CAMPAIGNS_BUCKET"}:
            os.environ.pop(name, None)


@pytest.mark.parametrize(
    ("value", "chosen"),
    [
        (None, PIPELINES),
        ("", PIPELINES),
        (" , ", PIPELINES),
        ("music", ("music",)),
        ("music, campaigns", ("campaigns", "music")),
    ],
)
def test_pipelines_are_chosen_by_name_in_one_order(monkeypatch, value, chosen):
    monkeypatch.delenv("QUINTET_PIPELINES", raising=False)
    if value is not None:
        monkeypatch.setenv("QUINTET_PIPELINES", value)
    assert chosen_pipelines() == chosen


def test_an_unknown_pipeline_is_an_error_that_lists_the_known_ones(monkeypatch):
    monkeypatch.setenv("QUINTET_PIPELINES", "music,nonsense")
    with pytest.raises(UnknownPipelineError, match=r"nonsense\. There are: campaigns, music"):
        build_defs()


def test_the_code_location_holds_only_the_chosen_pipelines():
    for name in PIPELINES:
        repository = build_defs(pipelines=[name]).get_repository_def()
        groups = {key.path[0] for key in repository.asset_graph.get_all_asset_keys()}
        assert groups == {name}
        jobs = {job.name for job in repository.get_all_jobs()}
        assert {f"{name}_audit", "maintenance"} <= jobs
        assert not any(other in jobs for other in set(PIPELINES) - {name})
