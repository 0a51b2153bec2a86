"""Where signing in leads, and which forms are believed; no server behind it."""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.testclient import TestClient

from api.app import create_app
from api.pages.rendering import POLICY
from api.pages.session import own_path

PAGES = (
    "/", "/campaigns", "/music", "/music/song?key=x", "/reading", "/domains", "/images",
    "/images/task?task=x", "/images/thumbnail?task=x&product=1", "/sources",
)  # fmt: skip


@pytest.fixture(scope="module")
def service():
    with TestClient(create_app(), raise_server_exceptions=False) as client:
        yield client


@given(
    st.one_of(
        st.text(),
        st.sampled_from(["//e.example", "/\\e.example", "https://e.example/", "/\t/x", "\\\\x"]),
        st.text(alphabet="/\\.:@ehtps\t\n", max_size=12),
    )
)  # fmt: skip
def test_signing_in_leads_to_no_other_place(asked):
    found = own_path(asked)
    assert found.startswith("/")
    ours = "http://quintet.example"
    # As browsers read it: backslashes are slashes, tabs and line feeds are nothing.
    seen = found.replace("\\", "/").translate({9: None, 10: None, 13: None})
    assert urlsplit(urljoin(ours, seen)).netloc == "quintet.example"


def test_pages_of_ours_are_gone_back_to():
    assert own_path("/campaigns?user=a%2Fb&k=5") == "/campaigns?user=a%2Fb&k=5"


@pytest.mark.parametrize("path", PAGES)
def test_without_a_key_every_page_asks_for_one(service, path):
    said = service.get(path)
    assert said.status_code == 401
    assert said.headers["content-type"].startswith("text/html")
    assert said.headers["content-security-policy"] == POLICY
    assert 'action="/sign-in"' in said.text
    assert path.replace("&", "&amp;") in said.text, "it goes on where it was"


@pytest.mark.parametrize(
    "headers",
    [
        {}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"}, {"Origin": "null"}, {"Origin": "http://evil.example"},
        {"Origin": "http://testserver.evil.example"},
        {"Origin": "http://testserver", "Sec-Fetch-Site": "cross-site"},
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("path", ["/sign-in", "/sign-out", "/images/task/cancel"])
def test_a_form_of_another_site_does_nothing(service, path, headers):
    said = service.post(path, data={"key": "x", "task": "y"}, headers=headers)
    assert said.status_code == 403
    assert "not ours" in said.text
    assert "set-cookie" not in said.headers


@pytest.mark.parametrize(
    "headers", [{"Sec-Fetch-Site": "same-origin"}, {"Origin": "http://testserver"}]
)
def test_signing_out_forgets(service, headers):
    said = service.post("/sign-out", headers=headers, follow_redirects=False)
    assert (said.status_code, said.headers["location"]) == (303, "/sign-in")
    assert 'quintet_key=""' in said.headers["set-cookie"]
    assert "Max-Age=0" in said.headers["set-cookie"]


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"{}", "application/json", 415), (b"\xff\xfe", "application/x-www-form-urlencoded", 422),
        (b"&".join(b"a=%d" % n for n in range(50)), "application/x-www-form-urlencoded", 422),
        (b"key=%FF", "application/x-www-form-urlencoded", 422),
    ],
    ids=str,
)  # fmt: skip
def test_what_is_no_form_is_told_so(service, content, kind, status):
    headers = {"Sec-Fetch-Site": "same-origin", "Content-Type": kind}
    said = service.post("/sign-in", content=content, headers=headers)
    assert said.status_code == status


def test_an_address_that_nobody_has_is_a_page_for_browsers_alone(service):
    page = service.get("/nowhere", headers={"Accept": "text/html,*/*;q=0.8"})
    assert (page.status_code, page.headers["content-security-policy"]) == (404, POLICY)
    assert "Not Found" in page.text
    problem = service.get("/nowhere")
    assert problem.headers["content-type"] == "application/problem+json"
    asked = service.get("/v1/images/tasks", headers={"Accept": "text/html"})
    assert asked.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    "path", ["/", "/v1/health/live", "/docs", "/openapi.json", "/static/site.css", "/nowhere"]
)
def test_every_answer_is_protected(service, path):
    headers = service.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "default-src 'none'" in headers["content-security-policy"]


def test_files_are_served_by_us_and_nothing_beside_them(service):
    for path in (
        "/static/site.css", "/static/icon.svg", "/static/docs.js", "/static/docs.css",
        "/docs/files/swagger-ui-bundle.js", "/docs/files/swagger-ui.css",
    ):  # fmt: skip
        assert service.get(path).status_code == 200, path
    for path in ("/static/../rendering.py", "/static/%2e%2e/rendering.py", "/static/none.css"):
        assert service.get(path).status_code == 404, path


def test_every_file_that_a_page_names_is_there(service):
    import re

    for path in ("/sign-in", "/docs"):
        named = re.findall(r'(?:src|href)="(/[^"]+\.(?:css|js|svg)[^"]*)"', service.get(path).text)
        assert named
        for one in named:
            assert service.get(one).status_code == 200, one
