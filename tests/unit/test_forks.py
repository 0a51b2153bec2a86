"""A forked function has the variables and the directory of its test, and leaves nothing running."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests import forks, processes


def _leave(code: int) -> None:
    wrong = os.environ["CHOSEN"] != "now" or "LEFT" in os.environ
    sys.exit(100 if wrong else code)


def test_it_has_the_variables_of_now(monkeypatch):
    monkeypatch.setenv("LEFT", "of the first")
    assert forks.exit_code_of(_leave, 3, env={"CHOSEN": "now"}) == 100
    monkeypatch.delenv("LEFT")
    assert forks.exit_code_of(_leave, 3, env={"CHOSEN": "now"}) == 3


def _say() -> None:
    print("here is", Path.cwd())
    raise ValueError("what went wrong")


def test_it_works_in_the_test_s_directory_and_what_it_says_is_kept(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    with forks.forked(_say) as fork:
        assert fork.wait() == 1
        assert f"here is {tmp_path}" in fork.output()
        assert "ValueError: what went wrong" in fork.output()


def _sleep_with_another() -> None:
    with processes.start(["sleep", "600"]):
        print("both")


def test_it_ends_with_all_that_it_has_started(monkeypatch):
    with forks.forked(_sleep_with_another) as fork:
        end = time.monotonic() + 60
        while "both" not in fork.output():
            assert time.monotonic() < end
            time.sleep(0.02)
        family = [psutil.Process(fork.pid), *psutil.Process(fork.pid).children()]
        assert len(family) == 2
        assert fork.poll() is None
        with pytest.raises(TimeoutError, match="did not end in 0 s"):
            fork.wait(0.01)
    _, left = psutil.wait_procs(family, timeout=10)
    assert left == []
    assert fork.poll() == -signal.SIGKILL


def _import(module: str) -> None:
    sys.exit(0 if module in sys.modules else 1)


@pytest.mark.parametrize("module", ["polars", "definitions", "assets.music.pipeline"])
def test_what_is_dear_to_import_is_there(module):
    assert forks.exit_code_of(_import, module) == 0
