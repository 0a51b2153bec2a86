"""What the operator's commands and maintenance make of a pipeline with two landings."""

from __future__ import annotations

import dagster as dg
import pytest

from assets.images.pipeline import CATALOGUE, INVENTORY, REQUESTS
from assets.pipelines import apply_defaults
from jobs.maintenance import maintenance_job
from ops import land, quarantine, replay
from resources.configured import build_resources
from samples import images as samples
from tests.integration.images.landings import Landings, metadata

pytestmark = pytest.mark.servers("postgres", "s3")

HEADER = ",".join(samples.HEADER)
GOOD = "7,Men,Apparel,Topwear,Shirts,Blue,Fall,2011,Casual,A Shirt"


@pytest.fixture
def landings(env, tmp_path):
    return Landings(env)


@pytest.mark.parametrize(
    ("name", "pipeline", "key", "files"),
    [
        ("styles.csv", "images", "styles.csv", CATALOGUE),
        ("styles-2.CSV.gz", "images", "styles-2.CSV.gz", CATALOGUE),
        ("products.csv", "images", "stylesproducts.csv", CATALOGUE),
        ("7.JPG", "images", "images/7.JPG", INVENTORY),
        ("7.png", "images_inventory", "images/7.png", INVENTORY),
    ],
)
def test_a_file_is_put_where_its_own_sensor_looks(
    landings, tmp_path, capsys, *, name, pipeline, key, files
):
    apply_defaults()
    (tmp_path / name).write_bytes(b"something")
    assert land.run(str(tmp_path / name), pipeline) == 0
    assert f"/{key}#" in capsys.readouterr().out
    (request,) = landings.tick(files)
    assert landings.value("SELECT key FROM landing.object_version") == key
    assert landings.tick(INVENTORY if files is CATALOGUE else CATALOGUE) == ()
    assert request.batch_id


@pytest.mark.parametrize(
    ("name", "pipeline", "sensors"),
    [
        (
            "7.gif",
            "images",
            ["images_catalogue_minio", "images_inventory_minio", "images_minio"],
        ),
        ("7.png", "images_catalogue", ["images_catalogue_minio"]),
    ],
)
def test_a_file_that_none_of_them_takes_is_refused_with_all_reasons(
    landings, tmp_path, capsys, *, name, pipeline, sensors
):
    apply_defaults()
    (tmp_path / name).write_bytes(b"something")
    assert land.run(str(tmp_path / name), pipeline) == 1
    said = capsys.readouterr().err
    assert [line.split()[3] for line in said.splitlines()] == sensors


def test_rejected_rows_arrive_again_as_a_catalogue(landings, capsys):
    landings.catalogue(f"{HEADER}\n{GOOD}\n8,Men,Apparel\n".encode())
    batch = landings.value("SELECT batch_id FROM landing.batch")
    assert quarantine.run(batch, replay=False, limit=5) == 0
    assert "too_few_fields" in capsys.readouterr().out
    assert quarantine.run(batch, replay=True, limit=5) == 0
    assert f"stylesreplay/{batch}-0.csv" in capsys.readouterr().out
    (request,) = landings.tick(CATALOGUE)
    result = landings.run(CATALOGUE, request)
    assert metadata(result, "catalogue_rows")["rejected_by_reason"] == {"too_few_fields": 1}


def loaded_batches(landings) -> dict[str, str]:
    """Both landings' batches by job, loaded 100 days ago."""
    landings.catalogue(f"{HEADER}\n{GOOD}\n".encode())
    landings.images({"7.jpg": b"no image"})
    landings.execute("UPDATE landing.batch SET finished_at = finished_at - interval '100 days'")
    rows = landings.rows("SELECT source, batch_id FROM landing.batch")
    return {row["source"].removesuffix("_minio"): row["batch_id"] for row in rows}


def test_each_landing_keeps_its_own_partitions_and_staging(landings, capsys):
    batches = loaded_batches(landings)
    resources = build_resources()

    def maintain() -> dict[str, object]:
        with dg.DagsterInstance.get() as instance:
            result = maintenance_job([CATALOGUE, INVENTORY]).execute_in_process(
                instance=instance,
                resources={name: resources[name] for name in ("postgres", "minio")},
            )
        return {
            f"{event.step_key}.{name}": value.value
            for event in result.all_events
            if event.event_type_value == "STEP_OUTPUT"
            for name, value in event.event_specific_data.metadata.items()
        }

    def partitions() -> list[list[str]]:
        with dg.DagsterInstance.get() as instance:
            return [
                list(instance.get_dynamic_partitions(files.partition_set or ""))
                for files in (CATALOGUE, INVENTORY)
            ]

    assert partitions() == [[batches["images_catalogue"]], [batches["images_inventory"]]]
    # Whose records are current no more lets go of its staging.
    landings.execute("DELETE FROM images.image_record")
    told = maintain()
    assert told["remove_partitions.partitions_removed"] == 2
    assert told["remove_partitions.unknown_partitions_removed"] == 0
    assert told["remove_images_catalogue_staging.staged_parts_removed"] == 0
    assert told["remove_images_inventory_staging.staged_parts_removed"] == 1
    assert partitions() == [[], []]
    for files in (INVENTORY, CATALOGUE):
        assert replay.run(batches[files.job]) == 0
        assert f"--job {files.job} --partitions {batches[files.job]}" in capsys.readouterr().out
    assert partitions() == [[batches["images_catalogue"]], [batches["images_inventory"]]]


def test_a_batch_that_failed_for_good_is_told_of_once(landings):
    batches = loaded_batches(landings)
    landings.execute(
        "UPDATE landing.batch SET state = 'failed_permanent', error = 'broken'"
        f" WHERE batch_id = '{batches['images_inventory']}'"
    )
    audit = landings.audit()
    assert not audit["image_probes.no_batch_failed_for_good"]
    assert audit["catalogue_rows.no_batch_failed_for_good"]


def test_a_partition_of_the_other_landing_is_none_of_ours(landings):
    batches = loaded_batches(landings)
    with pytest.raises(dg.Failure, match="nothing landed of the partition"):
        landings.backfill(CATALOGUE, batches["images_inventory"])


def test_a_refused_request_is_never_put_back_as_it_was(landings, capsys):
    apply_defaults()
    landings.catalogue(f"{HEADER}\n{GOOD}\n".encode())
    landings.store("IMAGES_REQUESTS_BUCKET").put("wrong.json", b'{\n"gender": "Man"\n}\n')
    (request,) = landings.tick(REQUESTS)
    landings.run(REQUESTS, request)

    assert quarantine.run(request.batch_id, replay=True, limit=5) == 1
    assert "write it again, corrected, under any key" in capsys.readouterr().out
