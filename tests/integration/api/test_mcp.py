"""The tools over MCP, asked by the SDK's own client over HTTP, against what the routes answer."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx2
import psycopg
import pytest
import uvicorn
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from api import keys, tools
from api.app import create_app
from tests.integration.api.operations import operations
from tests.tcp_proxy import TcpProxy

pytestmark = pytest.mark.xdist_group("filled stores")
LIST = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
ENGAGEMENT = {
    "jsonrpc": "2.0", "id": 2, "method": "tools/call",
    "params": {"name": "user_engagement", "arguments": {"user_id": "user_1"}},
}  # fmt: skip


@contextmanager
def served(monkeypatch):
    """The address of the application, which speaks MCP, on a port of its own."""
    monkeypatch.setenv("QUINTET_MCP", "on")
    server = uvicorn.Server(uvicorn.Config(create_app(), port=0, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            thread.join(0.05)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def key(filled):
    return made(filled, "read")


def made(env, *scopes, per_minute=100_000):
    with psycopg.connect(env["POSTGRES_URL"], autocommit=True) as connection:
        return keys.make(connection, "mcp", scopes, requests_per_minute=per_minute)


def headers(key):
    return {"Authorization": f"Bearer {key}"}


def asked(address, key, talk):
    """What ``talk`` returns of a client that is connected."""

    async def talked():
        async with (
            httpx2.AsyncClient(headers=headers(key), timeout=60) as http,
            Client(streamable_http_client(f"{address}/mcp", http_client=http)) as client,
        ):
            return await talk(client)

    return asyncio.run(talked())


def posted(address, key, message):
    accepts = {"Accept": "application/json, text/event-stream"}
    return httpx2.post(
        f"{address}/mcp", json=message, headers={**headers(key), **accepts}, timeout=60
    )


def called(address, key, calls):
    async def talk(client):
        return [await client.call_tool(name, arguments) for name, arguments in calls]

    return asked(address, key, talk)


def test_every_tool_answers_as_its_route(key, monkeypatch):
    reads = {one.path: one for one in operations() if one.method == "get"}
    calls = {name: reads[path].values() for name, path in tools.PATHS.items()}

    async def listed(client):
        return (await client.list_tools()).tools

    with served(monkeypatch) as address, httpx2.Client(base_url=address) as http:
        http.headers.update(headers(key))
        found = {one.name: one for one in asked(address, key, listed)}
        assert found.keys() == calls.keys()
        # The client holds each answer against the schema that the tool has.
        answers = called(address, key, calls.items())
        for (name, values), answer in zip(calls.items(), answers, strict=True):
            assert found[name].annotations.read_only_hint
            assert found[name].description
            assert set(values) <= found[name].input_schema["properties"].keys()
            assert not answer.is_error, (name, answer.content)
            route = reads[tools.PATHS[name]].asked(http, values)
            assert route.status_code == 200
            said = answer.structured_content
            assert said == (
                route.json() if "$ref" in body(reads, name) else {"answer": route.json()}
            )


def body(reads, name):
    said = reads[tools.PATHS[name]].says["responses"]["200"]
    return said["content"]["application/json"]["schema"]


def test_a_problem_is_a_tool_s_error_with_its_code_and_what_to_do(key, monkeypatch):
    calls = {
        ("user_campaigns", ("user_id", "nobody")): "unknown_user",
        ("user_campaigns", ("user_id", "user_1\x00")): "invalid_request",
        ("user_campaigns", ("user_id", "")): "invalid_request",
        ("user_campaigns", ("user", "user_1")): "invalid_request",
        ("user_campaigns", ("user_id", ("a", "b"))): "invalid_request",
        ("similar_users", ("user_id", "'}) DETACH DELETE n //")): "unknown_user",
        ("image_task", ("task_id", "../../operations/batches")): "not_found",
        ("cancel", ("task_id", "shoes")): "unknown_tool",
    }
    with served(monkeypatch) as address:
        found = called(address, key, [(name, dict([one])) for name, one in calls])
    for (asking, code), answer in zip(calls.items(), found, strict=True):
        assert answer.is_error, asking
        problem = answer.structured_content
        assert problem["code"] == code, asking
        assert problem["next"] in answer.content[0].text
        assert code in answer.content[0].text


def test_a_store_that_is_away_is_named_and_others_answer(filled, key, monkeypatch):
    there = urlsplit(filled["OPENAI_BASE_URL"])
    calls = [
        ("search_lyrics", {"q": "a river"}), ("user_engagement", {"user_id": "user_1"}),
    ]  # fmt: skip
    with TcpProxy((there.hostname, there.port)) as proxy:
        monkeypatch.setenv(
            "OPENAI_BASE_URL",
            filled["OPENAI_BASE_URL"].replace(f"{there.hostname}:{there.port}", proxy.address),
        )
        with served(monkeypatch) as address:
            assert not any(one.is_error for one in called(address, key, calls))
            proxy.cut()
            away, answered = called(address, key, calls)
    assert away.is_error
    problem = away.structured_content
    assert (problem["code"], problem["system"]) == ("store_unavailable", "openai")
    assert not answered.is_error


def test_keys_scopes_and_limits_are_those_of_the_routes(filled, key, monkeypatch):
    few = made(filled, "read", per_minute=3)
    writer = made(filled, "write")
    with served(monkeypatch) as address:
        for wrong in ("none", "qk_other.secret", key + "x"):
            refused = posted(address, wrong, LIST)
            assert (refused.status_code, refused.json()["code"]) == (401, "key_required")
        refused = posted(address, writer, LIST)
        assert (refused.status_code, refused.json()["code"]) == (403, "scope_missing")
        with pytest.raises(BaseException):  # noqa: B017, PT011  the SDK's, of a group
            asked(address, "qk_other.secret", lambda client: client.list_tools())
        # A call is one request of the key, not another one for its route.
        statuses = [posted(address, few, ENGAGEMENT).status_code for _ in range(4)]
        assert statuses == [200, 200, 200, 429]
        route = f"{address}/v1/campaigns/users/user_1/engagement"
        assert httpx2.get(route, headers=headers(few)).status_code == 429
        assert httpx2.get(f"{address}/mcp", headers=headers(key)).status_code == 405


def test_it_is_not_spoken_unless_wanted(asking):
    assert asking.post("/mcp", json=LIST).status_code == 404
