"""What loading the code location costs, against ``import dagster`` and a location of nothing.

CPU seconds (user + system) of fresh interpreters from their start until the code is loaded, read
there: what an interpreter does when it exits is nobody's loading. All in turn, the median of each.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]

RESOLVED = "get_repository_def().get_all_jobs()"
IMPORT = "import dagster"
BARE = f"import dagster; from bare import defs; defs.{RESOLVED}"
LOAD = f"import dagster; from definitions import build_defs; build_defs().{RESOLVED}"
NAIVE = "import dagster, dagster_gcp, dagster_aws.s3, dagster_postgres"

#: Writes the bare location: another process, since nothing may be loaded where it is measured.
WRITE = """
import pathlib, sys
from benchmarks.bare_location import source
from definitions import build_defs
pathlib.Path(sys.argv[1]).write_text(source(build_defs()))
"""
#: What the interpreter says once the code is loaded.
LOADED = "import os; loaded = os.times(); print(loaded.user + loaded.system)"


def run(code: str, *arguments: str, path: str = "") -> str:
    env = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/tmp"), "PYTHONPATH": path}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=env, check=True, capture_output=True, text=True
    ).stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=5)
    repetitions = parser.parse_args().repetitions
    with tempfile.TemporaryDirectory() as folder:
        run(WRITE, f"{folder}/bare.py")

        def cpu_seconds(code: str) -> float:
            return float(run(f"{code}\n{LOADED}", path=folder))

        codes = (IMPORT, BARE, LOAD, NAIVE)
        for code in codes:
            cpu_seconds(code)
        measured = [tuple(map(cpu_seconds, codes)) for _ in range(repetitions)]
    imported, *others = (statistics.median(column) for column in zip(*measured, strict=True))
    bare, load, naive = others
    for what, seconds, goal in (
        ("import dagster", imported, ""),
        ("as much that does nothing", bare, ""),
        ("load the code location", load, f"(goal ≤ 1.3x), {load / bare:.2f}x the one above"),
        ("import the integrations too", naive, ""),
    ):
        print(f"{what:27} {seconds:6.2f} CPU-s {seconds / imported:6.2f}x  {goal}")


if __name__ == "__main__":
    main()
