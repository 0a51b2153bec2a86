"""The code location in a fresh interpreter: no variable, no server, no heavy import."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

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
    "dataframely",
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
    loaded = subprocess.run(
        [sys.executable, "-c", LOAD],
        cwd=ROOT,
        env=bare_environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert json.loads(loaded.stdout.splitlines()[-1]) == []


def test_validates_with_an_empty_dagster_home_and_no_variable(tmp_path):
    home = tmp_path / "dagster_home"
    home.mkdir()
    validated = subprocess.run(
        [str(BIN / "dagster"), "definitions", "validate", "-w", str(ROOT / "workspace.yaml")],
        cwd=tmp_path,
        env=bare_environment(tmp_path, DAGSTER_HOME=str(home)),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert validated.returncode == 0, validated.stdout + validated.stderr
    assert "Validation successful for code location quintet" in validated.stdout + validated.stderr
