"""From a template to a response: what all pages share.

Belongs here: templates, how values are written for people, the headers of a page. Does not: any
page's content.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import Any
from urllib.parse import urlencode

import jinja2
from fastapi import Request
from fastapi.responses import HTMLResponse
from markupsafe import Markup

from api.pages.remedies import further
from assets.pipelines import chosen_pipelines

#: A page runs nothing, loads from us alone and is drawn inside no other.
POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
_STATIC = resources.files("api.pages") / "static"


def page(
    request: Request,
    template: str,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    **values: Any,
) -> HTMLResponse:
    """The template with its values; autoescaped, kept by nobody."""
    seen_by = getattr(request.state, "key", None)
    said = _environment().get_template(template).render(
        request_path=request.url.path, seen_by=seen_by, pipelines=chosen_pipelines(), **values
    )  # fmt: skip
    # Half of a surrogate pair may have been asked for, and be shown.
    return HTMLResponse(
        said.encode("utf-8", "backslashreplace"),
        status,
        {"Content-Security-Policy": POLICY, "Cache-Control": "no-store", **(headers or {})},
    )


def address(path: str, **query: Any) -> str:
    """A page of ours with its parameters; those that are None are left out."""
    asked = {name: value for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(asked, errors='surrogatepass')}" if asked else path


def moment(value: str | datetime | None) -> Markup:
    """A moment in UTC, to the minute; the exact one for machines."""
    if value is None:
        return Markup("–")
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    at = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    return Markup('<time datetime="{}">{}</time>').format(
        at.isoformat(), at.strftime("%Y-%m-%d %H:%M UTC")
    )


def since(value: str | datetime | None) -> str:
    """How long ago, in its largest unit."""
    if value is None:
        return "–"
    at = datetime.fromisoformat(value) if isinstance(value, str) else value
    seconds = max((datetime.now(UTC) - at).total_seconds(), 0.0)
    for unit, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= unit:
            count = int(seconds // unit)
            return f"{count:,} {name}{'s' if count > 1 else ''}"
    return "less than a minute"


def percent(share: float) -> str:
    """``12.5 %`` for 0.125."""
    return f"{100 * share:.1f} %"


def number(value: float | None) -> str:
    """With separators; a dash for what is unknown."""
    return "–" if value is None else f"{value:,}"


def static(name: str) -> str:
    """The address of a file of ours, another one whenever it changes."""
    return f"/static/{name}?v={_version(name)}"


@cache
def _version(name: str) -> str:
    return hashlib.sha256((_STATIC / name).read_bytes()).hexdigest()[:12]


@cache
def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("api.pages"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"moment": moment, "since": since, "percent": percent, "number": number}
    made.globals |= {"static": static, "address": address, "further": further}
    return made
