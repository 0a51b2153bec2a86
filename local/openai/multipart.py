"""Reads multipart/form-data, held in memory.

Belongs here: splitting a body into its fields. Does not: what the fields mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from email.message import Message

from local.openai.errors import invalid


@dataclass(frozen=True)
class Part:
    """One field; ``filename`` is None for one that is no file."""

    filename: str | None
    content: bytes


def fields(content_type: str, body: bytes) -> dict[str, Part]:
    """The parts by name, the last of each. Raises RefusedError (400) for what is no form."""
    header = Message()
    header["content-type"] = content_type
    boundary = header.get_param("boundary")
    if header.get_content_type() != "multipart/form-data" or not isinstance(boundary, str):
        raise invalid("Content-Type: multipart/form-data with a boundary")
    mark = b"\r\n--" + boundary.encode()
    # The first boundary has no line end before it.
    pieces = (b"\r\n" + body).split(mark)
    if len(pieces) < 2 or not pieces[-1].startswith(b"--"):  # noqa: PLR2004
        raise invalid("the form has no end")
    return dict(_part(piece) for piece in pieces[1:-1])


def _part(piece: bytes) -> tuple[str, Part]:
    head, found, content = piece.partition(b"\r\n\r\n")
    header = Message()
    for line in head.decode("utf-8", "replace").splitlines():
        field, _, value = line.partition(":")
        if field.strip().lower() == "content-disposition":
            header["content-disposition"] = value.strip()
    name = header.get_param("name", header="content-disposition")
    if not found or not isinstance(name, str):
        raise invalid("a part of the form has no name")
    filename = header.get_filename()
    return name, Part(filename, content)
