"""Landing prefixes that overlap are refused when the definitions load."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from assets.frame.apart import OverlappingSourcesError, require_apart
from assets.frame.declared import LandedFiles, batches
from assets.pipelines import PIPELINES, landed_files
from definitions import build_defs
from landing.arrival.identity import StoreKind


def no_rules() -> Any:
    raise AssertionError("nothing is validated")


def at(
    job: str,
    bucket: str,
    prefix: str,
    *,
    store: StoreKind = "s3",
    pattern: str = ".*",
    more: dict[str, str] | None = None,
) -> LandedFiles:
    """A landing there; ``more`` are its other places."""
    settings: Any = SimpleNamespace(current=lambda: Place(bucket, prefix, more or {}))
    return LandedFiles(
        pipeline=job,
        job=job,
        owners=("team:model",),
        partitions=batches(job),
        store=store,
        pattern=pattern,
        settings=settings,
        description="Files.",
        validation="events",
        sinks=("first",),
        rules=no_rules,
        staged=dg.TableSchema([]),
        preview=(),
    )


class Place:
    def __init__(self, bucket: str, prefix: str, more: dict[str, str]) -> None:
        self.bucket, self.prefix = bucket, prefix
        self.staging_bucket = more.get("staging_bucket", "work")
        self.quarantine_bucket = more.get("quarantine_bucket", "work")


@pytest.mark.parametrize(
    ("a", "b"), [("in/", "in/"), ("", "in/"), ("in/", "in/deep/"), ("i", "in")]
)
def test_prefixes_that_share_a_key_are_refused_with_both_names(a: str, b: str) -> None:
    with pytest.raises(OverlappingSourcesError) as raised:
        require_apart([at("left", "inbox", a), at("right", "inbox", b, pattern=r".*\.csv")])
    for part in ("left_s3", "right_s3", f"s3://inbox/{a}", f"s3://inbox/{b}", "another prefix"):
        assert part in str(raised.value)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (at("left", "inbox", "in/"), at("right", "inbox", "out/")),
        (at("left", "inbox", "in/"), at("right", "inbox2", "in/")),
        (at("left", "inbox", "in/"), at("right", "inbox", "in/", store="gcs")),
        (at("left", "inbox", "in/"), at("right", "inbox", "in2/")),
        (at("left", "", ""), at("right", "", "")),
    ],
)
def test_what_is_apart_is_not(one: LandedFiles, other: LandedFiles) -> None:
    require_apart([one, other])


@pytest.mark.parametrize(
    ("place", "prefix", "pattern", "refused"),
    [
        ("staging_bucket", "", ".*", True),
        ("staging_bucket", "staging/", ".*", True),
        ("staging_bucket", "", r".*\.csv", False),
        ("staging_bucket", "in/", ".*", False),
        ("quarantine_bucket", "left/", ".*", True),
        ("quarantine_bucket", "left/", r".*\.csv", False),
    ],
)
def test_a_source_does_not_read_what_is_written_there(
    place: str, prefix: str, pattern: str, refused: bool
) -> None:
    """Its own, and another's."""
    for landed in (
        [at("left", "inbox", prefix, pattern=pattern, more={place: "inbox"})],
        [
            at("reader", "inbox", prefix, pattern=pattern),
            at("left", "l", "", more={place: "inbox"}),
        ],
    ):
        if refused:
            with pytest.raises(OverlappingSourcesError, match=place.removesuffix("_bucket")):
                require_apart(landed)
        else:
            require_apart(landed)


def test_the_pipelines_are_apart_without_any_variable() -> None:
    require_apart(landed_files(PIPELINES))


def test_definitions_do_not_load_with_an_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("READING_BUCKET", "shared")
    monkeypatch.setenv("CAMPAIGNS_BUCKET", "shared")
    monkeypatch.setenv("READING_PREFIX", "campaigns/reading/")
    with pytest.raises(OverlappingSourcesError, match="campaigns_gcs reads gs://shared/campaigns/"):
        build_defs(pipelines=["campaigns", "reading"])
