"""Batches of the OpenAI-compatible server through OpenAI's client, in each of their endings."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from tests.servers import OpenAIAdmin

pytestmark = pytest.mark.servers("openai")

Env = dict[str, str]
ENDPOINT: Any = "/v1/chat/completions"
TERMINAL = {"completed", "failed", "expired", "cancelled"}


@pytest.fixture
def client(env: Env) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=env["OPENAI_BASE_URL"], api_key=env["OPENAI_API_KEY"], max_retries=0, timeout=10
    ) as made:
        yield made


def line(number: int, **fields: Any) -> dict[str, Any]:
    content = json.dumps({"domain": f"shop{number}.example", "aov": "75–100"}, ensure_ascii=False)
    body = {"model": "any", "messages": [{"role": "user", "content": content}]}
    return {"custom_id": f"c{number}", "method": "POST", "url": ENDPOINT, "body": body, **fields}


def upload(client: openai.OpenAI, lines: list[Any], name: str = "in.jsonl") -> str:
    content = "".join(f"{json.dumps(one)}\n" for one in lines).encode()
    return client.files.create(file=(name, content), purpose="batch").id


def create(client: openai.OpenAI, file_id: str, **options: Any) -> Any:
    return client.batches.create(
        input_file_id=file_id, endpoint=ENDPOINT, completion_window="24h", **options
    )


def ended(client: openai.OpenAI, batch_id: str) -> Any:
    end = time.monotonic() + 30
    while (batch := client.batches.retrieve(batch_id)).status not in TERMINAL:
        assert time.monotonic() < end, batch.status
        time.sleep(0.02)
    return batch


def lines_of(client: openai.OpenAI, file_id: str | None) -> list[dict[str, Any]]:
    if file_id is None:
        return []
    return [json.loads(one) for one in client.files.content(file_id).text.splitlines()]


def texts(lines: list[dict[str, Any]]) -> dict[str, str]:
    return {
        one["custom_id"]: one["response"]["body"]["choices"][0]["message"]["content"]
        for one in lines
    }


def test_files_are_kept_listed_and_forgotten(client: openai.OpenAI) -> None:
    content = b"--x\r\n\xff" * 5
    made = client.files.create(
        file=("odd name.jsonl", content),
        purpose="batch",
        expires_after={"anchor": "created_at", "seconds": 7200},
    )
    assert (made.bytes, made.filename) == (len(content), "odd name.jsonl")
    assert made.expires_at == made.created_at + 7200
    assert client.files.content(made.id).content == content
    others = [upload(client, [line(number)]) for number in range(3)]
    # Two a page: the client asks for the next one by itself.
    listed = [one.id for one in client.files.list(purpose="batch", limit=2, order="asc")]
    assert listed == [made.id, *others]
    assert [one.id for one in client.files.list(limit=2)] == listed[::-1]
    assert client.files.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.content(made.id)
    assert len(list(client.files.list())) == 3


def test_every_line_is_answered_in_another_order_at_half_the_price(
    client: openai.OpenAI, openai_admin: OpenAIAdmin
) -> None:
    made = create(client, upload(client, [line(n) for n in range(60)]), metadata={"key": "k"})
    assert made.status == "validating"
    batch = ended(client, made.id)
    assert batch.status == "completed"
    assert batch.metadata == {"key": "k"}
    assert batch.error_file_id is None
    assert batch.request_counts.completed == batch.request_counts.total == 60
    assert batch.created_at <= batch.in_progress_at <= batch.completed_at
    lines = lines_of(client, batch.output_file_id)
    assert [one["custom_id"] for one in lines] != [f"c{n}" for n in range(60)]
    assert all(f"shop{name[1:]}.example" in text for name, text in texts(lines).items())
    counters = openai_admin.counters()
    assert counters["batches"] == 1
    assert counters["batch_calls"] == len(texts(lines)) == 60
    assert counters["paid_calls"] == counters["prompt_tokens"] == 0
    asked: Any = line(7)["body"]["messages"]
    alone = client.chat.completions.create(model="any", messages=asked)
    assert alone.choices[0].message.content == texts(lines)["c7"]
    assert openai_admin.counters()["paid_twice"] == 1


@pytest.mark.parametrize(
    ("mode", "status", "counts"),
    [
        ("mixed", "completed", (36, 4)),
        ("expired", "expired", (20, 20)),
        ("all_failed", "completed", (0, 40)),
        ("no_error_file", "completed", (36, 0)),
    ],
)
def test_batches_that_end_otherwise(
    client: openai.OpenAI,
    openai_admin: OpenAIAdmin,
    mode: str,
    status: str,
    counts: tuple[int, int],
) -> None:
    answered, listed = counts
    openai_admin.set_faults(batch_mode=mode)
    batch = ended(client, create(client, upload(client, [line(n) for n in range(40)])).id)
    assert batch.status == status
    good = lines_of(client, batch.output_file_id)
    bad = lines_of(client, batch.error_file_id)
    assert (len(texts(good)), len(bad)) == (answered, listed)
    assert (batch.output_file_id is None) == (answered == 0)
    assert (batch.error_file_id is None) == (listed == 0)
    assert batch.request_counts.failed == 40 - answered
    assert openai_admin.counters()["batch_calls"] == answered
    assert all(one["error"] or one["response"]["status_code"] == 500 for one in bad)
    if mode == "expired":
        assert {one["error"]["code"] for one in bad} == {"batch_expired"}


def test_faults_of_lines(client: openai.OpenAI, openai_admin: OpenAIAdmin) -> None:
    openai_admin.set_faults(script=["429", "refusal"], endpoints=["batch_line"])
    batch = ended(client, create(client, upload(client, [line(n) for n in range(3)])).id)
    [refused] = lines_of(client, batch.error_file_id)
    assert refused["response"]["body"]["error"]["code"] == "rate_limit_exceeded"
    assert texts(lines_of(client, batch.output_file_id))["c1"] is None


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ([], "empty_file"),
        ([line(0), line(0)], "duplicate_custom_id"),
        ([line(0, url="/v1/embeddings")], "mismatched_endpoint"),
        ([line(0, custom_id="")], "missing_required_parameter"),
        (["no object"], "invalid_request"),
        ([line(0), line(1, body={"model": "b"})], "mismatched_model"),
    ],
)
def test_a_file_that_is_no_batch(client: openai.OpenAI, lines: list[Any], code: str) -> None:
    batch = ended(client, create(client, upload(client, lines)).id)
    assert batch.status == "failed"
    assert code in {error.code for error in batch.errors.data}
    assert batch.output_file_id is None


@pytest.mark.parametrize(
    "metadata",
    [{str(n): "x" for n in range(17)}, {"k" * 65: "x"}, {"k": "x" * 513}],
    ids=["pairs", "key", "value"],
)
def test_metadata_beyond_the_limits(client: openai.OpenAI, metadata: dict[str, str]) -> None:
    with pytest.raises(openai.BadRequestError):
        create(client, upload(client, [line(0)]), metadata=metadata)
    create(client, upload(client, [line(0)]), metadata={"k" * 64: "x" * 512})


def test_a_create_that_hangs_has_made_the_batch(
    client: openai.OpenAI, openai_admin: OpenAIAdmin
) -> None:
    file_id = upload(client, [line(0)])
    openai_admin.set_faults(script=["hang"], endpoints=["batch_create"], hang_seconds=5)
    with pytest.raises(openai.APITimeoutError):
        create(client.with_options(timeout=0.5), file_id, metadata={"key": "k"})
    [batch] = client.batches.list()
    assert batch.metadata == {"key": "k"}
    assert openai_admin.counters()["batches"] == 1


def test_batches_are_listed_by_pages_newest_first(client: openai.OpenAI) -> None:
    file_id = upload(client, [line(0)])
    made = [create(client, file_id).id for _ in range(5)]
    assert [one.id for one in client.batches.list(limit=2)] == made[::-1]
    assert [one.id for one in client.batches.list(after=made[2])] == made[1::-1]


def test_a_cancelled_batch(client: openai.OpenAI, openai_admin: OpenAIAdmin) -> None:
    openai_admin.set_faults(batch_delay=1.0)
    made = create(client, upload(client, [line(n) for n in range(10)]))
    assert client.batches.cancel(made.id).status == "cancelling"
    batch = ended(client, made.id)
    assert batch.status == "cancelled"
    assert openai_admin.counters()["batch_calls"] == batch.request_counts.completed == 0
    with pytest.raises(openai.ConflictError):
        client.batches.cancel(made.id)


def test_another_key_sees_neither_files_nor_batches(env: Env, client: openai.OpenAI) -> None:
    made = create(client, upload(client, [line(0)]))
    other = client.with_options(api_key=env["OPENAI_API_KEY"] + "x")
    assert list(other.files.list()) == list(other.batches.list()) == []
    with pytest.raises(openai.NotFoundError):
        other.batches.retrieve(made.id)
