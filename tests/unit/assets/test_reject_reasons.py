"""Reject reasons: each pipeline declares all of its own, and its document lists them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pytest

from assets.domains import review
from assets.domains.reasons import TEXT_REASONS
from assets.images.requests.reasons import REQUEST_REASONS
from assets.pipelines import PIPELINES, reject_reasons
from assets.reading.rules import Reason

DOCS = Path(__file__).parents[3] / "docs"
ROW = re.compile(r"^\| `(\w+)` \| (.+) \| (.+) \|$", re.MULTILINE)


def listed(pipeline: str) -> list[tuple[str, str, str]]:
    """Code, meaning and remedy, as the table of the pipeline's document has them."""
    text = (DOCS / f"{pipeline}.md").read_text()
    table = text.partition("\n| reason |")[2].partition("\n\n")[0]
    return ROW.findall(table)


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_the_document_lists_what_is_declared(pipeline):
    declared = [
        (reason.code, reason.meaning, reason.remedy) for reason in reject_reasons(pipeline).values()
    ]
    assert listed(pipeline) == declared


@pytest.mark.parametrize("pipeline", PIPELINES)
def test_a_reason_says_what_was_wrong_and_what_to_do(pipeline):
    for code, reason in reject_reasons(pipeline).items():
        assert code == reason.code
        assert re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*", code)
        assert reason.meaning
        assert reason.remedy


def test_what_can_never_come_back_says_why():
    final = {
        (pipeline, code)
        for pipeline in PIPELINES
        for code, reason in reject_reasons(pipeline).items()
        if reason.final
    }
    assert final == {
        ("campaigns", "duplicate_record_id"), ("music", "duplicate_record_key"),
        ("images", "duplicate_id"), ("images", "duplicate_product_id"),
        *(("images", reason.code) for reason in REQUEST_REASONS),
        # Of files of CSV.
        *((pipeline, "unclosed_quote") for pipeline in PIPELINES if pipeline != "domains"),
    }  # fmt: skip


def test_every_reason_of_a_message_is_declared():
    assert set(get_args(Reason)) <= set(reject_reasons("reading"))


def test_every_reason_of_a_summary_has_its_rule():
    assert {reason.code for reason in TEXT_REASONS} == set(review.RULES)


def test_no_code_is_written_that_nobody_declares():
    """What a format rejects for is declared by some pipeline, as it knows none."""
    written = re.compile(
        r'\b(?:UnreadableObject|RefusedError|\w*BadValueError|Rejection)\(\s*"(\w+)"'
        r'|\.reject\([\w.]+, "(\w+)"'
    )
    declared = {name: set(reject_reasons(name)) for name in PIPELINES}
    declared["formats"] = set().union(*declared.values())
    count = 0
    for package, known in declared.items():
        for path in (DOCS.parent / "assets" / package).rglob("*.py"):
            codes = {one or other for one, other in written.findall(path.read_text())}
            assert codes <= known, path
            count += len(codes)
    assert count > 20
