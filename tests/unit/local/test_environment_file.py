"""The stack's environment file reads the same everywhere, and a user's own ``.env`` is refused."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from dagster._core.secrets.env_file import get_env_var_dict
from dotenv import dotenv_values
from hypothesis import given, settings
from hypothesis import strategies as st

from local import environment_file
from local import stack as module
from local.service import StackError
from local.stack import Stack, servers_python
from tests import processes


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


@pytest.mark.parametrize("own", ["file", "link", "broken link"])
def test_ones_own_env_is_refused_before_anything_is_started(repository: Path, own: str) -> None:
    env, elsewhere = repository / ".env", repository / "mine"
    if own != "broken link":
        (env if own == "file" else elsewhere).write_text("MINE=1\n")
    if own != "file":
        env.symlink_to(elsewhere)
    stack = Stack(repository / ".local", services={})
    with pytest.raises(StackError, match=r"\.env is your own.*mv \.env \.env\.mine"):
        stack.up()
    assert not stack.root.exists()
    assert env.is_symlink() == (own != "file")
    assert own == "broken link" or env.read_text() == "MINE=1\n"
    # Another state directory has nothing to do with it.
    Stack(repository / "elsewhere", services={}).up()


def test_reset_leaves_ones_own_env(repository: Path) -> None:
    stack = Stack(repository / ".local", services={})
    stack.up()
    (repository / ".env").unlink()
    (repository / ".env").write_text("MINE=1\n")
    stack.reset()
    assert (repository / ".env").read_text() == "MINE=1\n"


def sourced(file: Path, names: list[str]) -> dict[str, str]:
    """What a shell's environment holds after `set -a; . file`."""
    ended = processes.run(
        ["bash", "-c", 'set -a; . "$1"; env -0', "bash", file], env={"PATH": os.environ["PATH"]}
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    found = dict(entry.split("=", 1) for entry in ended.stdout.split("\0") if "=" in entry)
    return {name: found[name] for name in names}


def read_by_all(folder: Path, values: list[str]) -> None:
    """Write the values, and compare what bash, python-dotenv and Dagster read with them."""
    variables = {f"V{number}": value for number, value in enumerate(values)}
    environment_file.write(folder / ".env", variables)
    assert sourced(folder / ".env", list(variables)) == variables
    assert dotenv_values(folder / ".env") == variables
    assert get_env_var_dict(str(folder)) == variables


NASTY = [
    "",
    "plain-1.2/3:4@5%6,7=8",
    "quintet-local/0.1 (quintet@localhost)",
    "mongodb://127.0.0.1:1/?journal=true&w=majority",
    " spaces at both ends ",
    "a # comment?",
    "#",
    "~/x:~y",
    "it's",
    'he said "no"',
    "'\"'",
    "$HOME ${HOME} $(id) $$ ${HOME:-x} ${:-y}",
    "it's ${HOME} and $(id) for $5",
    "`id`",
    "!!",
    "a\\b",
    "a\\\\b",
    "ends with \\",
    "ends with '\\",
    "\\${HOME}\\$",
    "two\nlines",
    "*?[a]{b,c};|<>()",
    "ü 語",
]


def test_nasty_values_are_read_as_they_are(tmp_path: Path) -> None:
    read_by_all(tmp_path, NASTY)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.text(
            st.one_of(
                st.sampled_from("'\"\\${}:-()&#~! =;|<>*?\nnt"),
                st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="`"),
            ),
            max_size=12,
        ),
        min_size=1,
        max_size=30,
    )
)
def test_any_value_is_read_as_it_is(values: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        read_by_all(Path(folder), values)


@pytest.mark.parametrize("value", ["it's `id`", "a\rb", "a\0b"])
def test_what_no_quoting_fits_is_refused_with_its_name(tmp_path: Path, value: str) -> None:
    with pytest.raises(StackError, match="V cannot be written"):
        environment_file.write(tmp_path / "env", {"V": value})
    assert list(tmp_path.iterdir()) == []
