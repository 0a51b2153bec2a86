"""Telegram through our resource: what is sent, what comes back, and no token anywhere."""

from __future__ import annotations

import logging
import traceback

import pytest

from resources.channel_errors import ChannelRefusedError, ChannelUnavailableError
from resources.telegram import TelegramResource
from tests.servers import OpenAIAdmin

pytestmark = pytest.mark.servers("openai")

Env = dict[str, str]


@pytest.fixture
def telegram(env: Env) -> TelegramResource:
    return TelegramResource(
        url=env["TELEGRAM_URL"],
        bot_token=env["TELEGRAM_BOT_TOKEN"],
        chat_id=env["TELEGRAM_CHAT_ID"],
        timeout=2,
    )


def test_a_message_arrives_as_html(telegram: TelegramResource, openai_admin: OpenAIAdmin) -> None:
    assert telegram.send("<b>done</b> &amp; dusted") == 1
    assert telegram.send("again") == 2
    first, _ = openai_admin.messages()
    assert (first["text"], first["parse_mode"]) == ("<b>done</b> &amp; dusted", "HTML")
    assert str(first["chat_id"]) == telegram.chat_id


@pytest.mark.parametrize(
    ("kind", "wait"), [("429", 7.0), ("500", 0.0), ("503", 0.0), ("408", 0.0), ("malformed", 0.0)]
)
def test_later(
    telegram: TelegramResource, openai_admin: OpenAIAdmin, kind: str, wait: float
) -> None:
    openai_admin.set_faults(script=[kind], retry_after=7)
    with pytest.raises(ChannelUnavailableError) as later:
        telegram.send("x")
    assert later.value.retry_after == wait
    assert openai_admin.messages() == []


@pytest.mark.parametrize("kind", ["hang", "disconnect"])
def test_no_answer_is_later(
    telegram: TelegramResource, openai_admin: OpenAIAdmin, kind: str
) -> None:
    openai_admin.set_faults(script=[kind], hang_seconds=5)
    with pytest.raises(ChannelUnavailableError):
        TelegramResource(**{**dict(telegram), "timeout": 0.5}).send("x")


@pytest.mark.parametrize(("text", "about"), [("<br>", True), ("x" * 4097, True), ("", True)])
def test_a_message_that_nobody_could_send(
    telegram: TelegramResource, text: str, about: bool
) -> None:
    with pytest.raises(ChannelRefusedError) as refused:
        telegram.send(text)
    assert refused.value.about_message is about


@pytest.mark.parametrize("kind", ["401", "403"])
def test_who_we_are_is_refused(
    telegram: TelegramResource, openai_admin: OpenAIAdmin, kind: str
) -> None:
    openai_admin.set_faults(script=[kind])
    with pytest.raises(ChannelRefusedError) as refused:
        telegram.send("x")
    assert not refused.value.about_message


def test_the_token_is_in_no_error_log_or_repr(
    env: Env,
    telegram: TelegramResource,
    openai_admin: OpenAIAdmin,
    caplog: pytest.LogCaptureFixture,
) -> None:
    token = env["TELEGRAM_BOT_TOKEN"]
    caplog.set_level(logging.DEBUG)
    openai_admin.set_faults(script=["500", "hang", "401"], hang_seconds=5)
    said = [repr(telegram), str(telegram)]
    away = TelegramResource(url="http://127.0.0.1:9", bot_token=token, chat_id="1")
    broken = TelegramResource(url="http://[::1", bot_token=token, chat_id="1")
    slow = TelegramResource(**{**dict(telegram), "timeout": 0.5})
    for resource in (telegram, slow, telegram, away, broken):
        with pytest.raises((ChannelUnavailableError, ChannelRefusedError)) as raised:
            resource.send("x")
        said.append("".join(traceback.format_exception(raised.value)))
    telegram.send("x")
    logged = [record.getMessage() for record in caplog.records]
    assert any("/bot***/sendMessage" in line for line in logged)
    assert not [line for line in (*said, *logged) if token in line]


def test_check(env: Env, telegram: TelegramResource) -> None:
    assert telegram.check() == f"Telegram at {env['TELEGRAM_URL']}, as @quintet_local_bot"
    assert "wait in the outbox" in TelegramResource().check()
    with pytest.raises(ChannelRefusedError, match="401"):
        TelegramResource(url=env["TELEGRAM_URL"], bot_token="1:x", chat_id="1").check()
