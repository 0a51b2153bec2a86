"""Finding what landed by the ledger's name for where it did."""

from __future__ import annotations

import pytest

from assets.images.pipeline import CATALOGUE, INVENTORY
from assets.pipelines import UnknownPipelineError, landed_files, landed_of
from landing.batch.records import RecordTable


@pytest.mark.parametrize("files", landed_files(), ids=lambda files: files.job)
def test_a_landing_is_found_by_its_source(files):
    places = files.places()
    source = files.source(places.bucket, places.prefix)
    assert source.name == files.source_name
    assert landed_of(files.pipeline, files.source_name) is files


def test_the_only_landing_of_a_pipeline_is_meant_whatever_it_was_called():
    assert landed_of("campaigns", "campaigns_s3").job == "campaigns"
    with pytest.raises(KeyError, match="images_s3"):
        landed_of("images", "images_s3")
    with pytest.raises(UnknownPipelineError):
        landed_of("sounds", "sounds_s3")


def test_no_two_landings_share_anything_that_is_looked_up_by_name():
    landed = landed_files()
    for told in ("source_name", "job", "sensor", "landing_key", "validation"):
        names = [getattr(files, told) for files in landed]
        assert len(names) == len(set(names)), told
    sets = [files.partition_set for files in landed if files.partition_set]
    assert len(sets) == len(set(sets))
    records = [(files.pipeline, files.records) for files in landed]
    assert len(records) == len(set(records))


def test_records_of_a_kind_have_tables_of_their_own():
    assert (CATALOGUE.records, INVENTORY.records) == ("product", "image")
    table = RecordTable("images", (), CATALOGUE.records)
    assert (table.record, table.replaced) == ("images.product_record", "images.product_replaced")
    only = RecordTable("campaigns", ())
    assert (only.record, only.replaced) == ("campaigns.record", "campaigns.replaced")
    with pytest.raises(ValueError, match="not a plain identifier"):
        RecordTable("images", (), "a b")
