from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from api.keys import Key, recognised

SECRET = "s" * 43
KEYS = {
    "qk_a": Key("qk_a", "a", frozenset({"read"}), hashlib.sha256(SECRET.encode()).digest(), 1),
    "qk_b": Key("qk_b", "b", frozenset({"admin"}), bytes(32), 1),
}


def test_only_the_whole_key_is_recognised():
    assert recognised(KEYS, f"qk_a.{SECRET}") is KEYS["qk_a"]
    assert recognised(KEYS, f"qk_b.{SECRET}") is None


@given(st.one_of(st.text(), st.text().map("qk_a.".__add__), st.text().map("qk_b.".__add__)))
def test_nothing_else_is_nor_is_it_an_error(presented):
    assert recognised(KEYS, presented) is None


def test_admin_has_every_scope():
    assert all(KEYS["qk_b"].allows(scope) for scope in ("read", "write", "admin"))
    assert [KEYS["qk_a"].allows(scope) for scope in ("read", "write", "admin")] == [
        True,
        False,
        False,
    ]
