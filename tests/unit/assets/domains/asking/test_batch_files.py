"""Files of the Batch API: cut at its limits, named for good, read whatever is in them."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.domains.asking.batch_files import batch_file, cut, line_of, read_line
from assets.domains.asking.calling import Failure
from assets.domains.asking.claims import Claim
from assets.domains.asking.limits import Bounds
from assets.domains.asking.outcome import Completion, Reask


def claim(number: int, text: str = "text", attempt: int = 1) -> Claim:
    request = {"model": "m", "messages": [{"role": "user", "content": text}]}
    return Claim(f"h{number}", request, {}, Reask(), attempt, 0, 10, Bounds(9, 9))


@given(st.lists(st.text(max_size=60), max_size=40), st.integers(1, 10), st.integers(150, 600))
def test_every_claim_is_in_one_file_within_the_limits(texts, requests, size):
    claims = [claim(number, text) for number, text in enumerate(texts)]
    files = list(cut(claims, requests=requests, size=size))
    assert sorted(one.prompt_hash for file in files for one in file.claims) == sorted(
        one.prompt_hash for one in claims
    )
    for file in files:
        lines = [json.loads(line) for line in file.content.decode().split("\n")[:-1]]
        assert [line["custom_id"] for line in lines] == [one.prompt_hash for one in file.claims]
        assert len(lines) <= requests
        assert len(file.content) <= size or len(lines) == 1


def test_a_key_is_of_the_content_and_the_attempt_whatever_the_order():
    claims = [claim(number) for number in range(20)]
    shuffled = random.Random(1).sample(claims, 20)
    assert batch_file(claims).key == batch_file(shuffled).key
    again = [claim(number, attempt=2) for number in range(20)]
    assert batch_file(again).content == batch_file(claims).content
    assert batch_file(again).key != batch_file(claims).key
    assert batch_file(claims[1:]).key != batch_file(claims).key


def test_a_second_request_is_what_its_line_says():
    again = Claim(
        "h", {"messages": [{"role": "user", "content": "q"}], "max_completion_tokens": 5}, {},
        Reask(("invalid", "truncated"), 10, "a", "c"), 2, 0, 1, Bounds(1, 1),
    )  # fmt: skip
    body = json.loads(line_of(again))["body"]
    assert body["max_completion_tokens"] == 10
    assert [one["content"] for one in body["messages"]] == ["q", "a", "c"]


GOOD = {
    "choices": [{"message": {"content": "good"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 4, "completion_tokens": 2},
}


@pytest.mark.parametrize(
    ("line", "kind", "paid"),
    [
        ({"error": {"code": "batch_expired"}}, "batch_expired", "no"),
        ({"error": {}}, "error", "no"),
        ({"response": {"status_code": 429, "body": {}}}, "429", "no"),
        ({"response": {"status_code": 200, "body": "text"}}, "malformed", "maybe"),
        ({"response": {"status_code": 200, "body": {**GOOD, "choices": []}}}, "empty", "yes"),
        ({}, "malformed", "maybe"),
    ],
)
def test_lines_that_answer_nothing(line, kind, paid):
    read = read_line(json.dumps({"custom_id": "h1", **line}))
    assert read.prompt_hash == "h1"
    assert isinstance(read.result, Failure)
    assert (read.result.kind, read.result.paid) == (kind, paid)


def test_an_answer():
    response = {"status_code": 200, "request_id": "r", "body": GOOD}
    read = read_line(json.dumps({"custom_id": "h1", "response": response, "error": None}))
    assert isinstance(read.result, Completion)
    assert (read.result.text, read.result.prompt_tokens, read.result.request_id) == ("good", 4, "r")


@given(st.text())
def test_no_line_breaks_reading(line):
    assert read_line(line).prompt_hash is None or '"custom_id"' in line
