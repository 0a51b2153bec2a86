"""Music files put over HTTP into a real bucket: equal bytes, or a reason and nothing."""

from __future__ import annotations

import hashlib
import socket
import time
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote, urlsplit

import httpx
import psycopg
import pytest

from api import keys, limits, transfers, uploads
from api.routes import music_uploads
from api.stores import DEADLINE
from landing.stores.minio import MinioStore
from landing.stores.minio_parts import PART_BYTES
from migrations.upgrade import upgrade
from resources.configured import configured
from tests.integration.api.pages_world import served
from tests.tcp_proxy import TcpProxy

pytestmark = pytest.mark.servers("postgres", "s3")
PATH = "/v1/music/files"
MB = 1024 * 1024


@pytest.fixture
def postgres(env):
    upgrade(env["POSTGRES_URL"])
    with psycopg.connect(env["POSTGRES_URL"], autocommit=True) as connection:
        yield connection


@pytest.fixture
def key(postgres):
    return keys.make(postgres, "tests", ["read", "write"], requests_per_minute=100_000)


@pytest.fixture
def client(key):
    """A client of the service behind a socket."""
    with (
        served() as (address, _),
        httpx.Client(
            base_url=address, headers={"Authorization": f"Bearer {key}"}, timeout=60
        ) as client,
    ):
        yield client


@pytest.fixture
def raw(env):
    return MinioStore(configured("minio").client(), env["MUSIC_RAW_BUCKET"])


def objects(raw):
    return {one.key: one.size for one in raw.list_page("", None, 1_000).objects}


def unfinished(raw):
    listed = raw._client._list_multipart_uploads(raw.bucket)
    return [one.object_name for one in listed.uploads]


def put(client, *files, **query):
    return client.post(PATH, files=[("file", one) for one in files], params=query)


def bytes_of(seed: str, count: int) -> bytes:
    return hashlib.shake_128(seed.encode()).digest(count)


def form_of(*files: tuple[bytes, bytes], boundary: bytes = b"b0und") -> bytes:
    """A form as bytes, with names as they are given."""
    parts = [
        b'--%b\r\nContent-Disposition: form-data; name="file"; filename="%b"\r\n\r\n%b\r\n'
        % (boundary, name, data)
        for name, data in files
    ]
    return b"".join([*parts, b"--%b--\r\n" % boundary])


def post_form(client, body, **more):
    return client.post(
        PATH, content=body, headers={"Content-Type": "multipart/form-data; boundary=b0und"}, **more
    )


def test_files_land_with_equal_bytes_each_by_itself(client, raw):
    given = {f"folder {n % 3}/ä{n}.json": bytes_of(str(n), n * 97 + 1) for n in range(40)}
    given["a/b0und.csv"] = b"\r\n--b0un\r\n--b0unD x--\r\n\r\n" * 9
    given["%41+b.json"] = b"\x00\xff"
    said = post_form(client, form_of(*((name.encode(), data) for name, data in given.items())))
    assert said.status_code == 202, said.text
    files = said.json()["files"]
    assert [one["name"] for one in files] == list(given)
    for one in files:
        stored = raw.stat(one["name"])
        assert (raw.get(one["name"]), stored.version) == (given[one["name"]], one["version"])
        assert (one["bytes"], one["status"]) == (len(given[one["name"]]), 202)
        content = client.get(f"{one['href']}/content")
        assert content.content == given[one["name"]]
    assert set(objects(raw)) == set(given)


