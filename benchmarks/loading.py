"""What loading the code location costs, against ``import dagster`` alone.

CPU seconds (user + system) of fresh interpreters from their start until the code is loaded, read
there: what an interpreter does when it exits is nobody's loading. All in turn, the median of each.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

IMPORT = "import dagster"
LOAD = "from definitions import build_defs; build_defs().get_repository_def().get_all_jobs()"
NAIVE = "import dagster, dagster_gcp, dagster_aws.s3, dagster_postgres"


#: What the interpreter says once the code is loaded.
LOADED = "import os; loaded = os.times(); print(loaded.user + loaded.system)"


def cpu_seconds(code: str) -> float:
    env = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/tmp")}
    command = [sys.executable, "-c", f"{code}\n{LOADED}"]
    said = subprocess.run(command, cwd=ROOT, env=env, check=True, capture_output=True, text=True)
    return float(said.stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=5)
    repetitions = parser.parse_args().repetitions
    for code in (IMPORT, LOAD, NAIVE):
        cpu_seconds(code)
    measured = [tuple(map(cpu_seconds, (IMPORT, LOAD, NAIVE))) for _ in range(repetitions)]
    bare, load, naive = (statistics.median(column) for column in zip(*measured, strict=True))
    print(f"import dagster              {bare:6.2f} CPU-s")
    print(f"load the code location      {load:6.2f} CPU-s   {load / bare:4.2f}x   (goal ≤ 1.3x)")
    print(f"import the integrations too {naive:6.2f} CPU-s   {naive / bare:4.2f}x")


if __name__ == "__main__":
    main()
