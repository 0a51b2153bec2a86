"""The corpus of hostile files through probe, transform and copy."""

from __future__ import annotations

import dataclasses
import random
import warnings

import pytest

from assets.images.processing import decoding
from assets.images.processing.decoding import ImageRefused, probe
from assets.images.processing.operation import Operation
from assets.images.processing.transform import transform
from tests.hostile_images import LIMITS, Hostile, corpus

CORPUS = corpus()
OPERATION = Operation(width=32, height=32)


def status_of(data: bytes) -> str:
    try:
        transform(data, 1, OPERATION, LIMITS)
    except ImageRefused as error:
        return error.status
    return "ok"


def test_the_corpus_is_large_and_its_names_are_unique() -> None:
    assert len(CORPUS) >= 40
    assert len({one.name for one in CORPUS}) == len(CORPUS)


@pytest.mark.parametrize("one", CORPUS, ids=lambda one: one.name)
def test_a_file_gets_its_status(one: Hostile) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for operation, expected in (
            (OPERATION, one.status),
            (dataclasses.replace(OPERATION, exif="keep", format="PNG", fit="contain"), one.status),
            (dataclasses.replace(OPERATION, exif="keep", fit="cover", flip="random"), one.status),
            (Operation(kind="copy"), one.of_copy),
        ):
            if expected == "ok":
                made = transform(one.data, 7, operation, LIMITS)
                assert made.data
                if operation.kind == "transform":
                    assert (made.width, made.height) == (32, 32)
                    assert probe(made.data, LIMITS).format == operation.format
            else:
                with pytest.raises(ImageRefused) as refused:
                    transform(one.data, 7, operation, LIMITS)
                assert refused.value.status == expected
                assert 0 < len(refused.value.detail) <= 160
                assert refused.value.detail.isprintable()


@pytest.mark.parametrize("one", CORPUS, ids=lambda one: one.name)
def test_a_probe_sees_what_a_copy_sees(one: Hostile) -> None:
    found = probe(one.data, LIMITS)
    assert found.status == one.of_copy
    assert (found.status == "ok") == (found.detail == "")
    if found.status == "ok":
        assert found.format in {"JPEG", "PNG", "WEBP"}
        assert found.width > 0
        assert found.height > 0
        assert found.mode


@pytest.mark.parametrize(
    "one", [one for one in CORPUS if one.status == "ok"][::4], ids=lambda one: one.name
)
def test_a_file_cut_anywhere_is_refused_or_whole(one: Hostile) -> None:
    """Every prefix has an end of its own: no other error gets out, and none is a success early."""
    step = max(1, len(one.data) // 40)
    for length in range(0, len(one.data) - 1, step):
        status = status_of(one.data[:length])
        if not one.name.startswith(("tail", "mpo")):
            assert status in {"corrupt", "unsupported"}


@pytest.mark.parametrize(
    "one", [one for one in CORPUS if one.status == "ok"][::3], ids=lambda one: one.name
)
def test_altered_bytes_raise_nothing_else(one: Hostile) -> None:
    rng = random.Random(one.name)
    for _ in range(40):
        data = bytearray(one.data)
        for _ in range(rng.randrange(1, 6)):
            data[rng.randrange(min(len(data), rng.choice((64, 1024, 1 << 30))))] = rng.randrange(
                256
            )
        assert status_of(bytes(data)) in {"ok", "corrupt", "unsupported", "too_large"}


def test_no_pixel_is_made_of_what_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    monkeypatch.setattr(decoding, "_OPENERS", dict.fromkeys(decoding._OPENERS, made.append))
    for one in CORPUS:
        if one.status == "too_large":
            assert probe(one.data, LIMITS).status == "too_large"
    assert not made


def test_a_library_s_words_are_one_printable_line() -> None:
    assert decoding.printable("no\x00t\n\x1b[31m a b'\xff' picture") == "no t [31m a b' ' picture"
