"""The OpenAI-compatible server through OpenAI's client: vectors, answers, faults, counters."""

from __future__ import annotations

import json
import math
import time
import urllib.error
import urllib.request
from typing import Any

import openai
import pytest

from local.stack import servers_python
from tests import processes
from tests.servers import OpenAIAdmin

pytestmark = pytest.mark.servers("openai")

Env = dict[str, str]


def client(env: Env, **options: Any) -> openai.OpenAI:
    return openai.OpenAI(
        base_url=env["OPENAI_BASE_URL"],
        api_key=env["OPENAI_API_KEY"],
        **{"max_retries": 0, "timeout": 10, **options},
    )


def vectors(env: Env, texts: list[str], **options: Any) -> list[list[float]]:
    answer = client(env).embeddings.create(
        model=env["OPENAI_EMBEDDING_MODEL"], input=texts, **options
    )
    assert [item.index for item in answer.data] == list(range(len(texts)))
    return [item.embedding for item in answer.data]


def cosine(left: list[float], right: list[float]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))


@pytest.mark.parametrize("dimensions", [1024, 256, 8])
def test_vectors_have_the_length_asked_for_and_unit_norm(env: Env, dimensions: int) -> None:
    for vector in vectors(env, ["Summer sale", "ÅÄÖ 夏 🎉", "x"], dimensions=dimensions):
        assert len(vector) == dimensions
        assert math.isclose(math.hypot(*vector), 1.0, abs_tol=1e-5)


def test_similar_texts_are_near_and_others_far(env: Env) -> None:
    sale, same, misspelt, other = vectors(
        env,
        [
            "Big summer sale on running shoes",
            "Running shoes are discounted this summer",
            "Big sumer sale on runing shoes",
            "The quarterly tax report is due on Friday",
        ],
    )
    assert cosine(sale, same) > 0.5
    assert abs(cosine(sale, other)) < 0.25
    assert cosine(sale, misspelt) > 0.5


def test_another_process_computes_the_same_vector(env: Env) -> None:
    [served] = vectors(env, ["Summer sale"])
    code = (
        "import json, pathlib, wordllama.config; from local.embedder import Embedder;"
        "package = pathlib.Path(wordllama.config.__file__).parent.parent;"
        "print(json.dumps(Embedder(package).embed('Summer sale').tolist()))"
    )
    printed = processes.output_of([servers_python(), "-c", code])
    assert json.loads(printed) == pytest.approx(served, abs=1e-7)


def test_what_openai_refuses_is_refused(env: Env) -> None:
    for texts, options in (([""], {}), ([], {}), (["a"], {"dimensions": 1025}), (["a"] * 2049, {})):
        with pytest.raises(openai.BadRequestError):
            vectors(env, texts, **options)


@pytest.mark.parametrize("key", ["", "wrong", "wrong.name"])
def test_a_wrong_key_is_refused(env: Env, key: str) -> None:
    stranger = {**env, "OPENAI_API_KEY": key or "none"}
    with pytest.raises(openai.AuthenticationError):
        vectors(stranger, ["a"])
    with pytest.raises(urllib.error.HTTPError, match="401"):
        OpenAIAdmin.of(stranger).counters()


def test_chat_repeats_the_facts_with_usage_whole_and_streamed(env: Env) -> None:
    messages: list[Any] = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "City: Oslo\nVisitors: 1170"},
    ]
    completions = client(env).chat.completions
    whole = completions.create(model="m", messages=messages)
    text = whole.choices[0].message.content or ""
    assert "Oslo" in text
    assert "1170" in text
    assert whole.choices[0].finish_reason == "stop"
    assert whole.usage
    assert (
        whole.usage.total_tokens == whole.usage.prompt_tokens + whole.usage.completion_tokens > 10
    )
    chunks = list(
        completions.create(
            model="m", messages=messages, stream=True, stream_options={"include_usage": True}
        )
    )
    streamed = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert streamed == text
    assert chunks[-1].usage == whole.usage


def test_counters_count_inputs_calls_and_tokens(env: Env, openai_admin: OpenAIAdmin) -> None:
    vectors(env, ["a b c", "d"])
    vectors(env, ["e"])
    used = client(env).embeddings.create(model="m", input="one two three").usage.total_tokens
    counters = openai_admin.counters()
    assert counters["calls"] == counters["answered"] == {"embeddings": 3}
    assert counters["inputs"] == 4
    assert counters["prompt_tokens"] > used > 0
    openai_admin.clear_counters()
    assert openai_admin.counters()["inputs"] == 0


def test_keys_do_not_share_faults_or_counters(env: Env, openai_admin: OpenAIAdmin) -> None:
    openai_admin.set_faults(script=["500"] * 5)
    other = {**env, "OPENAI_API_KEY": env["OPENAI_API_KEY"] + "x"}
    vectors(other, ["a"])
    assert openai_admin.counters()["calls"] == {}
    with pytest.raises(openai.InternalServerError):
        vectors(env, ["a"])


