"""Validation of large files: memory that does not grow with them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from samples.campaigns import Shape, write
from tests import processes
from tests.integration.campaigns.harness import Landing
from tests.integration.campaigns.killed_validation import gcs

pytestmark = pytest.mark.servers("postgres", "gcs")

MESSAGE = 20_000
#: About 60 and 180 MB.
SIZES = (3_300, 9_900)


def peak(landing: Landing, batch_id: str) -> float:
    """MiB of a process that does nothing else."""
    command = [sys.executable, "-m", "tests.integration.campaigns.measured_validation", batch_id]
    return float(processes.output_of(command, timeout=300).split()[-1])


def test_three_times_the_file_needs_no_more_memory(env, landing, tmp_path: Path):
    landing.store = gcs(env["CAMPAIGNS_BUCKET"])
    landing.quarantine = gcs(env["QUARANTINE_BUCKET"])
    peaks = []
    for rows in (0, *SIZES):
        file = tmp_path / "events.csv"
        write(file, Shape(rows=rows, message_characters=MESSAGE), seed=1)
        with file.open("rb") as stream:
            batch = landing.batch({f"campaigns/{rows}.csv": stream})
        peaks.append(peak(landing, batch))
        counts = landing.query(
            "SELECT sum(rows_read) FROM landing.object_version WHERE batch_id = %s", batch
        )
        assert counts == [(rows,)]
    empty, smaller, larger = peaks
    assert larger - empty < 250
    assert larger - empty <= 1.1 * (smaller - empty)
