"""Two checkouts whose Dagster is started at the same moment: each announces its own UI."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from local.dagster_processes import DagsterProcesses
from local.process import alive
from tests import processes

LOCATION = "import dagster as dg\n\ndefs = dg.Definitions()\n"
_LOCATIONS = "{ workspaceOrError { ... on Workspace { locationEntries { name } } } }"


def checkout(folder: Path) -> DagsterProcesses:
    """A small code location that is called like its folder, with Dagster's storage in files."""
    folder.mkdir()
    (folder / "location.py").write_text(LOCATION)
    (folder / "workspace.yaml").write_text(
        f"load_from:\n  - python_file: {{relative_path: location.py, location_name: {folder.name}}}"
    )
    home = folder / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    return processes.dagster(
        folder, env={"DAGSTER_HOME": str(home)}, instead=folder / "workspace.yaml"
    )


def locations(url: str) -> list[str]:
    request = urllib.request.Request(
        f"{url}/graphql",
        json.dumps({"query": _LOCATIONS}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        entries = json.load(response)["data"]["workspaceOrError"]["locationEntries"]
    return [entry["name"] for entry in entries]


@pytest.fixture
def both(tmp_path: Path) -> Iterator[list[DagsterProcesses]]:
    made = [checkout(tmp_path / name) for name in ("here", "there")]
    yield made
    for one in made:
        one.kill()


@pytest.mark.timeout(300)
def test_each_announces_its_own_ui(both: list[DagsterProcesses]) -> None:
    # Both have found the same port free: a minute passes between choosing it and binding it.
    both[0].supervisor.assign([both[0].services["webserver"]])
    port = both[0].supervisor.place().ports["webserver"]
    (both[1].supervisor.root / "ports.json").write_text(json.dumps({"webserver": port}))

    def start(one: DagsterProcesses) -> None:
        one.start(daemon=False)
        one.wait_ready()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(start, both))
    assert [locations(one.url) for one in both] == [["here"], ["there"]]
    assert port in {one.supervisor.place().ports["webserver"] for one in both}, "one got it"

    family = [
        member
        for one in both
        for pid in one.pids().values()
        for member in [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    ]
    kept = both[1].url
    for one in both:
        one.stop()
    assert not any(map(alive, family))
    both[1].supervisor.assign([both[1].services["webserver"]])
    assert both[1].url == kept, "the port is kept between starts"
