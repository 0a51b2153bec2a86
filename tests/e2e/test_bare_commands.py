"""Bare `dagster …` commands in the repository, with nothing set but what `.env` says."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from assets.pipelines import required
from tests.e2e.copied_tree import Tree, copied_tree

BATCH = "20261122T101503Z-0001"

#: Systems that nothing here talks to; the code location wants to know where they are all the same.
NOT_ASKED = sorted({*required(), "STORAGE_EMULATOR_HOST"} - {"POSTGRES_URL"})


@pytest.fixture(scope="module")
def tree() -> Iterator[Tree]:
    """A copy with a Postgres of its own running and the `.env` that its start writes."""
    with copied_tree() as copy:
        started = copy.run(".venv/bin/python -m local up --services postgres", timeout=120)
        assert started.code == 0, started.output
        with (copy.root / ".local" / "env").open("a") as file:
            file.writelines(f"{name}=http://127.0.0.1:9\n" for name in NOT_ASKED)
        yield copy


pytestmark = pytest.mark.xdist_group("daemon")


def output_of(tree: Tree, command: str, *words: str) -> str:
    ended = tree.run(command, timeout=120)
    assert ended.code == 0, f"{command}\n{ended.output}"
    for word in words:
        assert word in ended.output, f"{command}\n{ended.output}"
    return ended.output


def test_the_env_file_is_linked_and_names_an_absolute_home_with_the_instance_s_settings(tree):
    assert (tree.root / ".env").is_symlink()
    variables = dict(line.split("=", 1) for line in (tree.root / ".env").read_text().splitlines())
    home = variables["DAGSTER_HOME"]
    assert home == str(tree.root / ".local" / "dagster")
    assert (tree.root / ".local" / "dagster" / "dagster.yaml").resolve() == (
        tree.root / "dagster.yaml"
    )
    assert variables["DAGSTER_POSTGRES_URL"] != variables["POSTGRES_URL"]


def test_the_instance_is_the_one_in_postgres(tree):
    home = tree.root / ".local" / "dagster"
    output_of(tree, "dagster instance info", f"$DAGSTER_HOME: {home}\n", "PostgresRunStorage")


def test_the_code_location_is_found(tree):
    output_of(tree, "dagster job list", "Job: campaigns", "Job: maintenance")


def test_sensors_are_found_and_run_by_default(tree):
    names = (
        "campaigns_gcs_sensor", "campaigns_recommendations_sensor", "music_minio_sensor",
        "reading_session_sensor",
        "reading_history_gcs_sensor", "reading_affinity_automation", "dead_run_reaper",
        "batch_run_failed", "batch_run_canceled", "alert_delivery", "trouble_alerts",
        "schedule_watch", "domains_s3_sensor",
        "summary_batch_sensor", "run_success_alert", "run_failure_alert",
        "images_catalogue_minio_sensor", "images_inventory_minio_sensor", "images_minio_sensor",
        "image_classifier_automation", "image_task_endings",
    )  # fmt: skip
    told = output_of(tree, "dagster sensor list", *names)
    assert told.count("[RUNNING]") == len(names)


def test_a_backfill_is_queued_and_marked_with_its_batch(tree):
    tree.add_partition("campaigns_batches", BATCH)
    output_of(
        tree,
        f"dagster job backfill --job campaigns --partitions {BATCH} --noprompt",
        "backfill",
    )
    variables = dict(line.split("=", 1) for line in (tree.root / ".env").read_text().splitlines())
    with psycopg.connect(variables["DAGSTER_POSTGRES_URL"]) as connection:
        runs = connection.execute("SELECT pipeline_name, status, partition FROM runs").fetchall()
    assert runs == [("campaigns", "QUEUED", BATCH)], "a daemon would start it"
