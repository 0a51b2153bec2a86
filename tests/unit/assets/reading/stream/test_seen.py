from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from assets.reading.stream.seen import SeenIds

IDS = (
    st.integers(0, 2**64 + 5).map(str)
    | st.integers(0, 60).map(str)
    | st.sampled_from(["007", "7", "", "-7", "x7", "18446744073709551615", "18446744073709551616"])
    | st.text(max_size=3)
)


@settings(deadline=None)
@given(st.lists(st.lists(IDS, max_size=20), max_size=12), st.lists(IDS, max_size=40))
def test_it_is_a_set(added: list[list[str]], asked: list[str]) -> None:
    seen = SeenIds(recent=7)
    for ids in added:
        seen.add(ids)
        assert seen.among(ids) <= set(ids)
    everything = {one for ids in added for one in ids}
    assert seen.among(asked) <= everything & set(asked)
    numbers = {one for one in everything if one.isascii() and one.isdigit() and len(one) <= 20}
    numbers = {one for one in numbers if str(int(one)) == one and int(one) < 2**64}
    assert seen.among(sorted(numbers)) == numbers
    # What is no number is kept as it is, the last seven of them.
    odd = [one for ids in added for one in ids if one not in numbers]
    assert seen.among(odd) <= set(odd)
    if len(set(odd)) <= 7:
        assert seen.among(odd) == set(odd)


def test_the_oldest_are_forgotten_not_the_newest() -> None:
    seen = SeenIds(limit=1_000, recent=50)
    for start in range(0, 5_000, 10):
        seen.add(map(str, range(start, start + 10)))
    assert len(seen.among([str(n) for n in range(4_500, 5_000)])) == 500
    remembered = seen.among([str(n) for n in range(5_000)])
    assert len(remembered) <= 1_000 + 51
    assert not seen.among([str(n) for n in range(3_000)])


def test_many_ids_take_little_memory() -> None:
    seen = SeenIds()
    for start in range(0, 300_000, 10_000):
        seen.add(map(str, range(10**16 + start, 10**16 + start + 10_000)))
    assert sum(run.nbytes for run in seen._runs) <= 2_400_000
    assert len(seen._recent) <= 60_000
    assert len(seen._runs) < 10
    assert seen.among([str(10**16 + 123_456), str(10**16 + 300_001)]) == {str(10**16 + 123_456)}
