"""A page of counts, and what is no such page."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from resources.pubsub_counts import BrokerCounts, PubSubCountsResource

PAGE = {
    "topics": {"projects/p/topics/t": {"published": 12}},
    "subscriptions": {"projects/p/subscriptions/s": {"num_undelivered_messages": 3}},
}


@pytest.fixture
def serve():
    """A function that serves one text, and gives its address."""
    servers = []

    def start(text):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_args):
                """Nothing is logged."""

        server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/counts"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_counts_by_full_name(serve):
    counts = PubSubCountsResource(url=serve(json.dumps(PAGE))).read()
    assert counts == BrokerCounts({"projects/p/topics/t": 12}, {"projects/p/subscriptions/s": 3})


def test_nobody_tells_counts():
    assert PubSubCountsResource().read() is None


@pytest.mark.parametrize("text", ["<html>", "[]", '{"topics": {"t": {}}, "subscriptions": {}}'])
def test_another_page_is_not_taken_for_none(serve, text):
    with pytest.raises(ValueError, match="is no page of counts"):
        PubSubCountsResource(url=serve(text)).read()


def test_an_address_that_is_no_web_address_is_refused():
    with pytest.raises(ValueError, match="no web address"):
        PubSubCountsResource(url="file:///etc/passwd").read()
