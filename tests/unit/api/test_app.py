"""Which routes and systems a service has, by the pipelines that are chosen."""

from __future__ import annotations

import pytest

from api.app import create_app
from api.clients import systems_of
from assets.pipelines import PIPELINES, UnknownPipelineError


def pipelines_with_routes() -> set[str]:
    parts = [path.split("/") for path in create_app().openapi()["paths"]]
    return {one[2] for one in parts if one[1] == "v1"} & set(PIPELINES)


def test_every_pipeline_has_routes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("QUINTET_PIPELINES", raising=False)
    assert pipelines_with_routes() == set(PIPELINES)


def test_a_pipeline_that_is_left_out_has_none_and_its_systems_are_not_asked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("QUINTET_PIPELINES", "images,reading")
    assert pipelines_with_routes() == {"images", "reading"}
    assert systems_of(["images", "reading"]) == ("postgres", "minio", "bigquery", "gcs", "pubsub")
    assert "/metrics" in create_app().openapi()["paths"]


def test_a_pipeline_that_there_is_not_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUINTET_PIPELINES", "imges")
    with pytest.raises(UnknownPipelineError, match="imges"):
        create_app()
