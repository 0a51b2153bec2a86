"""The pages in a real browser: by keyboard, on a phone, in the dark, and with nothing from outside.

One browser and one filling of the stores for all of it: both cost more than what is looked at.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import date
from urllib.parse import urlencode

import psycopg
import pytest
from playwright.sync_api import Dialog, Page

from api import keys
from api.pages import reading
from migrations.upgrade import upgrade
from tests import chromium
from tests.integration.api import pages_world as world

pytestmark = pytest.mark.servers(
    "postgres", "milvus", "openai", "bolt", "bigquery", "typesense", "s3"
)

TASK, READER, DAY = "summer-shoes", 5, date(2022, 3, 23)
#: A page for each kind, and those of hostile names.
PAGES = {
    "/sign-in": 200,
    "/": 200,
    "/campaigns?user=user_1": 200,
    "/campaigns?user=user_3": 200,
    "/campaigns?user=nobody": 404,
    "/music?q=*": 200,
    "/music?q=weeping+over+a+lover&mode=meaning": 200,
    "/music/song?key=SOTHEME0": 200,
    f"/reading?user={READER}&date={DAY}": 200,
    "/reading?user=x&date=2022-03-23": 422,
    f"/domains?domain={world.DOMAIN}": 200,
    "/images": 200,
    f"/images/task?task={TASK}": 200,
    "/sources": 200,
    "/nowhere": 404,
    "/docs": 200,
    **{"/campaigns?" + urlencode({"user": name}): 200 for name in world.HOSTILE},
    "/music/song?" + urlencode({"key": world.HOSTILE[1]}): 200,
    "/domains?" + urlencode({"domain": world.HOSTILE[3]}): 200,
    **{"/music?" + urlencode({"q": name}): 200 for name in world.HOSTILE[:2]},
}

STRUCTURE = """
() => {
  const all = (what) => [...document.querySelectorAll(what)];
  const wrong = [];
  if (all('h1').length !== 1) wrong.push('h1: ' + all('h1').length);
  for (const one of ['main', 'header', 'footer', 'nav[aria-label]'])
    if (!document.querySelector(one)) wrong.push('no ' + one);
  for (const one of all('main input:not([type=hidden]):not([hidden]), main select'))
    if (!one.labels.length) wrong.push('no label: ' + one.outerHTML);
  const ids = all('[id]').map((one) => one.id);
  if (new Set(ids).size !== ids.length) wrong.push('an id twice: ' + ids);
  for (const one of all('table')) if (!one.caption) wrong.push('no caption');
  for (const one of all('th')) if (!one.scope) wrong.push('no scope: ' + one.textContent);
  for (const one of all('img')) if (!one.hasAttribute('alt')) wrong.push('no alt');
  for (const one of all('svg'))
    if (!one.matches('[aria-hidden=true]') && !one.querySelector('title')) wrong.push('no title');
  if (all('script').length) wrong.push('a script');
  return wrong;
}
"""
OVERFLOW = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
FOCUS = """
() => {
  const one = document.activeElement, style = getComputedStyle(one);
  return {is: one.className || one.tagName, seen: style.outlineStyle !== 'none'
    && parseFloat(style.outlineWidth) >= 2};
}
"""


@pytest.fixture
def key(env, monkeypatch):
    """Stores with something in each, and a key that reads and writes."""
    monkeypatch.setenv("QUINTET_UI_URL", "http://ui.example")
    monkeypatch.setenv("QUINTET_PIPELINES", "")  # pages of all, whatever servers there are
    upgrade(env["POSTGRES_URL"])
    for fill in (world.ledger, world.campaigns, world.music, world.reading, world.domains):
        fill(env)
    world.images(env, TASK, 8)
    with psycopg.connect(env["POSTGRES_URL"], autocommit=True) as connection:
        return keys.make(connection, "tests", ["read", "write"], requests_per_minute=100_000)


class Watched:
    """What a page asked for, and what it complained of."""

    def __init__(self, page: Page, ours: str) -> None:
        self.outside: list[str] = []
        self.wrong: list[str] = []
        page.on("request", lambda one: self._asked(one.url, ours))
        page.on("console", lambda one: self._said(one.type, one.text))
        page.on("pageerror", lambda one: self.wrong.append(str(one)))
        page.on("dialog", self._asked_back)

    def _asked(self, url: str, ours: str) -> None:
        if not url.startswith((f"{ours}/", "data:")):
            self.outside.append(url)

    def _asked_back(self, dialog: Dialog) -> None:
        self.wrong.append(dialog.message)
        dialog.dismiss()

    def _said(self, kind: str, text: str) -> None:
        # An error's page has an error's status, which the console repeats.
        if kind == "error" and not text.startswith("Failed to load resource: the server responded"):
            self.wrong.append(text)


def tabbed_to(page: Page, wanted: Callable[[str], bool]) -> str:
    """Press Tab until the focus is there; wherever it comes by it can be seen."""
    for _ in range(60):
        page.keyboard.press("Tab")
        focus = page.evaluate(FOCUS)
        assert focus["seen"], focus
        if wanted(focus["is"]):
            return str(focus["is"])
    raise AssertionError("the keyboard does not lead there")


def sign_in_and_find_a_song_by_keyboard(page: Page, url: str, key: str) -> None:
    page.goto(f"{url}/music")
    assert page.locator("h1").inner_text() == "Sign in"
    page.keyboard.type(key)
    # Of the same address as the page that it leaves.
    with page.expect_navigation():
        page.keyboard.press("Enter")
    assert page.url == f"{url}/music"
    tabbed_to(page, "skip".__eq__)
    page.keyboard.press("Enter")
    assert page.evaluate("() => document.activeElement.id") == "content"
    tabbed_to(page, "INPUT".__eq__)
    page.keyboard.type('"No 0"')
    page.keyboard.press("Enter")
    page.wait_for_url("**/music?q=*")
    tabbed_to(page, "title".__eq__)
    page.keyboard.press("Enter")
    page.wait_for_url("**/music/song?key=SOTHEME0")
    assert page.locator("h1").inner_text() == "No 0"
    assert "3" in page.locator(".part", has_text="Plays").inner_text()


def look_at_all_on_a_phone(page: Page, url: str) -> None:
    page.set_viewport_size({"width": 320, "height": 640})
    for path, status in PAGES.items():
        said = page.goto(url + path)
        assert said is not None
        assert said.status == status, path
        if path != "/docs":
            assert page.evaluate(STRUCTURE) == [], path
        else:
            page.wait_for_selector(".opblock")
        assert page.evaluate(OVERFLOW) <= 0, path


def in_the_dark(page: Page, url: str) -> None:
    page.goto(f"{url}/sources")
    grounds = []
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        grounds.append(page.evaluate("() => getComputedStyle(document.body).backgroundColor"))
    assert grounds == ["rgb(246, 247, 249)", "rgb(18, 22, 27)"]


def the_chart_says_what_the_api_says(page: Page, url: str, key: str) -> None:
    page.goto(f"{url}/reading?user={READER}&date={DAY}")
    page.locator("summary").click()
    rows = page.locator("details tbody tr")
    assert rows.count() == reading.DATES
    names = page.locator("details thead th").all_inner_texts()[1:]
    asked = page.request.get(
        f"{url}/v1/reading/users/{READER}/categories?query_date={DAY}",
        headers={"Authorization": f"Bearer {key}"},
    ).json()["answer"]["categories"]
    assert asked
    shares = {one["category"]: f"{100 * one['share']:.1f} %" for one in asked}
    shown = dict(zip(names, rows.last.locator("td").all_inner_texts(), strict=True))
    assert {name: share for name, share in shown.items() if share != "–"} == shares
    drawn = page.locator("svg.chart rect title").all_text_contents()
    assert [one for one in drawn if one.startswith(f"{DAY}:")] == [
        f"{DAY}: {name} {shares[name]}" for name in names if name in shares
    ]


def the_documentation_lists_every_route(page: Page, url: str, app) -> None:
    page.goto(f"{url}/docs")
    page.wait_for_selector(".opblock")
    shown = {
        (one.split()[0], one.split()[1].replace("\u200b", ""))
        for one in page.locator(".opblock-summary").evaluate_all(
            "all => all.map(one => one.querySelector('.opblock-summary-method').textContent + ' '"
            " + one.querySelector('[data-path]').dataset.path)"
        )
    }
    assert shown == {
        (method.upper(), path)
        for path, methods in app.openapi()["paths"].items()
        for method in methods
    }


def a_store_that_is_away_costs_its_part(page: Page, url: str, app) -> None:
    def away() -> str:
        raise ConnectionRefusedError("refused")

    system = app.state.service.stores.systems["bigquery"]
    there, system.check = system.check, away
    system.breaker.seen_away(time.monotonic(), "refused")
    said = page.goto(f"{url}/campaigns?user=user_1")
    assert said is not None
    assert said.status == 200
    assert page.locator(".trouble strong").all_inner_texts() == [
        "bigquery is not available", "bigquery is not available",
    ]  # fmt: skip
    assert page.locator(".part", has_text="Neighbours").locator("tbody tr").count() == 5
    system.check = there


def signing_out(page: Page, url: str) -> None:
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(f"{url}/sign-in")
    said = page.goto(f"{url}/")
    assert said is not None
    assert said.status == 401


def test_pages_in_a_browser(key):
    with world.served() as (url, app), chromium.running() as browser:
        page = browser.new_page()
        watched = Watched(page, url)
        sign_in_and_find_a_song_by_keyboard(page, url, key)
        look_at_all_on_a_phone(page, url)
        page.set_viewport_size({"width": 1200, "height": 800})
        in_the_dark(page, url)
        the_chart_says_what_the_api_says(page, url, key)
        the_documentation_lists_every_route(page, url, app)
        a_store_that_is_away_costs_its_part(page, url, app)
        signing_out(page, url)
        assert watched.outside == []
        assert watched.wrong == []
