"""`python -m ops`: arguments, the .env file, and what is said when nothing is configured."""

from __future__ import annotations

import os

import pytest

from ops import __main__ as ops
from ops import environment


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


def test_the_process_wins_over_the_env_file_and_the_file_over_defaults(nothing_set, monkeypatch):
    monkeypatch.setenv("MONGO_URI", "mine")
    monkeypatch.delenv("CAMPAIGNS_BUCKET", raising=False)
    monkeypatch.delenv("CAMPAIGNS_PREFIX", raising=False)
    (nothing_set / ".env").write_text(
        "# A comment=not a variable\n\nMONGO_URI=file's\nCAMPAIGNS_BUCKET= b=c \n"
    )
    environment.load_environment(nothing_set)
    assert os.environ["MONGO_URI"] == "mine"
    assert os.environ["CAMPAIGNS_BUCKET"] == "b=c"
    assert os.environ["CAMPAIGNS_PREFIX"] == "campaigns/"
