"""Chat of the OpenAI-compatible server: summaries, what spoils them, limits, what is counted."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import openai
import pytest

from tests.servers import OpenAIAdmin

pytestmark = pytest.mark.servers("openai")

Env = dict[str, str]
FACTS = {"domain": "shoes.example", "category": "Sports", "revenue": "1M–2M", "aov": "75–100"}


def messages(**facts: Any) -> list[Any]:
    return [
        {"role": "system", "content": "Write one paragraph."},
        {"role": "user", "content": json.dumps({**FACTS, **facts}, ensure_ascii=False)},
    ]


def ask(env: Env, asked: list[Any] | None = None, **options: Any) -> Any:
    timeout = options.pop("timeout", 10)
    with openai.OpenAI(
        base_url=env["OPENAI_BASE_URL"],
        api_key=env["OPENAI_API_KEY"],
        max_retries=0,
        timeout=timeout,
    ) as client:
        return client.chat.completions.create(model="any", messages=asked or messages(), **options)


def test_a_summary_of_the_facts_also_after_a_correction(env: Env) -> None:
    first = ask(env).choices[0].message.content
    assert {"shoes.example", "Sports", "1M–2M", "75–100"} <= set(re.findall(r"[^ ,]+", first))
    corrected = [
        *messages(),
        {"role": "assistant", "content": "It has 12 shops."},
        {"role": "user", "content": "12 is not among the figures. Write it again."},
    ]
    assert ask(env, corrected).choices[0].message.content == first


def test_limits_on_tokens_and_several_choices(env: Env) -> None:
    whole = ask(env)
    cut = ask(env, max_completion_tokens=20)
    assert cut.choices[0].finish_reason == "length"
    assert cut.usage.completion_tokens <= 20
    assert whole.choices[0].message.content.startswith(cut.choices[0].message.content)
    assert ask(env, max_tokens=20).choices == cut.choices
    several = ask(env, n=3)
    assert [choice.index for choice in several.choices] == [0, 1, 2]
    assert several.usage.completion_tokens == 3 * whole.usage.completion_tokens
    assert several.usage.prompt_tokens == whole.usage.prompt_tokens


@pytest.mark.parametrize("options", [{"n": 0}, {"n": 129}, {"max_completion_tokens": 0}])
def test_options_that_are_refused(env: Env, options: dict[str, Any]) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        ask(env, **options)
    assert refused.value.param in options


def test_bad_answers(env: Env, openai_admin: OpenAIAdmin) -> None:
    kinds = ["refusal", "content_filter", "wrong_number", "bullets", "other_domain"]
    openai_admin.set_faults(script=kinds)
    refused, filtered, wrong, bullets, other = (ask(env).choices[0] for _ in kinds)
    assert refused.message.content is None
    assert refused.message.refusal
    assert filtered.finish_reason == "content_filter"
    numbers = re.compile(r"\d+")
    assert set(numbers.findall(wrong.message.content)) - set(numbers.findall(json.dumps(FACTS)))
    assert bullets.message.content.count("\n- ") > 1
    assert "shoes.example" not in other.message.content
    counters = openai_admin.counters()
    assert counters["faults"] == dict.fromkeys(kinds, 1)
    assert counters["paid_calls"] == 5
    assert counters["paid_twice"] == 0
    assert ask(env).choices[0].message.content
    assert openai_admin.counters()["answered"] == {"chat": 1}


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        ("401", 401, "invalid_api_key"),
        ("403", 403, "unsupported_country_region_territory"),
        ("408", 408, "request_timeout"),
        ("409", 409, "conflict"),
        ("429", 429, "rate_limit_exceeded"),
        ("insufficient_quota", 429, "insufficient_quota"),
        ("500", 500, None),
    ],
)
def test_statuses_say_what_is_wrong(
    env: Env, openai_admin: OpenAIAdmin, kind: str, status: int, code: str | None
) -> None:
    openai_admin.set_faults(script=[kind])
    with pytest.raises(openai.APIStatusError) as refused:
        ask(env)
    assert refused.value.status_code == status
    assert refused.value.code == code
    assert re.fullmatch(r"req_[0-9a-f]{32}", refused.value.request_id or "")
    assert ("retry-after" in refused.value.response.headers) == (kind == "429")
    counters = openai_admin.counters()
    assert counters["statuses"] == {"chat": {str(status): 1}}
    assert counters["paid_calls"] == counters["prompt_tokens"] == 0


def test_requests_above_the_limit_are_told_when_to_come_again(
    env: Env, openai_admin: OpenAIAdmin
) -> None:
    openai_admin.set_faults(requests_per_minute=3, retry_after=0)
    for _ in range(3):
        ask(env)
    with pytest.raises(openai.RateLimitError) as limited:
        ask(env)
    headers = limited.value.response.headers
    assert 15 < float(headers["retry-after"]) <= 20
    assert headers["x-ratelimit-limit-requests"] == "3"
    assert headers["x-ratelimit-remaining-requests"] == "0"
    assert headers["x-ratelimit-reset-requests"].endswith("s")
    assert openai_admin.counters()["statuses"] == {"chat": {"200": 3, "429": 1}}


def test_tokens_above_the_limit(env: Env, openai_admin: OpenAIAdmin) -> None:
    openai_admin.set_faults(tokens_per_minute=600)
    ask(env, max_completion_tokens=400)
    with pytest.raises(openai.RateLimitError) as limited:
        ask(env, max_completion_tokens=400)
    assert limited.value.type == "tokens"
    with pytest.raises(openai.RateLimitError, match="too large"):
        ask(env, max_completion_tokens=700)


def test_every_answer_is_paid_and_what_its_caller_never_saw_is_told_apart(
    env: Env, openai_admin: OpenAIAdmin
) -> None:
    openai_admin.set_faults(script=["malformed", "disconnect", "late"], hang_seconds=5)
    with pytest.raises(json.JSONDecodeError):
        ask(env)
    with pytest.raises(openai.APIConnectionError):
        ask(env)
    with pytest.raises(openai.APITimeoutError):
        ask(env, timeout=0.5)
    usage = ask(env).usage
    counters = openai_admin.counters()
    assert counters["paid_calls"] == 4
    assert counters["lost_calls"] == 3
    assert counters["prompt_tokens"] == 4 * usage.prompt_tokens
    assert counters["lost_completion_tokens"] == 3 * usage.completion_tokens
    assert counters["paid_twice"] == 3
    assert counters["received_twice"] == 0
    [(_, prompt)] = openai_admin.prompts(messages=True).items()
    assert prompt == {"asked": 4, "paid": 4, "ok": 4, "received": 1, "messages": messages()}


def test_a_caller_that_goes_away_pays_all_the_same(env: Env, openai_admin: OpenAIAdmin) -> None:
    openai_admin.set_faults(latency=1.0)
    with pytest.raises(openai.APITimeoutError):
        ask(env, timeout=0.3)
    openai_admin.end_faults()
    # Takes longer than what is left of the first answer.
    openai_admin.set_faults(latency=1.0)
    ask(env, messages(domain="other.example"))
    counters = openai_admin.counters()
    assert (counters["paid_calls"], counters["lost_calls"], counters["open_calls"]) == (2, 1, 0)


def test_hundreds_of_slow_calls_at_once(env: Env, openai_admin: OpenAIAdmin) -> None:
    openai_admin.set_faults(latency_p50=0.5, latency_sigma=0.2)

    async def all_of_them() -> list[str]:
        async with openai.AsyncOpenAI(
            base_url=env["OPENAI_BASE_URL"],
            api_key=env["OPENAI_API_KEY"],
            max_retries=0,
            timeout=120,
        ) as client:
            calls = [
                client.chat.completions.create(
                    model="any", messages=messages(domain=f"shop{number}.example")
                )
                for number in range(300)
            ]
            return [one.choices[0].message.content or "" for one in await asyncio.gather(*calls)]

    texts = asyncio.run(all_of_them())
    assert all(f"shop{number}.example" in text for number, text in enumerate(texts))
    counters = openai_admin.counters()
    assert counters["paid_calls"] == 300
    assert counters["paid_twice"] == 0
    assert counters["most_open_calls"] > 100
    assert len(openai_admin.prompts()) == 300
