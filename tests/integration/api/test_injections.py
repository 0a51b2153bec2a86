"""What looks like a statement, asked as every text of every GET route: it is a name of nobody.

Counts of every table, collection and graph before and after say that nothing came of it.
"""

from __future__ import annotations

from urllib.parse import quote

import pytest

from tests.integration.api.filled import counted
from tests.integration.api.operations import Operation, operations

pytestmark = pytest.mark.xdist_group("filled stores")

CORPUS = {
    "sql or": "' OR '1'='1",
    "sql drop": "'; DROP TABLE api.key; --",
    "sql union": "x' UNION SELECT secret_sha256::text FROM api.key --",
    "sql sleep": "1); SELECT pg_sleep(20); --",
    "sql dollar": "$$; DELETE FROM images.image_task; $$",
    "sql escape": "\\' OR 1=1 --",
    "sql format": "%s %(name)s %% {0} {name}",
    "bigquery": "`; DROP TABLE user_events; SELECT `",
    "bigquery parameter": "@user OR TRUE",
    "cypher": "'}) DETACH DELETE n //",
    "cypher backtick": "`}) MATCH (n) DETACH DELETE n RETURN count(`n",
    "cypher parameter": "$rows",
    "cypher unicode": "\\u0027}) DETACH DELETE n //",
    "milvus or": '" or 1 == 1 or user_id != "',
    "milvus in": '"] or user_id in ["user_2',
    "milvus like": 'x" || user_id like "%',
    "typesense filter": "x]||song_key:!=[`x`",
    "typesense every": "` && year:>0 && title:`",
    "mongo operator": '{"$gt": ""}',
    "mongo where": '{"$where": "sleep(20000)"}',
    "header": "x\r\nSet-Cookie: injected=1\r\n\r\n",
    "path": "../../../../etc/passwd",
    "path encoded": "..%2f..%2f..%2fetc%2fpasswd",
    "template": "{{7*7}}${7*7}<%= 7*7 %>",
    "script": "<script>alert(1)</script>",
    "json": '"}],"x":[{"',
    "shell": "$(touch /tmp/injected); `id` | cat",
    "nul": "user_1\x00",
    "wide": "\U0001f4a3\u202e\ufeff\u0000",
}
#: Bytes that are no UTF-8: half of a surrogate pair, an overlong slash, a byte alone.
RAW = {"surrogate": "%ED%A0%80", "overlong": "%C0%AF", "alone": "%FF"}


def texts() -> list[tuple[Operation, str]]:
    """Every parameter that may be any text; others are refused by their form."""
    found = []
    for one in operations():
        for parameter in one.parameters if one.method == "get" else []:
            schema = parameter["schema"]
            kinds = [schema, *schema.get("anyOf", [])]
            if any(
                kind.get("type") == "string" and not kind.keys() & {"enum", "pattern", "format"}
                for kind in kinds
            ):
                found.append((one, parameter["name"]))
    return found


@pytest.fixture(scope="module", autouse=True)
def _unchanged(filled_variables):
    before = counted(filled_variables)
    assert len(before) > 20
    yield
    after = counted(filled_variables)
    # A test's own key.
    before.pop("api.key")
    after.pop("api.key")
    assert after == before


def assert_data(said, what: str, *, names: bool) -> None:
    """Nobody has such a name; words may be found, or be none that can be asked for."""
    assert said.status_code in ({404, 422} if names else {200, 404, 409, 422}), (what, said.text)
    assert said.headers["content-type"] in {"application/json", "application/problem+json"}
    assert "set-cookie" not in said.headers
    if said.status_code != 200:
        problem = said.json()
        assert problem["code"] in {
            "invalid_request", "not_found", "nothing_to_compare",
        } or problem["code"].startswith("unknown_"), problem  # fmt: skip
        assert all(problem[name] for name in ("title", "detail", "next"))


@pytest.mark.parametrize(("operation", "name"), texts(), ids=lambda one: str(one).replace("/", "_"))
def test_a_statement_is_a_text(asking, operation, name):
    of_path = f"{{{name}}}" in operation.path
    for what, text in CORPUS.items():
        said = operation.asked(asking, {**operation.values(), name: text})
        assert_data(said, what, names=of_path)
    for what, raw in RAW.items():
        path = operation.path
        for key, value in operation.values().items():
            path = path.replace(f"{{{key}}}", raw if key == name else quote(str(value), safe=""))
        query = "" if of_path else f"?{name}={raw}"
        others = {} if of_path else {k: v for k, v in operation.values().items() if k != name}
        query += "".join(f"&{key}={quote(str(value))}" for key, value in others.items())
        assert_data(asking.get(path + query), what, names=False)


@pytest.mark.parametrize("header", ["authorization", "x-api-key"])
def test_a_statement_is_no_key(asking, header):
    asking.headers.pop("authorization")
    for what, text in CORPUS.items():
        value = text.encode("utf-8")
        prefix = b"Bearer " if header == "authorization" else b""
        said = asking.get("/v1/operations/sources", headers={header: prefix + value})
        assert (said.status_code, said.json()["code"]) == (401, "key_required"), (what, said.text)


@pytest.mark.parametrize("header", ["if-none-match", "x-forwarded-for", "host", "accept"])
def test_other_headers_are_no_statements(asking, header):
    for what, text in CORPUS.items():
        said = asking.get("/v1/campaigns/users/user_1/campaigns", headers={header: text.encode()})
        assert said.status_code == 200, (what, said.text)
        assert "set-cookie" not in said.headers


@pytest.mark.parametrize(
    "path",
    [
        "/../../etc/passwd", "/v1/../../etc/passwd", "/v1/images/tasks/..%2f..%2fetc%2fpasswd",
        "//etc/passwd", "/%00", "/v1/%2e%2e/%2e%2e/etc/passwd", "/.env", "/.git/config",
        "/v1/images/tasks/%00", "/v1/images/tasks/%ED%A0%80", "/static/../api/keys.py",
    ],
)  # fmt: skip
def test_a_path_leads_to_no_file(asking, path):
    said = asking.get(path)
    assert said.status_code in {404, 422}, said.text
    assert said.headers["content-type"] == "application/problem+json"
