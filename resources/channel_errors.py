"""What keeps a channel from taking a message: something that passes, or something that stays.

Belongs here: these two, which every channel raises. Does not: any channel (``telegram.py``,
``webhook.py``), or what is done about it (``assets/frame/outbox.py``).
"""

from __future__ import annotations


class ChannelUnavailableError(Exception):
    """It may take the message later, after ``retry_after`` seconds; 0 when it does not say."""

    def __init__(self, message: str, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ChannelRefusedError(Exception):
    """It will not take the message, whenever it is asked.

    ``about_message``: the message is at fault; else the address, or who we are.
    """

    def __init__(self, message: str, *, about_message: bool) -> None:
        super().__init__(message)
        self.about_message = about_message
