"""The repository's ``.env`` is a link to the stack's file, and never somebody's own file."""

from __future__ import annotations

from pathlib import Path

import pytest

from local import stack as module
from local.stack import Stack, servers_python


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QUINTET_SERVERS_VENV", str(servers_python().parent.parent))
    monkeypatch.setattr(module, "REPOSITORY", tmp_path)
    monkeypatch.setattr(module, "DEFAULT_ROOT", tmp_path / ".local")
    return tmp_path


def test_the_repositorys_stack_is_linked_and_reset_unlinks(repository: Path) -> None:
    stack = Stack(repository / ".local", services={})
    stack.up()
    link = repository / ".env"
    assert link.is_symlink()
    # Relative: the tree may be moved.
    assert link.readlink() == Path(".local/env")
    assert f"DAGSTER_HOME={repository}/.local/dagster\n" in link.read_text()
    stack.up()
    assert link.is_symlink()
    (repository / ".local" / "servers").mkdir()
    stack.reset()
    assert not link.is_symlink()
    assert (repository / ".local" / "servers").is_dir()


def test_another_state_directory_is_not_linked(repository: Path) -> None:
    Stack(repository / "elsewhere", services={}).up()
    assert not (repository / ".env").is_symlink()


def test_a_file_of_ones_own_stays(repository: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own = repository / ".env"
    own.write_text("MINE=1\n")
    stack = Stack(repository / ".local", services={})
    stack.up()
    assert own.read_text() == "MINE=1\n"
    assert not own.is_symlink()
    assert "stays" in capsys.readouterr().err
    stack.reset()
    assert own.exists()
