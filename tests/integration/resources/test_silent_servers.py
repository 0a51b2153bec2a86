"""Servers that stop answering in the middle of a call: each client gives up within its bound.

None is told apart by a clock: a client without a bound would hang until the test's own time is up.
"""

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from landing.batch.failures import classify
from resources.bigquery import BigQueryResource, run
from resources.milvus import MilvusResource
from resources.mongo import MongoResource
from resources.neo4j import Neo4jResource
from tests.tcp_proxy import TcpProxy


@pytest.fixture
def proxied() -> Iterator[Callable[[str], tuple[TcpProxy, str]]]:
    """A proxy before the server at an address, and the address of the proxy."""
    proxies: list[TcpProxy] = []

    def before(url: str) -> tuple[TcpProxy, str]:
        parts = urlsplit(url)
        proxy = TcpProxy((parts.hostname or "", parts.port or 0))
        proxies.append(proxy.__enter__())
        return proxy, url.replace(f"{parts.hostname}:{parts.port}", proxy.address)

    yield before
    for proxy in proxies:
        proxy.__exit__(None, None, None)


def silenced(proxy: TcpProxy, call: Callable[[], Any]) -> str:
    """The class of what a call raises once the server, which has answered it, is silent."""
    call()
    proxy.freeze()
    with pytest.raises(Exception) as raised:  # noqa: PT011 - any, as long as it comes
        call()
    return classify(raised.value)


@pytest.mark.servers("milvus")
def test_milvus(env, proxied) -> None:
    proxy, uri = proxied(env["MILVUS_URI"])
    client = MilvusResource(uri=uri, timeout=1).client()
    client.create_collection("silent", dimension=2)
    assert client.list_indexes("silent") == ["vector"]
    assert silenced(proxy, client.list_collections) == "transient"
    for call in (client.list_indexes, client.flush, client.describe_collection):
        with pytest.raises(Exception) as raised:  # noqa: PT011
            call("silent")
        assert classify(raised.value) == "transient"


@pytest.mark.servers("bolt")
def test_neo4j(env, proxied) -> None:
    proxy, uri = proxied(env["NEO4J_URI"])
    resource = Neo4jResource(
        uri=uri, user=env["NEO4J_USER"], password=env["NEO4J_PASSWORD"], read_timeout=1
    )
    with resource.driver() as driver:
        session = driver.session(database=resource.database)
        assert silenced(proxy, lambda: session.run("RETURN 1").consume()) == "transient"
        proxy.thaw()


@pytest.mark.servers("mongo")
def test_mongodb(env, proxied) -> None:
    proxy, uri = proxied(env["MONGO_URI"])
    managed: Any = MongoResource(uri=uri, connect_timeout=1, operation_timeout=1).client()
    with managed as client:
        assert silenced(proxy, lambda: client.admin.command("ping")) == "transient"


@pytest.mark.servers("bigquery")
def test_bigquery(env, proxied) -> None:
    proxy, endpoint = proxied(env["BIGQUERY_API_ENDPOINT"])
    resource = BigQueryResource(
        project=env["GOOGLE_CLOUD_PROJECT"],
        api_endpoint=endpoint,
        request_timeout=1,
        call_seconds=2,
    )
    with resource.client() as client:
        assert silenced(proxy, lambda: run(client, "SELECT 1 AS one")) == "transient"
        # However long a caller would go on: its own 600 s, or none.
        with pytest.raises(Exception) as raised:  # noqa: PT011
            client.get_table("d.t")
        assert classify(raised.value) == "transient"


@pytest.mark.servers("bigquery")
def test_bigquery_that_is_away(env, proxied) -> None:
    proxy, endpoint = proxied(env["BIGQUERY_API_ENDPOINT"])
    resource = BigQueryResource(
        project=env["GOOGLE_CLOUD_PROJECT"], api_endpoint=endpoint, call_seconds=1
    )
    with resource.client() as client:
        run(client, "SELECT 1 AS one")
        proxy.cut()
        with pytest.raises(Exception) as raised:  # noqa: PT011
            run(client, "SELECT 1 AS one")
        assert classify(raised.value) == "transient"
