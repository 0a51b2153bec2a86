import json
import random
import time
from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.images.processing.operation import Operation
from assets.images.requests import request as requests
from assets.images.requests.known_values import require_known
from assets.images.requests.request import (
    MOST_BYTES,
    MOST_PROBLEMS,
    PROBLEM_CHARACTERS,
    ImageRequest,
    RefusedRequestError,
    parse,
    task_of,
)

TEXT = st.text(min_size=1, max_size=12).filter(lambda text: text.strip())
VALUES = st.one_of(TEXT, st.lists(TEXT, min_size=1, max_size=3))
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "gender": VALUES,
        "base_colour": VALUES,
        "season": VALUES,
        "year": st.one_of(
            st.integers(1, 9999), st.lists(st.integers(1, 9999), min_size=1, max_size=3)
        ),
        "ids": st.lists(st.integers(0, 10**9), min_size=1, max_size=5),
        "limit": st.integers(1, 1000),
        "predict": st.booleans(),
        "parameters": st.fixed_dictionaries({}, optional={"seed": st.integers(-5, 5)}),
    },
)


def problems(data: bytes) -> tuple[str, tuple[str, ...]]:
    with pytest.raises(RefusedRequestError) as refused:
        parse(data)
    return refused.value.code, refused.value.problems


@given(FIELDS, st.randoms(use_true_random=False))
def test_the_same_request_is_the_same_task_however_it_is_written(
    fields: dict[str, object], order: random.Random
) -> None:
    names = list(fields)
    order.shuffle(names)
    shuffled = {name: fields[name] for name in names}
    for name, value in shuffled.items():
        if name in {"gender", "base_colour", "season", "year", "ids"} and isinstance(value, list):
            order.shuffle(value)
        elif name in {"gender", "base_colour", "season", "year"} and order.random() < 0.5:
            shuffled[name] = [value]
    written = json.dumps(fields, indent=2).encode()
    again = json.dumps(shuffled, ensure_ascii=False).encode("utf-8", "surrogatepass")

    assert task_of(written) == task_of(again)


def test_another_request_is_another_task() -> None:
    asked = [
        {"gender": "Men"}, {"gender": "Women"}, {"season": "Men"}, {"gender": "Men", "year": 2010},
        {"gender": "Men", "start_year": 2010, "end_year": 2010}, {"gender": "Men", "limit": 1},
        {"gender": "Men", "operation": "copy"}, {"gender": "Men", "parameters": {"seed": 1}},
        {"gender": "Men", "predict": True}, {"gender": "Men", "webdataset": True}, {},
    ]  # fmt: skip

    assert len({task_of(json.dumps(one).encode()) for one in asked}) == len(asked)


def test_what_is_said_anyway_makes_no_other_task() -> None:
    said = b'{"gender": "Men", "operation": "transform", "parameters": {"crop": 0.8, "size": 256}}'

    assert task_of(said) == task_of(b'{"gender":"Men"}')


@given(st.binary(max_size=200) | st.text(max_size=100).map(str.encode))
def test_no_bytes_break_it_and_every_task_s_name_is_a_folder(data: bytes) -> None:
    name = task_of(data)

    assert PurePosixPath(name).parts == (name,)
    assert name not in {".", ".."}


@pytest.mark.parametrize(
    "name",
    ["../up", "a/b", "", ".", "..", ".hidden", "a" * 101, "x\n", "ü", "trailing.", "a..b", " x", 7],
)
def test_a_name_that_is_no_folder_is_refused(name: object) -> None:
    data = json.dumps({"task": name}).encode()

    assert problems(data)[0] == "invalid_request"
    assert task_of(data) == requests.digest(data)


def test_a_refused_request_keeps_the_name_that_it_gave() -> None:
    assert task_of(b'{"task": "autumn-2010", "colour": "Red"}') == "autumn-2010"


