"""The outbox on Postgres with Telegram's stand-in: each alert once, late rather than lost."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from assets.frame import outbox
from assets.frame.alert_channels import Alert, TelegramChannel, WebhookChannel
from assets.frame.outbox import STORM, deliver, enqueue
from resources.advisory_locks import Lock, held
from resources.telegram import TelegramResource
from resources.webhook import WebhookResource
from tests import processes
from tests.integration.jobs.run_process import wait_until
from tests.servers import OpenAIAdmin

pytestmark = pytest.mark.servers("postgres", "openai")

Env = dict[str, str]
#: One delivery, by a process of its own.
SENDER = """
import os
from datetime import UTC, datetime
import psycopg
from assets.frame.alert_channels import TelegramChannel
from assets.frame.outbox import deliver
from resources.telegram import TelegramResource
telegram = TelegramChannel(TelegramResource(
    url=os.environ["TELEGRAM_URL"],
    bot_token=os.environ["TELEGRAM_BOT_TOKEN"],
    chat_id="5",
    timeout=60,
))
with psycopg.connect(os.environ["POSTGRES_URL"], autocommit=True) as connection:
    deliver(connection, telegram, datetime.now(UTC))
"""
NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)


@pytest.fixture
def conn(env: Env) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(env["POSTGRES_URL"], autocommit=True) as opened:
        yield opened


def bot(env: Env, **fields: Any) -> TelegramChannel:
    given = {"url": env["TELEGRAM_URL"], "bot_token": env["TELEGRAM_BOT_TOKEN"], "chat_id": "5"}
    return TelegramChannel(TelegramResource(**{**given, "timeout": 2, **fields}))


@pytest.fixture
def telegram(env: Env) -> TelegramChannel:
    return bot(env)


@pytest.fixture
def webhook(env: Env) -> WebhookChannel:
    given = {"url": env["ALERT_WEBHOOK_URL"], "token": env["ALERT_WEBHOOK_TOKEN"]}
    return WebhookChannel(WebhookResource(**given, timeout=2))


def fill(conn: psycopg.Connection[Any], count: int, first: int = 0, **fields: Any) -> None:
    for number in range(first, first + count):
        enqueue(conn, replace(Alert(f"run/{number}", f"alert {number}"), **fields), NOW)


def titles(admin: OpenAIAdmin) -> list[str]:
    return [one["text"].partition("<b>")[2].partition("</b>")[0] for one in admin.messages()]


def row(conn: psycopg.Connection[Any], key: str) -> dict[str, Any]:
    with conn.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        found = cursor.execute(
            "SELECT * FROM alerts.outbox WHERE dedupe_key = %s", (key,)
        ).fetchone()
    assert found
    return found


def test_an_alert_is_put_in_once_and_sent_once(conn, telegram, openai_admin) -> None:
    alert = Alert("run/1", "a <b> & c", "body", "error", "http://ui/runs/1")
    assert enqueue(conn, alert, NOW)
    assert not enqueue(conn, alert, NOW + timedelta(hours=1))
    assert deliver(conn, telegram, NOW).sent == 1
    assert deliver(conn, telegram, NOW).sent == 0
    assert not enqueue(conn, alert, NOW), "also once it was sent"
    [sent] = openai_admin.messages()
    assert sent["text"] == (
        '❌ <b>a &lt;b&gt; &amp; c</b>\nbody\n<a href="http://ui/runs/1">Show the run</a>'
    )
    noted = row(conn, "run/1")
    assert (noted["sent_at"], noted["message_id"], noted["attempts"]) == (NOW, 1, 1)


def test_oldest_first(conn, telegram, openai_admin) -> None:
    fill(conn, 3)
    assert deliver(conn, telegram, NOW).sent == 3
    assert titles(openai_admin) == ["alert 0", "alert 1", "alert 2"]


def test_a_429_holds_all_for_as_long_as_it_says_also_what_comes_meanwhile(
    conn, telegram, openai_admin
) -> None:
    fill(conn, 2)
    openai_admin.set_faults(script=["ok", "429"], retry_after=90)
    first = deliver(conn, telegram, NOW)
    assert (first.sent, first.waiting) == (1, 1)
    assert "429" in first.problem
    fill(conn, 1, first=2)
    held_back = deliver(conn, telegram, NOW + timedelta(seconds=89))
    assert (held_back.sent, held_back.waiting) == (0, 2)
    assert openai_admin.counters()["calls"]["telegram"] == 2, "nobody asked meanwhile"
    assert deliver(conn, telegram, NOW + timedelta(seconds=91)).sent == 2
    assert titles(openai_admin) == ["alert 0", "alert 1", "alert 2"]


def test_an_outage_is_asked_about_less_and_less_and_nothing_is_lost(
    conn, telegram, openai_admin
) -> None:
    fill(conn, 1)
    openai_admin.set_faults(rates={"500": 1.0})
    for second in range(0, 600, 5):
        deliver(conn, telegram, NOW + timedelta(seconds=second))
    # After 15, 30, 60, 120 and 240 s.
    assert openai_admin.counters()["calls"]["telegram"] == 6
    openai_admin.end_faults()
    assert deliver(conn, telegram, NOW + timedelta(hours=1)).sent == 1
    fill(conn, 1, first=1)
    openai_admin.set_faults(script=["500"])
    deliver(conn, telegram, NOW + timedelta(hours=1))
    assert deliver(conn, telegram, NOW + timedelta(hours=1, seconds=16)).sent == 1, "as new"


def test_a_wrong_token_keeps_the_alerts_until_it_is_right(
    env, conn, telegram, openai_admin
) -> None:
    fill(conn, 3)
    stranger = bot(env, bot_token="1:wrong")
    found = deliver(conn, stranger, NOW)
    assert (found.sent, found.waiting, found.given_up) == (0, 3, 0)
    assert "401" in found.problem
    assert deliver(conn, telegram, NOW + timedelta(hours=1)).sent == 3


def test_a_message_that_telegram_cannot_take_holds_no_other_back(
    conn, telegram, openai_admin
) -> None:
    fill(conn, 1, body_html="<br>")
    fill(conn, 1, first=1)
    found = deliver(conn, telegram, NOW)
    assert (found.sent, found.waiting, found.given_up) == (1, 0, 1)
    assert titles(openai_admin) == ["alert 1"]
    given_up = row(conn, "run/0")
    assert given_up["next_attempt_at"] is None
    assert "can't parse entities" in given_up["error"]
    assert deliver(conn, telegram, NOW + timedelta(days=1)).sent == 0


def test_a_storm_is_one_message_and_no_part_of_another(conn, telegram, openai_admin) -> None:
    fill(conn, STORM)
    assert deliver(conn, telegram, NOW).sent == STORM
    fill(conn, STORM + 5, first=100)
    fill(conn, 1, first=200, severity="error")
    openai_admin.clear_counters()
    assert deliver(conn, telegram, NOW).sent == 1
    [title] = titles(openai_admin)
    assert title == f"{STORM + 6} alerts at once: 1 error, {STORM + 5} info"
    [message] = openai_admin.messages()
    assert message["text"].index("alert 200") < message["text"].index("alert 100")
    storm_row = conn.execute(
        "SELECT id FROM alerts.outbox WHERE message_id = 1 AND dedupe_key LIKE 'storm%'"
    )
    [(storm_id,)] = storm_row.fetchall()
    assert row(conn, "run/100")["aggregated_into"] == storm_id
    assert outbox.waiting(conn) == 0


def test_storms_that_wait_stay_what_they_are(conn, telegram, openai_admin) -> None:
    openai_admin.set_faults(rates={"503": 1.0})
    for hour in range(3):
        fill(conn, STORM + 1, first=100 * hour)
        deliver(conn, telegram, NOW + timedelta(hours=hour))
    openai_admin.end_faults()
    assert deliver(conn, telegram, NOW + timedelta(hours=9)).sent == 3
    assert all(title.startswith(f"{STORM + 1} alerts") for title in titles(openai_admin))


def test_one_sender_at_a_time(env, conn, telegram, openai_admin) -> None:
    fill(conn, 1)
    with (
        psycopg.connect(env["POSTGRES_URL"], autocommit=True) as other,
        held(other, Lock.ALERT_SENDER),
    ):
        found = deliver(conn, telegram, NOW)
    assert (found.sent, found.waiting) == (0, 1)
    assert "another sender" in found.problem
    assert deliver(conn, telegram, NOW).sent == 1, "and the lock is free again"


def test_many_senders_send_each_once(env, conn, telegram, openai_admin) -> None:
    fill(conn, STORM)
    openai_admin.set_faults(latency=0.05)

    def tick() -> None:
        with psycopg.connect(env["POSTGRES_URL"], autocommit=True) as own:
            deliver(own, telegram, NOW)

    threads = [threading.Thread(target=tick) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(titles(openai_admin)) == sorted(f"alert {n}" for n in range(STORM))


def test_a_sender_that_dies_before_its_note_sends_again(
    env, conn, telegram, openai_admin, monkeypatch
) -> None:
    """At least once: the message is out, nobody wrote that down, so it goes out once more."""
    fill(conn, 2)

    class Killed(BaseException):
        pass

    def die(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(outbox, "_note_sent", die)
        with pytest.raises(Killed):
            deliver(conn, telegram, NOW)
    assert titles(openai_admin) == ["alert 0"]
    assert deliver(conn, telegram, NOW).sent == 2
    assert titles(openai_admin) == ["alert 0", "alert 0", "alert 1"]


def test_a_process_that_is_killed_while_it_sends_frees_the_lock_and_sends_again(
    conn, telegram, openai_admin
) -> None:
    fill(conn, 1)
    # The message is taken, and its answer held back.
    openai_admin.set_faults(script=["late"], hang_seconds=60)
    sender = processes.start([sys.executable, "-c", SENDER])
    try:
        wait_until(lambda: len(titles(openai_admin)) == 1, 60)
        assert "another sender" in deliver(conn, telegram, NOW).problem
    finally:
        sender.kill()
        sender.wait()
    wait_until(lambda: deliver(conn, telegram, NOW).sent == 1, 20)
    assert titles(openai_admin) == ["alert 0", "alert 0"]
    assert row(conn, "run/0")["sent_at"] == NOW


def test_an_answer_that_came_too_late_is_sent_again(env, conn, telegram, openai_admin) -> None:
    fill(conn, 1)
    openai_admin.set_faults(script=["late"], hang_seconds=5)
    slow = bot(env, timeout=0.5)
    assert deliver(conn, slow, NOW).sent == 0
    assert deliver(conn, telegram, NOW + timedelta(seconds=20)).sent == 1
    assert len(titles(openai_admin)) == 2


def test_each_channel_tells_each_alert_once(conn, telegram, webhook, openai_admin) -> None:
    alert = Alert("batch/1", "a <b> & c", "<b>stopped</b> &amp; waits", "error", "http://ui/1")
    assert enqueue(conn, alert, NOW, ["telegram"])
    assert enqueue(conn, alert, NOW, ["telegram", "webhook"]), "new to the webhook"
    assert not enqueue(conn, alert, NOW, ["telegram", "webhook"])
    assert [deliver(conn, channel, NOW).sent for channel in (telegram, webhook) * 2] == [1, 1, 0, 0]
    assert len(titles(openai_admin)) == 1
    assert openai_admin.hooked() == [
        {
            "key": "batch/1",
            "severity": "error",
            "title": "a <b> & c",
            "text": "a <b> & c\nstopped & waits\nhttp://ui/1",
            "link": "http://ui/1",
        }
    ]


def test_one_channel_away_holds_no_other_back(conn, telegram, webhook, openai_admin) -> None:
    openai_admin.set_faults(rates={"503": 1.0}, endpoints=["webhook"])
    for number in range(STORM + 1):
        enqueue(conn, Alert(f"run/{number}", f"alert {number}"), NOW, ["telegram", "webhook"])
    away = deliver(conn, webhook, NOW)
    assert (away.sent, away.waiting) == (0, 1), "a storm of its own"
    assert "status 503" in away.problem
    assert deliver(conn, telegram, NOW).sent == 1
    openai_admin.end_faults()
    assert deliver(conn, webhook, NOW + timedelta(minutes=1)).sent == 1
    [message] = openai_admin.hooked()
    assert message["title"] == titles(openai_admin)[0] == f"{STORM + 1} alerts at once: 11 info"


def test_a_webhook_that_died_after_it_took_a_message_takes_it_once(
    conn, webhook, openai_admin, monkeypatch
) -> None:
    """It is sent again, and its key says that it was."""
    enqueue(conn, Alert("run/1", "alert"), NOW, ["webhook"])

    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(outbox, "_note_sent", die)
        with pytest.raises(KeyboardInterrupt):
            deliver(conn, webhook, NOW)
    assert deliver(conn, webhook, NOW).sent == 1
    assert len(openai_admin.hooked()) == 1


@pytest.mark.parametrize(("status", "given_up"), [("400", 1), ("401", 0), ("403", 0)])
def test_what_a_webhook_refuses(conn, webhook, openai_admin, status, given_up) -> None:
    """The message alone, or whoever we are."""
    enqueue(conn, Alert("run/1", "alert"), NOW, ["webhook"])
    openai_admin.set_faults(script=[status])
    found = deliver(conn, webhook, NOW)
    assert (found.given_up, found.waiting) == (given_up, 1 - given_up)
    assert webhook.webhook.token not in (row(conn, "run/1")["error"] or "")
