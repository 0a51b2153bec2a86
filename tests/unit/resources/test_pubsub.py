"""Pub/Sub's resource: names, and where its clients connect."""

from __future__ import annotations

import pytest
from google.auth.credentials import AnonymousCredentials

from resources.pubsub import PubSubResource


def test_full_names() -> None:
    resource = PubSubResource(project="p")
    assert resource.topic_path("a-b_c.9") == "projects/p/topics/a-b_c.9"
    assert resource.subscription_path("abc") == "projects/p/subscriptions/abc"


@pytest.mark.parametrize("name", ["", "ab", "1abc", "google", "a/b", "a b c", "x" * 256])
def test_names_that_pub_sub_does_not_allow(name: str) -> None:
    for path in (
        PubSubResource(project="p").topic_path,
        PubSubResource(project="p").subscription_path,
    ):
        with pytest.raises(ValueError, match="not a name"):
            path(name)


@pytest.mark.parametrize("host", ["", "127.0.0.1:9"])
def test_clients_connect_to_google_or_to_the_emulator(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PUBSUB_EMULATOR_HOST", raising=False)
    monkeypatch.setattr("google.auth.default", lambda *_, **__: (AnonymousCredentials(), "p"))
    channels = []
    monkeypatch.setattr(
        PubSubResource, "_channel", lambda self: channels.append(self.emulator_host)
    )
    insecure = []
    for kind in ("publisher", "subscriber"):
        monkeypatch.setattr(
            f"google.pubsub_v1.services.{kind}.transports.{kind.title()}GrpcTransport.__init__",
            _recording(insecure),
        )
    resource = PubSubResource(project="p", emulator_host=host)
    for make in (resource.publisher, resource.subscriber):
        with pytest.raises(_Stop):
            make()
    assert channels == ([host, host] if host else [])
    assert ["channel" in arguments for arguments in insecure] == [bool(host)] * 2
    if not host:
        assert [arguments["host"] for arguments in insecure] == ["pubsub.googleapis.com"] * 2


class _Stop(Exception):
    pass


def _recording(calls: list[dict[str, object]]):
    def init(self: object, **arguments: object) -> None:
        calls.append(arguments)
        raise _Stop

    return init
