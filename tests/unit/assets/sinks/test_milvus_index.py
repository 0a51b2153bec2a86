from __future__ import annotations

import pytest

from assets.sinks.milvus_index import MANY, Index

HNSW = {"M": 16, "efConstruction": 200}


@pytest.mark.parametrize(
    ("text", "rows", "expected"),
    [
        ("auto", 0, ("FLAT", {})),
        ("", MANY - 1, ("FLAT", {})),
        ("auto", MANY, ("HNSW", HNSW)),
        ("auto from=10 M=32", 10, ("HNSW", {"M": 32, "efConstruction": 200})),
        ("FLAT", 10**9, ("FLAT", {})),
        ("HNSW efConstruction=400", 1, ("HNSW", {"M": 16, "efConstruction": 400})),
        ("AUTOINDEX", 1, ("AUTOINDEX", {})),
    ],
)
def test_the_setting_and_the_number_of_vectors_choose(text, rows, expected):
    assert Index.parse(text).of(rows) == expected


@pytest.mark.parametrize(
    "text", ["flat", "IVF_FLAT", "HNSW M", "HNSW M=0", "FLAT M=3", "auto from=-1", "auto ef=3"]
)
def test_anything_else_is_said(text):
    with pytest.raises(ValueError, match="MILVUS_INDEX is"):
        Index.parse(text)
