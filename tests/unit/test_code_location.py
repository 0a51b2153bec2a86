"""The code location in a fresh interpreter: no variable, no server, no heavy import."""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path

import yaml

from tests import processes

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent

#: Each of these costs as much CPU as a good part of `import dagster` itself.
HEAVY = [
    "alembic",
    "boto3",
    "botocore",
    "dagster_aws",
    "dagster_gcp",
    "dagster_postgres",
    "google.api_core",
    "google.cloud",
    "grpc_status",
    "h5py",
    "httpx",
    "matplotlib",
    "minio",
    "neo4j",
    "numpy",
    "openai",
    "pandas",
    "PIL",
    "polars",
    "psycopg",
    "pyarrow",
    "pymilvus",
    "pymongo",
    "sqlalchemy",
    "stamina",
    "typesense",
]

LOAD = f"""
import json, sys
import dagster
before = {{m for m in {HEAVY!r} if m in sys.modules}}
from definitions import build_defs
build_defs().get_repository_def().get_all_jobs()
print(json.dumps(sorted(m for m in {HEAVY!r} if m in sys.modules and m not in before)))
"""


def bare_environment(tmp_path: Path, **variables: str) -> dict[str, str]:
    return {"PATH": f"{BIN}:/usr/bin:/bin", "HOME": str(tmp_path), **variables}


def test_loading_imports_no_sdk(tmp_path):
    env = bare_environment(tmp_path, PYTHONPATH=str(ROOT))
    loaded = processes.output_of([sys.executable, "-c", LOAD], env=env)
    assert json.loads(loaded.splitlines()[-1]) == []


def test_validates_with_an_empty_dagster_home_and_no_variable(tmp_path):
    home = tmp_path / "dagster_home"
    home.mkdir()
    validated = processes.run(
        [str(BIN / "dagster"), "definitions", "validate", "-w", str(ROOT / "workspace.yaml")],
        cwd=tmp_path,
        env=bare_environment(tmp_path, DAGSTER_HOME=str(home)),
        timeout=180,
    )
    assert validated.returncode == 0, validated.stdout + validated.stderr
    assert "Validation successful for code location quintet" in validated.stdout + validated.stderr


def test_dg_checks_and_lists_the_definitions_without_variables_and_servers(tmp_path):
    # Not in the repository: there Dagster takes `.env`, and the Postgres of `dagster.yaml`.
    for name in ("pyproject.toml", "assets", "definitions.py"):
        (tmp_path / name).symlink_to(ROOT / name)

    def dg(*words: str) -> str:
        env = bare_environment(tmp_path)
        return processes.output_of([BIN / "dg", *words], cwd=tmp_path, env=env, timeout=180)

    assert "All definitions loaded successfully." in dg("check", "defs")
    listed = json.loads(dg("list", "defs", "--json"))
    jobs = {job["name"] for job in listed["jobs"]}
    assert {"campaigns", "music", "reading_history", "maintenance"} <= jobs
    keys = {asset["asset_key"] for asset in listed["assets"]}
    assert {"campaigns/events", "music/silver_songs", "reading/history_rows"} <= keys


def test_the_code_location_has_one_name():
    """A backfill of a bare command names it: under another name its runs would fail."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["dg"]["project"]
    (location,) = yaml.safe_load((ROOT / "workspace.yaml").read_text())["load_from"]
    target = location["python_module"]
    assert target["location_name"] == project["code_location_name"]
    assert target["module_name"] == project["code_location_target_module"]