def test_unknown_fields_name_the_nearest_and_all_problems_are_told() -> None:
    code, told = problems(b'{"colour": "Red", "yaer": 2010, "parameters": {"sise": 3}}')

    assert code == "unknown_field"
    assert set(told) == {
        "unknown field colour: did you mean base_colour?",
        "unknown field yaer: did you mean year?",
        "unknown field parameters.sise: did you mean size or seed?",
    }


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"[]", "not a JSON object"),
        (b"", "not JSON"),
        (b'{"a": 1, "a": 2}', "given twice: a"),
        (b'{"limit": NaN}', "NaN is no number"),
        (b"\xff\xfe\xff", "not JSON"),
        (b"[" * 200_000, "not JSON"),
        (b" " * (MOST_BYTES + 1), f"a request has {MOST_BYTES}"),
    ],
)
def test_what_is_no_json_object_is_refused(data: bytes, said: str) -> None:
    code, told = problems(data)

    assert code == "not_json"
    assert said in told[0]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"year": "2010"}, "year"),
        ({"year": 2010, "start_year": 2009}, "either year"),
        ({"start_year": 2011, "end_year": 2010}, "is after"),
        ({"limit": 0}, "limit"),
        ({"gender": "  "}, "gender"),
        ({"ids": []}, "ids"),
        ({"ids": [-1]}, "ids"),
        ({"predict": "yes"}, "predict"),
        ({"operation": "move"}, "'copy' or 'transform'"),
        ({"operation": "copy", "parameters": {"seed": 1}}, "a copy has no parameters"),
        ({"parameters": {"crop": 0}}, "parameters.crop"),
        ({"parameters": {"crop": 1.1}}, "parameters.crop"),
        ({"parameters": {"size": 5000}}, "parameters.size"),
        ({"parameters": {"size": [10, 20, 30]}}, "parameters.size"),
        ({"parameters": {"format": "GIF"}}, "parameters.format"),
        ({"parameters": {"quality": 101}}, "parameters.quality"),
        ({"parameters": {"rotate": True}}, "parameters.rotate"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(fields: dict[str, object], said: str) -> None:
    code, told = problems(json.dumps(fields).encode())

    assert code == "invalid_request"
    assert said in " ".join(told)


def test_names_of_the_catalogue_s_file_and_other_encodings_are_understood() -> None:
    asked = parse('{"masterCategory": "Apparel", "baseColour": ["Red"]}'.encode("utf-16"))

    assert (asked.master_category, asked.base_colour) == ("Apparel", ["Red"])


def test_the_operation_is_the_request_s() -> None:
    told = {
        "crop": 0.5, "size": [10, 20], "fit": "cover", "seed": 7, "format": "jpg", "quality": 80,
        "exif": "keep", "flip": "random", "rotate": 5, "colour_jitter": 0.1, "blur": 1.5,
    }  # fmt: skip
    asked = parse(json.dumps({"parameters": told}).encode())

    assert asked.work() == Operation(
        kind="transform", crop=0.5, width=10, height=20, fit="cover", seed=7, format="JPEG",
        quality=80, exif="keep", flip="random", rotate=5.0, jitter=0.1, blur=1.5,
    )  # fmt: skip
    assert ImageRequest().work() == Operation()


def test_an_unknown_field_may_be_called_anything() -> None:
    code, told = problems(b'{"no-such field": 1, "": 2, "parameters": {"x-y": 3}}')

    assert code == "unknown_field"
    assert [one.partition(": ")[0] for one in told] == [
        "unknown field parameters.x-y",
        "unknown field no-such field",
        "unknown field ",
    ]


def test_a_value_that_no_product_has_names_the_nearest() -> None:
    known = {name: frozenset({"Men", "Women"}) for name in ImageRequest.FILTERS}
    known["season"] = frozenset({"Fall", "Winter"})

    require_known(ImageRequest(gender=["Men", "Women"], season="Fall"), known)
    with pytest.raises(RefusedRequestError) as refused:
        require_known(ImageRequest(gender=["man", "Women"], season="Spring\0"), known)
    assert refused.value.code == "unknown_value"
    first, second = refused.value.problems
    assert first == "gender: no product has 'man'; did you mean Men or Women?"
    assert second.startswith("season: no product has 'Spring\\x00'; such as ['Fall', 'Winter']")


@pytest.mark.parametrize(
    "data",
    [
        "{" + ",".join(f'"a{n}":1' for n in range(90_000)) + ',"a0":1}',
        "{" + ",".join(f'"a{n}":1,"a{n}":1' for n in range(45_000)) + "}",
        "{" + ",".join(f'"gendre{n}":1' for n in range(60_000)) + "}",
        '{"ids":[' + ",".join('"a"' for _ in range(240_000)) + "]}",
        '{"' + "g" * 1_000_000 + '":1}',
    ],
    ids=["one name twice", "names twice", "unknown fields", "ids that are none", "a long name"],
)
def test_a_file_of_nothing_but_faults_is_refused_at_once_and_in_few_words(data: str) -> None:
    """A sensor's tick reads it, and other requests wait for that."""
    assert len(data) <= MOST_BYTES
    started = time.process_time()

    _, told = problems(data.encode())

    assert time.process_time() - started < 10
    assert len(told) <= MOST_PROBLEMS + 1
    assert sum(map(len, told)) <= (MOST_PROBLEMS + 1) * PROBLEM_CHARACTERS


def test_of_too_many_problems_it_says_how_many_more_there_are() -> None:
    _, told = problems(json.dumps({f"field{n}": 1 for n in range(1_234)}).encode())

    assert told[-1] == "and 1,134 more"
