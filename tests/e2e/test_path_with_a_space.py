"""A checkout in a folder with a space: its servers, its commands and Dagster's work there."""

from __future__ import annotations

import pytest

from tests.e2e.copied_tree import copied_tree


@pytest.mark.xdist_group("daemon")
@pytest.mark.timeout(600)
def test_servers_commands_and_a_landed_file() -> None:
    with copied_tree("my quintet") as tree:

        def output_of(command: str) -> str:
            ended = tree.run(command, timeout=200)
            assert ended.code == 0, f"{command}\n{ended.output}"
            return ended.output

        output_of("make up PIPELINES=campaigns")
        assert "gcs" in output_of("make doctor")
        assert "Job: campaigns" in output_of("dagster job list")
        (tree.root / "a file.csv").write_text("nothing that a pipeline would take\n")
        landed = output_of('make land FILE="a file.csv" PIPELINE=campaigns')
        assert "a file.csv" in landed
        output_of('set -a; . .local/env; set +a; test -d "$DAGSTER_HOME"')
        assert "running" in output_of("make status")
        output_of("make down")
        assert tree.processes() == []
