"""Text without secrets, for whatever a terminal, a log or a message may show.

Belongs here: which variables are secrets, and blanking their values. Does not: what is printed.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from urllib.parse import unquote

#: Kinds of variables that hold secrets. An access key is a name: its secret has its own variable.
_SECRET = re.compile(r"PASSWORD|PASSWD|SECRET|TOKEN|WEBHOOK_URL|(?<!ACCESS)_KEY(_|$)")
_USERINFO = re.compile(r"(://[^:/@\s]*:)([^@/\s]+)@")

#: A shorter secret is a word that an error message may well contain.
_SHORTEST = 4
#: A shorter one is blanked as a whole word only: "test" would be a part of "latest".
_UNMISTAKABLE = 10


def blanked(text: str, env: Mapping[str, str], known: Collection[str]) -> str:
    """``text`` with the values of secret variables and passwords in URLs blanked.

    A password that is also part of a bucket's or database's name is blanked in URLs only: it would
    make ``gs://***-campaigns`` of a bucket. ``known`` names the variables that are ours.
    """
    text = _USERINFO.sub(r"\1***@", text)
    public = [
        _USERINFO.sub(r"\1@", value)
        for name, value in env.items()
        if name in known and not _SECRET.search(name)
    ]
    for secret in sorted(set(_secrets(env)), key=len, reverse=True):
        if len(secret) < _SHORTEST or any(secret in value for value in public):
            continue
        pattern = re.escape(secret)
        if len(secret) < _UNMISTAKABLE:
            pattern = rf"(?<!\w){pattern}(?!\w)"
        text = re.sub(pattern, "***", text)
    return text


def _secrets(env: Mapping[str, str]) -> Iterator[str]:
    for name, value in env.items():
        if _SECRET.search(name):
            yield value
            # A Milvus token is user:password, and an error may name the password alone.
            yield value.partition(":")[2]
        for _, password in _USERINFO.findall(value):
            yield password
            yield unquote(password)
