"""The import of pymilvus, in fresh processes."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from pathlib import Path

import pytest

from local.service import REPOSITORY
from tests import processes

GUARDED = "from resources.milvus import sdk; sdk().MilvusClient"
PROGRAM = """
import json, os
before = dict(os.environ)
{statement}
print(json.dumps({{k: v for k, v in os.environ.items() if before.get(k) != v}}))
print(json.dumps([k for k in before if k not in os.environ]))
"""


def changed(folder: Path, statement: str, **variables: str) -> tuple[dict[str, str], list[str]]:
    """Variables that the statement sets and removes, with a `.env` above pymilvus."""
    spec = importlib.util.find_spec("pymilvus")
    assert spec
    assert spec.origin
    (folder / ".env").write_text("POSTGRES_URL=postgresql://hostile\nPATH=/hostile\n", "utf-8")
    site = folder / "venv" / "site-packages"
    site.mkdir(parents=True)
    (site / "pymilvus").symlink_to(Path(spec.origin).parent)
    program = folder / "program.py"
    program.write_text(PROGRAM.format(statement=statement), "utf-8")
    env = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "PYTHONPATH": os.pathsep.join([str(site), str(REPOSITORY)]),
        **variables,
    }
    # Not `processes.output_of`'s own variables: they switch the reading of `.env` off.
    command = ["env", "-i", *(f"{name}={value}" for name, value in env.items())]
    printed = processes.output_of([*command, sys.executable, program], cwd=folder)
    added, removed = (json.loads(line) for line in printed.splitlines())
    return added, removed


def test_the_import_alone_takes_the_variables_of_a_dotenv_file(tmp_path):
    added, _ = changed(tmp_path, "import pymilvus")
    assert added == {"POSTGRES_URL": "postgresql://hostile"}


@pytest.mark.parametrize("decided", [{}, {"PYTHON_DOTENV_DISABLED": "true"}])
def test_no_variable_is_set_or_left_by_our_import(tmp_path, decided):
    assert changed(tmp_path, GUARDED, **decided) == ({}, [])


def test_who_decides_that_dotenv_files_are_read_gets_them(tmp_path):
    added, removed = changed(tmp_path, GUARDED, PYTHON_DOTENV_DISABLED="0")
    assert (added, removed) == ({"POSTGRES_URL": "postgresql://hostile"}, [])
