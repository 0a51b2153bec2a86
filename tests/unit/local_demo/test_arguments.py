"""`make demo`: its arguments, before anything is started."""

from __future__ import annotations

import sys

import pytest

from local import demo
from local import pipelines as pipelines_module
from local.demos import DEMOS
from tests import processes


@pytest.mark.parametrize("pipelines", ["campaignz", "campaigns,nonesuch", " campaignz "])
def test_an_unknown_pipeline_is_an_error_that_lists_the_known_ones(pipelines, monkeypatch, capsys):
    monkeypatch.setattr(demo, "Stack", lambda root: pytest.fail("something was started"))
    with pytest.raises(SystemExit) as ended:
        demo.main(["--pipelines", pipelines])
    message = str(ended.value.code)
    assert "campaignz" in message or "nonesuch" in message
    assert all(name in message for name in DEMOS)


def test_the_command_says_so_and_fails():
    ended = processes.run(
        [sys.executable, "-m", "local.demo", "--once", "--pipelines", "campaignz"], timeout=60
    )
    assert ended.returncode == 1
    assert "Unknown pipeline: campaignz" in ended.stderr
    assert "campaigns" in ended.stderr.split("There are:")[1]
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    ("pipelines", "selected"),
    [
        ("", list(DEMOS)),
        (" , ", list(DEMOS)),
        ("campaigns", ["campaigns"]),
        (" campaigns ,campaigns,", ["campaigns"]),
    ],
)
def test_selection(pipelines, selected):
    assert pipelines_module.selected(pipelines) == selected


def test_an_unknown_argument_is_a_usage_error():
    with pytest.raises(SystemExit) as ended:
        demo.main(["--pipeline", "campaigns", "--sometimes"])
    assert ended.value.code == 2