def test_a_large_file_is_never_in_memory_as_a_whole(client, raw):
    size, block = 64 * MB, bytes_of("large", MB)

    def body():
        yield form_of((b"large.h5", b"")).partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        for _ in range(size // MB):
            yield block
        yield b"\r\n--b0und--\r\n"

    tracemalloc.start()
    try:
        said = post_form(client, body())
        received = tracemalloc.get_traced_memory()[1]
        assert said.status_code == 202, said.text
        tracemalloc.reset_peak()
        whole = hashlib.sha256()
        with client.stream("GET", f"{PATH}/large.h5/content") as content:
            assert int(content.headers["content-length"]) == size
            for data in content.iter_raw():
                whole.update(data)
        sent = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert whole.digest() == hashlib.sha256(block * (size // MB)).digest()
    assert objects(raw) == {"large.h5": size}
    print(f"received with {received / MB:.0f} MiB, sent with {sent / MB:.0f} MiB")
    assert max(received, sent) < 5 * PART_BYTES < size


@pytest.mark.parametrize("size", [PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES])
def test_a_file_of_just_one_part_or_more_is_whole(client, raw, size):
    data = bytes_of("part", size)
    assert put(client, ("p.h5", data)).status_code == 202
    assert raw.get("p.h5") == data
    assert not unfinished(raw)


def test_one_bad_file_costs_only_itself(client, raw, monkeypatch):
    monkeypatch.setattr(uploads, "FILE_BYTES", PART_BYTES + 100)
    names = {
        b"": "name_refused", b"../x": "name_refused", b"a/../x": "name_refused",
        b"/etc/x": "name_refused", b"a//b": "name_refused", b"./x": "name_refused",
        b"a/": "name_refused", b"a\x00b": "name_refused", b"a\x1fb": "name_refused",
        b"a\x7fb": "name_refused", b"\xff\xfe": "name_refused", b"C:\\x\\y.h5": "name_refused",
        b"\\\\\\\\host\\\\y.h5": "name_refused", b"x" * 1_025: "name_refused",
        b"x.h5.part": "name_refused", b"x.tmp": "name_refused", b"..": "name_refused",
    }  # fmt: skip
    evil = [
        b"'; DROP TABLE x; --", b"%2e%2e%2fx", b"{0}%s${x}", b"<script>", b"a..b",
        "\u202ex".encode(),
    ]  # fmt: skip
    given = [(name, b"bad") for name in names] + [(name, name) for name in evil]
    given += [(b"empty", b""), (b"large", bytes(PART_BYTES + 101)), (b"last.json", b"[]")]
    said = post_form(client, form_of(*given))
    assert said.status_code == 202, said.text
    codes = [one.get("code") for one in said.json()["files"]]
    assert codes == [*names.values(), *[None] * len(evil), "empty_file", "file_too_large", None]
    assert set(objects(raw)) == {*(name.decode() for name in evil), "last.json"}
    assert not unfinished(raw)
    for name in evil:
        assert client.get(f"{PATH}/{quote(name, safe='')}/content").content == name

    below = put(client, ("last.json/x", b"x"), ("other.json", b"x"))
    assert [one.get("code") for one in below.json()["files"]] == ["refused_by_store", None]
    for asked in (client.get(f"{PATH}/last.json/x/content"), client.delete(f"{PATH}/last.json/x")):
        assert asked.json()["code"] == "unknown_file"
    refused = put(client, ("..", b"x"), ("ok.tmp", b"x"))
    assert (refused.status_code, refused.json()["code"]) == (422, "no_file_taken")
    assert [one["code"] for one in refused.json()["files"]] == ["name_refused"] * 2
    assert put(client, ("l.h5", bytes(PART_BYTES + 101))).status_code == 413


def test_a_file_is_replaced_only_where_that_is_asked_for(client, raw, postgres):
    assert put(client, ("a.json", b"one")).status_code == 202
    both = put(client, ("a.json", b"two"), ("b.json", b"two"))
    assert [one.get("code") for one in both.json()["files"]] == ["exists", None]
    again = put(client, ("a.json", b"two"))
    assert (again.status_code, again.json()["files"][0]["status"]) == (409, 409)
    assert raw.get("a.json") == b"one"
    assert put(client, ("a.json", b"two"), replace="true").status_code == 202
    assert raw.get("a.json") == b"two"
    # One that the pipeline has loaded is there, too, though it has left the bucket.
    postgres.execute(
        "INSERT INTO landing.object_version (source, store, bucket, key, version, size,"
        " modified_at, seen_at, outcome, rows_read) VALUES"
        " ('music_minio', 'minio', %s, 'c.json', '1', 1, now(), now(), 'loaded', 3)",
        (raw.bucket,),
    )
    assert put(client, ("c.json", b"x")).json()["files"][0]["code"] == "exists"
    assert put(client, ("c.json", b"x"), replace="true").status_code == 202


@pytest.mark.parametrize("replace", ["false", "true"])
def test_of_two_that_put_one_name_at_once_the_object_is_one_of_theirs(client, raw, replace):
    given = [bytes_of(str(n), PART_BYTES + 1_000) for n in range(4)]
    with ThreadPoolExecutor(4) as pool:
        said = list(pool.map(lambda data: put(client, ("r.h5", data), replace=replace), given))
    statuses = [one.status_code for one in said]
    assert set(statuses) <= {202, 409}, statuses
    taken = [data for data, status in zip(given, statuses, strict=True) if status == 202]
    assert raw.get("r.h5") in taken
    if replace == "false":
        assert len(taken) == 1
    assert not unfinished(raw)


def test_who_goes_away_amid_a_file_leaves_the_files_before_it_and_nothing_else(
    client, raw, key, monkeypatch
):
    monkeypatch.setattr(transfers, "AT_ONCE", 1)
    address = urlsplit(str(client.base_url))
    body = form_of((b"whole.json", b"[]"), (b"half.h5", bytes(PART_BYTES + 5 * MB)))
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
        "Content-Type: multipart/form-data; boundary=b0und\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    ).encode()
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(head + body[: -2 * MB])
        late = time.monotonic() + 30
        while not unfinished(raw):
            assert time.monotonic() < late
            time.sleep(0.02)
    while unfinished(raw):
        assert time.monotonic() < late
        time.sleep(0.02)
    assert set(objects(raw)) == {"whole.json"}
    # The name and the place are free again.
    while put(client, ("half.h5", b"x")).status_code != 202:
        assert time.monotonic() < late
        time.sleep(0.02)


def test_who_sends_nothing_for_long_or_comes_beside_too_many_is_told(client, raw, key, monkeypatch):
    address = urlsplit(str(client.base_url))
    monkeypatch.setattr(uploads, "IDLE_SECONDS", 0.05)
    with socket.create_connection((address.hostname, address.port), timeout=30) as connection:
        connection.sendall(
            f"POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\n"
            "Content-Type: multipart/form-data; boundary=b0und\r\n"
            "Content-Length: 1000\r\n\r\n--b0und\r\n".encode()
        )
        assert b" 408 " in connection.recv(100)
    monkeypatch.setattr(transfers, "AT_ONCE", 0)
    said = put(client, ("a.json", b"[]"))
    assert (said.status_code, said.json()["system"]) == (503, "the service")
    assert not objects(raw)


def test_a_form_that_breaks_off_names_what_landed(client, raw):
    whole = form_of((b"a.json", b"[]"), (b"b.json", b"[]"))
    said = post_form(client, whole[: whole.rindex(b"[]") + 1])
    assert (said.status_code, said.json()["code"]) == (422, "invalid_request")
    assert [one["name"] for one in said.json()["files"]] == ["a.json"]
    assert set(objects(raw)) == {"a.json"}
    for body in (b"", b"nonsense", b"--b0und--\r\n"):
        assert post_form(client, body).status_code == 422, body
    assert client.post(PATH, json={}).json()["code"] == "unsupported_media_type"


def test_a_body_beyond_the_routes_limit_is_refused_by_its_length_or_when_it_passes(
    env, key, raw, monkeypatch
):
    monkeypatch.setitem(music_uploads.LARGER, ("POST", PATH), 3 * MB)
    with (
        served() as (address, _),
        httpx.Client(base_url=address, headers={"Authorization": f"Bearer {key}"}) as client,
    ):
        body = form_of((b"a.h5", bytes(2 * MB)))
        assert post_form(client, body).status_code == 202
        body = form_of((b"b.h5", bytes(4 * MB)))
        parsed = urlsplit(address)
        with socket.create_connection((parsed.hostname, parsed.port)) as connection:
            # Nothing of the body is waited for.
            connection.sendall(
                f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            )
            assert b" 413 " in connection.recv(100)
        said = post_form(client, iter([body[:MB], body[MB : 2 * MB], body[2 * MB :]]))
        assert (said.status_code, said.json()["code"]) == (413, "body_too_large")
        other = client.post("/v1/images/tasks/x/cancel", content=bytes(limits.BODY_BYTES + 1))
        assert other.status_code == 413
    assert set(objects(raw)) == {"a.h5"}
    assert not unfinished(raw)


def test_a_file_is_served_from_where_it_lies_by_now(client, raw, postgres, env):
    name = 'dir/a "b";\u00e4.json'
    assert client.get(f"{PATH}/none/content").json()["code"] == "unknown_file"
    raw.put(name, b"[1]")
    version = raw.stat(name)
    path = f"{PATH}/{quote(name)}/content"
    said = client.get(path)
    assert (said.content, said.headers["content-type"]) == (b"[1]", "application/octet-stream")
    assert said.headers["content-disposition"] == (
        "attachment; filename=\"a__b___.json\"; filename*=UTF-8''a%20%22b%22%3B%C3%A4.json"
    )
    tag = said.headers["etag"]
    assert client.get(path, headers={"If-None-Match": tag}).status_code == 304
    # It moves, as the pipeline moves it: the tag is that of the same version.
    MinioStore(raw._client, env["MUSIC_PROCESSED_BUCKET"]).put("objects/x/1", b"[1]")
    (seq,) = postgres.execute(
        "INSERT INTO landing.object_version (source, store, bucket, key, version, size,"
        " modified_at, seen_at) VALUES ('music_minio', 'minio', %s, %s, %s, 3, now(), now())"
        " RETURNING seq",
        (raw.bucket, name, version.version),
    ).fetchone()
    postgres.execute(
        "INSERT INTO music.archived_object (seq, processed_key, sha256) VALUES (%s, %s, 's')",
        (seq, "objects/x/1"),
    )
    raw.delete(name)
    moved = client.get(path)
    assert (moved.content, moved.headers["etag"]) == (b"[1]", tag)
    raw.put(name, b"[1, 2]")
    newer = client.get(path, headers={"If-None-Match": tag})
    assert (newer.status_code, newer.content) == (200, b"[1, 2]")


def test_a_file_that_is_taken_down_says_nothing_and_is_not_put_again(client, raw, postgres):
    assert client.delete(f"{PATH}/none.json").json()["code"] == "unknown_file"
    assert client.delete(f"{PATH}/{quote('../x', safe='')}").status_code == 404
    assert put(client, ("dir/a.json", b"[1]"), ("b.json", b"[1]")).status_code == 202
    for _ in range(2):
        said = client.delete(f"{PATH}/dir/a.json", params={"why": "a court's order"})
        assert (said.status_code, said.json()["records"]) == (202, 0)
        down = postgres.execute("SELECT key, why FROM music.taken_down").fetchall()
        assert down == [("dir/a.json", "a court's order")]
        assert raw.get("dir/a.json") == b"[]"
    assert client.get(f"{PATH}/dir/a.json/content").json()["code"] == "taken_down"
    again = put(client, ("dir/a.json", b"[1]"), replace="true")
    assert (again.status_code, again.json()["files"][0]["code"]) == (409, "taken_down")
    assert raw.get("b.json") == b"[1]"


def test_only_keys_that_may_put_and_take_down(client, postgres, raw):
    reads = keys.make(postgres, "reads", ["read"])
    for header, status in ((f"Bearer {reads}", 403), ("", 401)):
        asked = {"headers": {"Authorization": header}}
        assert client.post(PATH, files={"file": ("a", b"x")}, **asked).status_code == status
        assert client.delete(f"{PATH}/a", **asked).status_code == status
    assert client.get(f"{PATH}/a/content", headers={"Authorization": ""}).status_code == 401
    assert not objects(raw)


@pytest.mark.parametrize("how", ["cut", "freeze"])
def test_a_store_that_is_away_is_named_within_seconds(env, key, raw, monkeypatch, how):
    address = urlsplit(env["MINIO_ENDPOINT"])
    with TcpProxy((address.hostname, address.port)) as proxy:
        monkeypatch.setenv("MINIO_ENDPOINT", f"http://{proxy.address}")
        with (
            served() as (service, _),
            httpx.Client(
                base_url=service, headers={"Authorization": f"Bearer {key}"}, timeout=DEADLINE / 3
            ) as client,
        ):
            assert put(client, ("a.json", b"x")).status_code == 202
            getattr(proxy, how)()
            for asked in (
                lambda: put(client, ("b.json", b"x")),
                lambda: client.get(f"{PATH}/a.json/content"),
                lambda: client.delete(f"{PATH}/a.json"),
            ):
                said = asked()
                assert (said.status_code, said.json()["system"]) == (503, "minio"), said.text
            (proxy.restore if how == "cut" else proxy.thaw)()
            late = time.monotonic() + 30
            while put(client, ("b.json", b"x"), replace="true").status_code != 202:
                assert time.monotonic() < late
                time.sleep(0.2)
    assert raw.get("b.json") == b"x"
