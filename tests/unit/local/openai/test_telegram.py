"""Telegram's rules in the stand-in: its HTML, its lengths, its pace."""

from __future__ import annotations

import pytest

from local.fault_plan import FaultPlan
from local.openai.account import Account
from local.openai.telegram import TelegramError, send
from local.openai.telegram_html import BadEntitiesError, shown


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("a <b>bold</b> &amp; <a href='http://x'>link</a>", "a bold & link"),
        ("1 &lt; 2 &#62; 0 &nbsp; & &amp;lt;", "1 < 2 > 0 &nbsp; & &lt;"),
        ("<pre><code class='language-python'>x</code></pre>", "x"),
        ("<b>a <i>b</i></b>", "a b"),
    ],
)
def test_what_is_shown(text: str, plain: str) -> None:
    assert shown(text) == plain


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<br>", 'Unsupported start tag "br"'),
        ("é <p>x</p>", "byte offset 3"),
        ("1 < 2", "Unclosed start tag"),
        ("<b>x", "Can't find end tag"),
        ("<b><i>x</b></i>", "Unmatched end tag"),
        ("x</b>", "Unexpected end tag"),
        ("<span>x</span>", "tg-spoiler"),
    ],
)
def test_what_telegram_cannot_parse(text: str, said: str) -> None:
    with pytest.raises(BadEntitiesError, match=said):
        shown(text)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"text": "x"}, "chat_id is empty"),
        ({"chat_id": 5}, "text is empty"),
        ({"chat_id": 5, "text": " \n"}, "text is empty"),
        ({"chat_id": 5, "text": "<b> </b>", "parse_mode": "HTML"}, "text is empty"),
        ({"chat_id": 5, "text": "x" * 4097}, "too long"),
        ({"chat_id": 5, "text": "🎉" * 2049}, "too long"),
        ({"chat_id": 5, "text": "<br>", "parse_mode": "HTML"}, "can't parse entities"),
        ({"chat_id": 5, "text": "x", "parse_mode": "Word"}, "parse_mode"),
    ],
)
def test_what_is_refused(given: dict[str, object], said: str) -> None:
    account = Account()
    with pytest.raises(TelegramError, match=said) as refused:
        send(account, given)
    assert refused.value.body()["error_code"] == 400
    assert account.sent == []


def test_tags_and_entities_do_not_count() -> None:
    text = "<b>" + "&amp;" * 4096 + "</b>"
    assert send(Account(), {"chat_id": 5, "text": text, "parse_mode": "HTML"})["ok"]


def test_a_chat_takes_as_many_as_the_plan_says() -> None:
    account = Account(plan=FaultPlan(chat_per_second=1, chat_per_minute=3))
    message = {"chat_id": 5, "text": "x"}
    send(account, message, 100.0)
    with pytest.raises(TelegramError) as second:
        send(account, message, 100.5)
    assert second.value.body()["parameters"] == {"retry_after": 1}
    send(account, {**message, "chat_id": 6}, 100.5)
    send(account, message, 101.0)
    send(account, message, 102.0)
    with pytest.raises(TelegramError) as fourth:
        send(account, message, 110.0)
    assert fourth.value.retry_after == 50
    send(account, message, 160.0)
