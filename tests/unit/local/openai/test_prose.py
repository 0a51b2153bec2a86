"""Summaries of the stand-in: one line, every fact from the prompt, none besides."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.openai import prose

NUMBER = re.compile(r"\d+(?:\.\d+)?")
PROMPT = {
    "domain": "shoes.example",
    "category": "Sports & Outdoors",
    "figures": {
        "transaction_revenue": "1M–2M",
        "transactions": "10K–20K",
        "aov": "75–100",
        "conversion_rate_percent": "2.50–3.00",
        "sessions": None,
    },
    "revenue_direction": "up",
    "strongest_country": "DE",
    "categoryRank": "5 of 120",
}


def unknown_numbers(text: str, prompt: str) -> set[str]:
    return set(NUMBER.findall(text)) - set(NUMBER.findall(prompt))


@given(
    st.fixed_dictionaries(
        {
            "domain": st.from_regex(r"[a-z0-9-]{1,20}\.(com|co\.uk|de)", fullmatch=True),
            "category": st.none()
            | st.from_regex(r"[A-Z][a-z]{2,9}( & [A-Z][a-z]+)?", fullmatch=True),
        },
        optional={
            name: st.none()
            | st.from_regex(r"\d{1,3}(\.\d\d)?[KM]?–\d{1,3}(\.\d\d)?", fullmatch=True)
            for name in ("revenue", "transactions", "aov", "conv_rate", "share_of_sessions")
        }
        | {"direction": st.sampled_from(["up", "flat", "down", None]), "rank": st.integers(1, 9)},
    )
)
def test_a_summary_is_one_line_with_the_names_and_no_number_of_its_own(facts) -> None:
    prompt = json.dumps(facts, ensure_ascii=False)
    text = prose.summary(prose.facts(prompt) or {})
    assert "\n" not in text
    assert 60 <= len(text.split()) <= 140
    assert facts["domain"] in text
    assert not unknown_numbers(text, prompt)
    if facts["category"]:
        assert facts["category"] in text
    else:
        assert "categor" not in text


def test_every_value_that_is_not_null_is_told() -> None:
    text = prose.summary(PROMPT)
    for value in ("1M–2M", "10K–20K", "75–100", "2.50–3.00", "up", "DE", "5 of 120"):
        assert value in text
    assert "conversion rate percent" in text
    assert "category rank" in text
    assert "sessions" not in text


def test_a_figure_is_followed_by_a_word() -> None:
    assert not re.search(r"\d[.,;](\s|$)", prose.summary(PROMPT))


def test_many_long_values_do_not_make_it_longer() -> None:
    facts = {
        **PROMPT,
        **{f"field_{n}": "eleven words of no use at all go in here today" for n in range(40)},
    }
    assert len(prose.summary(facts).split()) <= 140


def test_the_same_facts_give_the_same_text_and_others_another() -> None:
    assert prose.summary(PROMPT) == prose.summary(dict(PROMPT))
    texts = {prose.summary({**PROMPT, "domain": f"s{n}.example"}) for n in range(30)}
    assert len({text.replace(re.findall(r"s\d+\.example", text)[0], "") for text in texts}) > 3


def test_line_ends_in_a_name_do_not_break_the_line() -> None:
    text = prose.summary({**PROMPT, "category": "Shoes\n- and\r\nsocks"})
    assert "Shoes - and socks" in text
    assert "\n" not in text


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ('Write about\n{"domain": "a.com", "aov": 2.50}\nNow.', "a.com"),
        ('{broken {"other": 1} {"domain": "b.com"}', "b.com"),
        ('```json\n{"domain": "c.com"}\n```', "c.com"),
        ("no object", None),
        ('{"domain": null}', None),
    ],
)
def test_the_object_is_found_within_other_text(text: str, domain: str | None) -> None:
    found = prose.facts(text)
    assert (found and found["domain"]) == domain


def test_numbers_stay_as_they_are_written() -> None:
    assert (prose.facts('{"domain": "a.com", "aov": 2.50}') or {})["aov"] == "2.50"


def test_flaws() -> None:
    prompt = json.dumps(PROMPT)
    assert unknown_numbers(prose.summary(PROMPT, "wrong_number"), prompt)
    assert len(prose.summary(PROMPT, "bullets").splitlines()) > 2
    other = prose.summary(PROMPT, "other_domain")
    assert PROMPT["domain"] not in other
    assert "elsewhere.example" in other
    for flaw in ("", "wrong_number", "other_domain"):
        assert 60 <= len(prose.summary(PROMPT, flaw).split()) <= 140
