"""`.env.example` and the defaults in code are one list."""

from __future__ import annotations

import os
import re
from pathlib import Path

from resources.environment import DEFAULTS, REQUIRED, apply_defaults

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
