"""Money and bounds: exact, never below the bill, never below the tokens."""

from __future__ import annotations

import dataclasses
import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.domains.asking.limits import AskingLimits, Bounds, Prices

tokens = st.integers(0, 2_000_000)
prices = st.integers(0, 10**8).map(lambda hundredths: hundredths / 1000)


@given(prices, prices, tokens, tokens)
def test_costs_are_those_of_exact_arithmetic_rounded_up(input_price, output_price, asked, told):
    exact = asked * Fraction(str(input_price)) + told * Fraction(str(output_price))
    assert Prices.of(input_price, output_price).micros(asked, told) == math.ceil(exact)


@given(prices, prices, st.lists(st.tuples(tokens, tokens), max_size=20))
def test_a_sum_of_costs_is_never_below_the_bill_and_near_it(input_price, output_price, requests):
    price = Prices.of(input_price, output_price)
    total = sum(price.micros(*one) for one in requests)
    bill = sum(
        asked * Fraction(str(input_price)) + told * Fraction(str(output_price))
        for asked, told in requests
    )
    assert bill <= total <= bill + len(requests)


@given(prices, prices, tokens, tokens)
def test_a_batch_costs_half(input_price, output_price, asked, told):
    price = Prices.of(input_price, output_price)
    assert 0 <= 2 * price.halved().micros(asked, told) - price.micros(asked, told) <= 2


@given(
    st.lists(st.text(max_size=80), min_size=1, max_size=5), st.integers(1, 4000), st.integers(1, 3)
)
def test_no_tokenizer_finds_more_tokens_than_the_bound(texts, limit, choices):
    """A byte-level tokenizer has a byte a token at worst, and seven tokens around each message."""
    body = {
        "model": "m",
        "messages": [{"role": "user", "content": text} for text in texts],
        "max_completion_tokens": limit,
        "n": choices,
    }
    worst = sum(len(text.encode("utf-8", "surrogatepass")) + 7 for text in texts)
    bounds = Bounds.of(body)
    assert bounds.prompt >= worst
    assert bounds.completion == limit * choices


@pytest.mark.parametrize("body", [{}, {"max_completion_tokens": 0}, {"max_completion_tokens": "9"}])
def test_a_request_without_a_limit_has_no_worst_case(body):
    with pytest.raises(ValueError, match="max_completion_tokens"):
        Bounds.of({"messages": [], **body})


@pytest.mark.parametrize(
    "wrong",
    [{"input_price": -1.0}, {"output_price": math.inf}, {"concurrency": 0}, {"attempts": 0}],
)
def test_limits_that_are_none(wrong):
    right = AskingLimits(model="m", input_price=1.0, output_price=1.0, budget_micros=1)
    with pytest.raises(ValueError, match=r"."):
        dataclasses.replace(right, **wrong)
