"""What a pool and its workers say to each other, over a pipe.

Belongs here: the messages and their bytes. Does not: sending them. They are no pickles: a worker
decodes strangers' files, and what it says must not run in its parent.
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from assets.images.processing.operation import Item, Limits, Operation, Outcome


@dataclass(frozen=True, slots=True)
class Setup:
    """What a worker is told once. ``function`` is a path, ``module:name``, like ``transform``'s.

    ``patience`` is how many seconds the store may give no answer.
    """

    operation: Operation
    limits: Limits
    source: str
    target: str
    endpoint: str
    access_key: str
    secret_key: str
    threads: int
    niceness: int
    patience: float
    function: str


@dataclass(frozen=True, slots=True)
class Report:
    """What a worker says: what came of some items, and why it can do no more, if it cannot.

    ``alone`` are items that had no room beside others. ``failure`` is the store's or a defect's;
    ``lasting`` when another attempt won't help.
    """

    outcomes: tuple[Outcome, ...] = ()
    alone: tuple[int, ...] = ()
    failure: str = ""
    lasting: bool = False


_encoder = msgspec.msgpack.Encoder()
_setups = msgspec.msgpack.Decoder(Setup)
_items = msgspec.msgpack.Decoder(list[Item])
_reports = msgspec.msgpack.Decoder(Report)


def write(message: Setup | Report | list[Item]) -> bytes:
    """The bytes of a message."""
    return _encoder.encode(message)


def read_setup(data: bytes) -> Setup:
    """Raises msgspec.MsgspecError."""
    return _setups.decode(data)


def read_items(data: bytes) -> list[Item]:
    """Raises msgspec.MsgspecError."""
    return _items.decode(data)


def read_report(data: bytes) -> Report:
    """Raises msgspec.MsgspecError."""
    return _reports.decode(data)
