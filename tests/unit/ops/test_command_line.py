"""`python -m ops`: arguments, the .env file, and what is said when nothing is configured."""

from __future__ import annotations

import json
import os
import sys

import pytest

from assets.pipelines import defaults
from ops import __main__ as ops
from ops import environment
from tests import processes


@pytest.fixture
def nothing_set(monkeypatch, tmp_path):
    """No variable, no .env; what the command sets is undone at the end."""
    kept = dict(os.environ)
    monkeypatch.setattr(ops, "ROOT", tmp_path)
    monkeypatch.delenv("POSTGRES_URL", raising=False)
    yield tmp_path
    os.environ.clear()
    os.environ.update(kept)


@pytest.mark.parametrize("arguments", [["quarantine"], ["quarantine", "b", "--replay"], ["replay"]])
def test_without_a_database_the_missing_variable_is_named(nothing_set, arguments, capsys):
    assert ops.main(arguments) == 1
    assert "POSTGRES_URL is not set" in capsys.readouterr().err


def test_a_database_that_is_down_is_said_without_its_password(nothing_set, capsys):
    (nothing_set / ".env").write_text("POSTGRES_URL=postgresql://app:pg-s3cret@127.0.0.1:9/x\n")
    assert ops.main(["replay"]) == 1
    said = capsys.readouterr().err
    assert "make doctor" in said
    assert "127.0.0.1" in said
    assert "pg-s3cret" not in said


def test_replaying_everything_in_quarantine_is_not_offered(nothing_set, capsys):
    with pytest.raises(SystemExit) as ended:
        ops.main(["quarantine", "--replay"])
    assert ended.value.code == 2
    assert "needs a batch" in capsys.readouterr().err


#: Each with something that a reader of lines gets wrong.
NASTY = """# A comment=not a variable

export EXPORTED=yes
QUOTED="two words # no comment"
SINGLE='single $HOME ${QUOTED}'
COMMENTED=value # a comment
HASH=a#b
SPACED = around
ESCAPED="a\\nb\\"c"
MULTI="first
second"
FROM_FILE=${EXPORTED}/x
FROM_PROCESS=${SET_OUTSIDE}/y
WITH_DEFAULT=${NOBODY_SETS_THIS:-z}
MONGO_URI=mongodb://u:p@h/?a=b&c=(d)
SET_OUTSIDE=file's
EMPTY=
BARE
"""


LOADED_BY_DAGSTER = """
import json, logging, os
from dagster._cli.utils import _inject_local_env_file
with _inject_local_env_file(logging.getLogger("x")):
    print(json.dumps(dict(os.environ)))
"""


def set_by_dagster(folder, before: dict[str, str]) -> dict[str, str]:
    """What Dagster's own commands set of ``folder/.env``."""
    loaded = processes.run(
        [sys.executable, "-c", LOADED_BY_DAGSTER],
        cwd=folder,
        env=before,
    )
    return json.loads(loaded.stdout)


def test_the_env_file_is_read_as_dagster_reads_it(nothing_set):
    before = {"PATH": os.environ["PATH"], "SET_OUTSIDE": "process's", "ONLY_OUTSIDE": "kept"}
    (nothing_set / ".env").write_text(NASTY)
    os.environ.clear()
    os.environ.update(before)
    environment.load_environment(nothing_set)
    ours = {name: value for name, value in os.environ.items() if name not in defaults()}
    theirs = set_by_dagster(nothing_set, before)
    assert ours == {name: theirs[name] for name in theirs if name != "LC_CTYPE"}
    assert ours["SET_OUTSIDE"] == "file's", "the file wins"
    assert ours["QUOTED"] == "two words # no comment"
    assert "BARE" not in ours


def test_what_neither_names_has_its_default(nothing_set, monkeypatch):
    monkeypatch.delenv("CAMPAIGNS_PREFIX", raising=False)
    (nothing_set / ".env").write_text("CAMPAIGNS_BUCKET=mine\n")
    environment.load_environment(nothing_set)
    assert os.environ["CAMPAIGNS_BUCKET"] == "mine"
    assert os.environ["CAMPAIGNS_PREFIX"] == "campaigns/"


def test_a_reader_that_has_seen_enough_ends_no_command_in_a_traceback(tmp_path):
    """`make doctor | head -1`: nobody reads the pipe any more."""
    code = "import os, pathlib\nfrom ops import __main__ as ops\nops.ROOT = pathlib.Path()\n"
    reading, writing = os.pipe()
    os.close(reading)
    ended = processes.start(
        [sys.executable, "-c", code + "os._exit(ops.answer(['doctor']))"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
        stdout=writing,
        stderr=processes.PIPE,
        text=True,
    )
    os.close(writing)
    _, stderr = ended.communicate(timeout=120)
    assert (ended.returncode, stderr) == (0, "")
