from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from assets.frame.code_references import with_code_references
from local.service import REPOSITORY


@dg.asset
def here() -> None: ...


def reference(asset: dg.AssetsDefinition):
    [one] = with_code_references([asset])
    metadata = one.metadata_by_key[dg.AssetKey("here")]
    [found] = metadata["dagster/code_references"].code_references
    return found


def test_a_file_of_this_machine_by_default(monkeypatch):
    monkeypatch.delenv("QUINTET_SOURCE_URL", raising=False)
    found = reference(here)
    lines = Path(found.file_path).read_text("utf-8").splitlines()
    assert Path(found.file_path) == Path(__file__)
    assert lines[found.line_number] == "def here() -> None: ..."


@pytest.mark.parametrize(
    ("url", "start"),
    [
        ("https://github.com/o/n/tree/main", "https://github.com/o/n/tree/main/"),
        ("https://gitlab.com/o/n/-/tree/v1/x", "https://gitlab.com/o/n/-/tree/v1/x/"),
    ],
)
def test_on_the_web_where_a_variable_says_so(monkeypatch, url, start):
    monkeypatch.setenv("QUINTET_SOURCE_URL", url)
    path = Path(__file__).relative_to(REPOSITORY)
    assert reference(here).url.startswith(f"{start}{path}#L")
