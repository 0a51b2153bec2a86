"""Pages over Postgres and MinIO: signing in, what is shown, and what is not."""

from __future__ import annotations

import io
import re
import time
from html.parser import HTMLParser
from urllib.parse import urlencode

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from starlette.testclient import TestClient

from api import access, keys
from api.app import create_app
from api.pages.images import ITEMS
from api.pages.session import COOKIE
from migrations.upgrade import upgrade
from tests.integration.api import pages_world
from tests.integration.api.pages_world import DOMAIN, HOSTILE, feature

pytestmark = pytest.mark.servers("postgres", "s3")
OURS = {"Sec-Fetch-Site": "same-origin"}
TASK = 'a "task" & <b>'


@pytest.fixture
def postgres(env, monkeypatch):
    monkeypatch.setattr(access, "KNOWN_SECONDS", 0.0)
    monkeypatch.setenv("QUINTET_UI_URL", "http://ui.example")
    upgrade(env["POSTGRES_URL"])
    with psycopg.connect(env["POSTGRES_URL"], autocommit=True) as connection:
        yield connection


@pytest.fixture
def browser(postgres):
    with TestClient(create_app(), follow_redirects=False) as client:
        yield client


def signed_in(browser, postgres, *scopes: keys.Scope):
    browser.cookies.set(COOKIE, keys.make(postgres, "tests", scopes or ("read",)))
    return browser


