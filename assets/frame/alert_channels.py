"""Alerts in the shape of each channel, and which channels there are.

Belongs here: from an alert to what a channel is given. Does not: the calls (``resources``), what
waits (``outbox.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from assets.frame import alert_text
from resources.telegram import TelegramResource
from resources.webhook import WebhookResource

Severity = Literal["info", "warning", "error"]

TELEGRAM, WEBHOOK = "telegram", "webhook"


@dataclass(frozen=True, slots=True)
class Alert:
    """What is told once. ``dedupe_key`` names what it is about, ``title`` is plain text."""

    dedupe_key: str
    title: str
    body_html: str = ""
    severity: Severity = "info"
    link: str | None = None


class Channel(Protocol):
    """Where alerts are told."""

    @property
    def name(self) -> str:
        """What the outbox calls it."""
        ...

    def send(self, alert: Alert) -> int | None:
        """Tell one; the channel's own number of the message, if it gives one.

        Raises ChannelUnavailableError and ChannelRefusedError.
        """
        ...


@dataclass(frozen=True, slots=True)
class TelegramChannel:
    """One chat of Telegram."""

    telegram: TelegramResource
    name: str = TELEGRAM

    def send(self, alert: Alert) -> int | None:
        """See :class:`Channel`."""
        text = alert_text.message(alert.severity, alert.title, alert.body_html, alert.link)
        return self.telegram.send(text)


@dataclass(frozen=True, slots=True)
class WebhookChannel:
    """One address that takes JSON: key, severity, title, text (plain, title included) and link."""

    webhook: WebhookResource
    name: str = WEBHOOK

    def send(self, alert: Alert) -> int | None:
        """See :class:`Channel`."""
        message = {
            "key": alert.dedupe_key,
            "severity": alert.severity,
            "title": alert.title,
            "text": alert_text.plain(alert.title, alert.body_html, alert.link),
            "link": alert.link,
        }
        self.webhook.send(message, alert.dedupe_key)
        return None


def channels(telegram: TelegramResource, webhook: WebhookResource) -> tuple[Channel, ...]:
    """Those that are configured."""
    found: list[Channel] = []
    if telegram.configured:
        found.append(TelegramChannel(telegram))
    if webhook.configured:
        found.append(WebhookChannel(webhook))
    return tuple(found)


def names(told: Sequence[Channel]) -> tuple[str, ...]:
    """Under which an alert is put into the outbox; Telegram's, where it waits, without any."""
    return tuple(channel.name for channel in told) or (TELEGRAM,)