def test_scripted_statuses(env: Env, openai_admin: OpenAIAdmin) -> None:
    openai_admin.set_faults(script=["429", "500", "400", "401", "503"], retry_after=7)
    with pytest.raises(openai.RateLimitError) as limited:
        vectors(env, ["a"])
    assert limited.value.response.headers["retry-after"] == "7"
    for kind in (
        openai.InternalServerError,
        openai.BadRequestError,
        openai.AuthenticationError,
        openai.InternalServerError,
    ):
        with pytest.raises(kind):
            vectors(env, ["a"])
    vectors(env, ["a"])
    counters = openai_admin.counters()
    assert counters["calls"] == {"embeddings": 6}
    assert counters["answered"] == {"embeddings": 1}
    assert counters["inputs"] == 1
    assert counters["faults"] == {"429": 1, "500": 1, "400": 1, "401": 1, "503": 1}


def test_the_clients_retries_meet_the_script(env: Env, openai_admin: OpenAIAdmin) -> None:
    openai_admin.set_faults(script=["429", "500"], retry_after=0.01)
    client(env, max_retries=3).embeddings.create(model="m", input="a")
    assert openai_admin.counters()["calls"] == {"embeddings": 3}


def test_broken_bodies(env: Env, openai_admin: OpenAIAdmin) -> None:
    openai_admin.set_faults(script=["malformed", "disconnect", "hang"], hang_seconds=30)
    with pytest.raises(json.JSONDecodeError):
        vectors(env, ["a"])
    with pytest.raises(openai.APIConnectionError):
        vectors(env, ["a"])
    began = time.monotonic()
    with pytest.raises(openai.APITimeoutError):
        client(env, timeout=0.5).embeddings.create(model="m", input="a")
    assert time.monotonic() - began < 5
    vectors(env, ["a"])


def test_short_answers(env: Env, openai_admin: OpenAIAdmin) -> None:
    messages: list[Any] = [{"role": "user", "content": "one two three four five six"}]
    chat = client(env).chat.completions
    whole = chat.create(model="m", messages=messages).choices[0].message.content or ""
    openai_admin.set_faults(script=["truncated", "empty", "truncated"])
    cut = chat.create(model="m", messages=messages).choices[0]
    assert cut.finish_reason == "length"
    assert whole.startswith(cut.message.content or "-")
    assert len(cut.message.content or "") < len(whole)
    assert chat.create(model="m", messages=messages).choices == []
    raw = client(env).embeddings.with_raw_response.create(model="m", input=["a", "b"])
    assert len(json.loads(raw.text)["data"] if isinstance(raw.text, str) else raw.parse().data) == 1


def bot(env: Env, method: str, token: str | None = None, **given: Any) -> tuple[int, Any]:
    """Status and body of a call of Telegram's API."""
    base = env["OPENAI_BASE_URL"].removesuffix("/v1")
    request = urllib.request.Request(
        f"{base}/bot{token or env['OPENAI_API_KEY']}/{method}", data=json.dumps(given).encode()
    )
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_telegram_messages_are_recorded(env: Env, openai_admin: OpenAIAdmin) -> None:
    status, sent = bot(env, "sendMessage", chat_id=5, text="<b>done</b>", parse_mode="HTML")
    assert (status, sent["ok"], sent["result"]["text"]) == (200, True, "done")
    assert bot(env, "getMe")[1]["result"]["is_bot"]
    given = {"chat_id": 5, "text": "<b>done</b>", "parse_mode": "HTML"}
    assert openai_admin.messages() == [given]
    assert openai_admin.counters()["statuses"] == {"telegram": {"200": 2}}


def test_telegram_refuses_in_its_own_words(env: Env, openai_admin: OpenAIAdmin) -> None:
    status, refused = bot(env, "sendMessage", chat_id=5, text="<br>", parse_mode="HTML")
    assert status == refused["error_code"] == 400
    assert refused["description"].startswith("Bad Request: can't parse entities")
    unknown = {"ok": False, "error_code": 401, "description": "Unauthorized"}
    assert bot(env, "sendMessage", token="1:wrong", chat_id=5, text="x") == (401, unknown)
    assert bot(env, "sendPhoto", chat_id=5)[0] == 404
    openai_admin.set_faults(chat_per_second=1)
    assert bot(env, "sendMessage", chat_id=5, text="x")[0] == 200
    status, limited = bot(env, "sendMessage", chat_id=5, text="x")
    assert (status, limited["parameters"]) == (429, {"retry_after": 1})
    openai_admin.set_faults(script=["429", "500"], retry_after=3)
    assert bot(env, "getMe")[1]["parameters"] == {"retry_after": 3}
    assert bot(env, "getMe")[0] == 500
    assert len(openai_admin.messages()) == 1