class Elements(HTMLParser):
    """Names and attributes of all elements of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.names.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]


def assert_harmless(text: str) -> None:
    found = Elements(text)
    assert not found.names & {"script", "b", "iframe", "object", "style", "base"}
    for name, value in found.attributes:
        assert not name.startswith("on"), name
        assert name != "style"
        if name in {"href", "src", "action"}:
            assert value.startswith(("/", "#", "http://ui.example")), value
            assert not value.startswith("//")


def test_a_key_opens_pages_until_it_is_revoked_or_forgotten(browser, postgres):
    key = keys.make(postgres, "Ann", ["read"])
    form = {"key": f" {key} ", "back": "/sources?x=1"}
    wrong = browser.post("/sign-in", data={**form, "key": key[:-1]}, headers=OURS)
    assert wrong.status_code == 401
    assert key[:-1] not in wrong.text
    assert "set-cookie" not in wrong.headers
    said = browser.post("/sign-in", data=form, headers=OURS)
    assert (said.status_code, said.headers["location"]) == (303, "/sources?x=1")
    kept = said.headers["set-cookie"]
    assert "HttpOnly" in kept
    assert "SameSite=strict" in kept
    assert "Secure" not in kept
    assert "Path=/" in kept
    page = browser.get("/")
    assert page.status_code == 200
    assert "Ann" in page.text
    assert key.split(".")[1] not in page.text
    assert page.headers["cache-control"] == "no-store"
    assert keys.revoke(postgres, key.split(".")[0])
    assert browser.get("/").status_code == 401


def test_over_https_the_cookie_is_for_https_alone(postgres):
    key = keys.make(postgres, "Ann", ["read"])
    with TestClient(create_app(), base_url="https://testserver", follow_redirects=False) as browser:
        said = browser.post("/sign-in", data={"key": key}, headers=OURS)
        assert "Secure" in said.headers["set-cookie"]


def test_the_api_does_not_take_the_cookie(browser, postgres):
    said = signed_in(browser, postgres).get("/v1/operations/sources")
    assert (said.status_code, said.json()["code"]) == (401, "key_required")


def test_pages_need_the_scope_and_its_rate(browser, postgres):
    said = signed_in(browser, postgres, "write").get("/sources")
    assert said.status_code == 403
    assert "scope read" in said.text
    browser.cookies.set(COOKIE, keys.make(postgres, "few", ["read"], requests_per_minute=1))
    assert browser.get("/images").status_code == 200
    late = browser.get("/images")
    assert late.status_code == 429
    assert int(late.headers["retry-after"]) >= 1


def test_every_source_says_how_it_stands(browser, postgres, env):
    pages_world.ledger(env)
    page = signed_in(browser, postgres).get("/sources")
    assert page.status_code == 200
    assert_harmless(page.text)
    text = " ".join(re.sub(r"<[^>]+>", " ", page.text).split())
    campaigns = text[text.index("campaigns_gcs") : text.index("music_minio")]
    for says in ("waits", "2 hours ago", "1 failed permanent", "2 objects", "7 rows"):
        assert says in campaigns, campaigns
    assert "http://ui.example/runs/run-2" in page.text
    assert "http://ui.example/locations/quintet/sensors/campaigns_gcs_sensor" in page.text
    assert "all loaded" in text[text.index("music_minio") :]
    streams = text[text.index("What the last session did") : text.index("By source and reason")]
    for says in ("interactions", "4,321", "17", "2.5"):
        assert says in streams, streams
    assert "99" not in streams
    assert "http://ui.example/runs/new" in page.text
    rejected = text[text.index("By source and reason") :]
    assert "campaigns_gcs bad_time 7 7 1" in rejected


def test_a_domain_s_card_has_its_bins_and_nothing_exact(browser, postgres, env):
    signed_in(browser, postgres)
    early = browser.get(f"/domains?domain={DOMAIN}")
    assert early.status_code == 409
    assert "Nothing is loaded yet" in early.text
    pages_world.domains(env)
    latest = browser.get(f"/domains?domain={DOMAIN}").text
    assert "As of 2025-03" in latest
    for says in ("1M–2M", "200K–500K", "20M–50M", "2.50-3.00", "4.00-4.50", "1K–2K", "up against"):
        assert says in latest, says
    for name, value in feature("2025-03", DOMAIN, "Shoes").items():
        if isinstance(value, float | int) and not isinstance(value, bool):
            for written in (str(value), f"{value:,}", f"{value:g}"):
                assert not re.search(rf"(?<![\d.]){re.escape(written)}(?![\d.])", latest), name
    assert "As of 2025-02" in browser.get(f"/domains?domain={DOMAIN}&month=2025-02").text
    assert "As of 2025-03" in browser.get(f"/domains?domain={DOMAIN}&month=").text
    assert "too few domains to tell" in browser.get("/domains?domain=alone.example").text
    assert browser.get("/domains?domain=nobody.example").status_code == 404
    assert browser.get(f"/domains?domain={DOMAIN}&month=2025-13").status_code == 422
    hostile = browser.get("/domains?" + urlencode({"domain": HOSTILE[3]}))
    assert hostile.status_code == 200
    assert_harmless(hostile.text)


def test_a_task_is_a_contact_sheet_with_its_rejects(browser, postgres, env):
    pages_world.images(env, TASK, ITEMS)
    signed_in(browser, postgres)
    page = browser.get("/images/task?" + urlencode({"task": TASK}))
    assert page.status_code == 200
    assert_harmless(page.text)
    shown = re.findall(r'src="(/images/thumbnail[^"]+)"', page.text)
    assert len(shown) == ITEMS
    second = browser.get(shown[1].replace("&amp;", "&"))
    assert second.headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(second.content)).size == (168, 168)
    again = browser.get(
        shown[1].replace("&amp;", "&"), headers={"If-None-Match": second.headers["etag"]}
    )
    assert (again.status_code, again.content) == (304, b"")
    lost = browser.get(shown[0].replace("&amp;", "&"))
    assert (lost.status_code, lost.headers["content-type"]) == (404, "image/svg+xml")
    further = re.findall(r'href="([^"]+cursor=[^"]+)"', page.text)
    rest = browser.get(further[0].replace("&amp;", "&"))
    assert_harmless(rest.text)
    assert re.findall(r'state late">(\w+)<', rest.text) == ["missing", "corrupt"]
    assert browser.get("/images/task?task=none").status_code == 404
    for product in (1001 + ITEMS, 1):
        none = browser.get("/images/thumbnail?" + urlencode({"task": TASK, "product": product}))
        assert none.status_code == 404


def test_a_task_is_told_by_whoever_may(browser, postgres, env):
    pages_world.images(env, "shoes", 1)
    signed_in(browser, postgres)
    form = {"task": "shoes"}
    assert "Cancel the task" not in browser.get("/images/task?task=shoes").text
    assert browser.post("/images/task/cancel", data=form, headers=OURS).status_code == 403
    signed_in(browser, postgres, "read", "write")
    assert "Cancel the task" in browser.get("/images/task?task=shoes").text
    assert browser.post("/images/task/resume", data=form, headers=OURS).status_code == 409
    asked = "SELECT cancel_requested FROM images.image_task"
    assert postgres.execute(asked).fetchone() == (False,)
    done = browser.post("/images/task/cancel", data=form, headers=OURS)
    assert (done.status_code, done.headers["location"]) == (303, "/images/task?task=shoes")
    assert postgres.execute(asked).fetchone() == (True,)
    none = browser.post("/images/task/cancel", data={"task": "none"}, headers=OURS)
    assert none.status_code == 404


def test_a_store_that_is_away_costs_its_part(browser, postgres, env):
    pages_world.images(env, "shoes", 2)
    signed_in(browser, postgres)
    assert browser.get("/").status_code == 200
    systems = browser.app.state.service.stores.systems

    def away() -> str:
        raise ConnectionRefusedError("refused")

    for name in ("postgres", "minio"):
        systems[name].check = away
        systems[name].breaker.seen_away(time.monotonic(), "refused")
    home = browser.get("/")
    assert home.status_code == 200
    assert "postgres is not available" in home.text
    for path in ("/sources", "/images/task?task=shoes"):
        page = browser.get(path)
        assert page.status_code == 503, path
        assert int(page.headers["retry-after"]) >= 1
        assert "postgres is not available" in page.text


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.one_of(st.text(max_size=60), st.binary(max_size=30), st.sampled_from(HOSTILE)))
def test_whatever_is_asked_a_page_says_what_is_wrong(asking, text):
    for path, name in (
        ("/domains", "domain"), ("/images/task", "task"), ("/images/task", "cursor"),
        ("/domains", "month"), ("/reading", "user"), ("/reading", "date"), ("/music", "year"),
        ("/campaigns", "k"),
    ):  # fmt: skip
        said = asking.get(f"{path}?{urlencode({name: text}, errors='surrogatepass')}")
        # Nothing but Postgres and MinIO is configured here.
        assert said.status_code != 500, (path, said.text)
        assert_harmless(said.text)


@pytest.fixture
def asking(browser, postgres, env):
    pages_world.domains(env)
    browser.cookies.set(COOKIE, keys.make(postgres, "many", ["read"], requests_per_minute=10**6))
    return browser
