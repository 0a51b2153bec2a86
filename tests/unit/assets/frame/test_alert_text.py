"""Messages: nothing in them breaks Telegram's HTML, whatever they tell, wherever they are cut."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from assets.frame.alert_text import LONGEST, cut, escaped, length, message, shortened, storm
from local.openai.telegram_html import shown

#: Well-formed HTML: texts, entities and tags within each other.
HTML = st.recursive(
    st.text(max_size=12).map(escaped) | st.sampled_from(["&amp;", "&#x27;", "🎉", "\n"]),
    lambda inner: (
        st.builds("".join, st.lists(inner, max_size=4))
        | st.builds(lambda tag, text: f"<{tag}>{text}</{tag}>", st.sampled_from("bis"), inner)
        | st.builds('<a href="http://x/&amp;y">{}</a>'.format, inner)
    ),
    max_leaves=20,
)


@given(st.text())
def test_any_text_is_shown_as_it_is(text: str) -> None:
    cleaned = text.encode("utf-8", "ignore").decode().replace("\x00", "")
    cleaned = cleaned.replace("\r\n", "\n").replace("\r", "\n").strip()
    assert shown(escaped(text)) == cleaned


@given(HTML, st.integers(60, 200))
def test_a_cut_text_is_whole_html_and_begins_as_the_text_does(text: str, longest: int) -> None:
    found = cut(text, longest)
    assert length(found) <= longest
    plain, whole = shown(found), shown(text)
    if found == text:
        return
    assert length(text) > longest
    assert plain.endswith("…")
    assert whole.startswith(plain[:-1])


@given(HTML)
def test_what_fits_is_not_cut(text: str) -> None:
    assert cut(text, length(text)) == text


def test_as_much_is_kept_as_there_is_room_for() -> None:
    assert cut("<b>abcdef</b>", 12) == "<b>abcd…</b>"
    assert cut("ab&amp;cdef", 7) == "ab…"
    assert cut("ab&amp;cdef", 8) == "ab&amp;…"
    assert cut("🎉🎉🎉", 5) == "🎉🎉…"


@given(st.text(), st.text(), st.sampled_from(["info", "warning", "error"]))
def test_a_message_is_never_too_long_and_keeps_its_link(
    title: str, body: str, severity: str
) -> None:
    made = message(severity, title * 50, escaped(body * 500), "http://ui/runs/1?a=1&b=2")
    assert length(made) <= LONGEST
    assert shown(made).endswith("\nShow the run")
    assert '"http://ui/runs/1?a=1&amp;b=2"' in made


def test_a_long_title_is_shortened() -> None:
    assert shortened("x" * 300, 200) == "x" * 199 + "…"
    assert shortened("x" * 200, 200) == "x" * 200


def test_a_storm_names_the_worst_and_counts_all() -> None:
    alerts = [("info", f"fine {n}") for n in range(20)] + [
        ("error", f"<broken> {n}") for n in range(3)
    ]
    title, body = storm(alerts)
    assert title == "23 alerts at once: 3 error, 20 info"
    lines = body.splitlines()
    assert [re.sub(r"^\S+ ", "", line) for line in lines] == [
        "&lt;broken&gt; 0", "&lt;broken&gt; 1", "&lt;broken&gt; 2", "fine 0", "fine 1", "18 more",
    ]  # fmt: skip
