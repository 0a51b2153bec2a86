"""A set of items' numbers, at a bit each: a million take an eighth of a megabyte.

Belongs here: the set. Does not: what its numbers stand for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

_BITS = 8


class Numbers:
    """Whole numbers from 0 on; as large as the largest that was ever in it."""

    def __init__(self, numbers: Iterable[int] = ()) -> None:
        self._bits = bytearray()
        for number in numbers:
            self.add(number)

    def add(self, number: int) -> None:
        """Put it in."""
        at, bit = divmod(number, _BITS)
        if at >= len(self._bits):
            # By eighths, so that one after another is not a copy each.
            self._bits.extend(bytes(at + 1 - len(self._bits) + len(self._bits) // 8))
        self._bits[at] |= 1 << bit

    def discard(self, number: int) -> None:
        """Take it out, if it is in."""
        if number in self:
            at, bit = divmod(number, _BITS)
            self._bits[at] ^= 1 << bit

    def __contains__(self, number: int) -> bool:
        at, bit = divmod(number, _BITS)
        return at < len(self._bits) and bool(self._bits[at] >> bit & 1)

    def __len__(self) -> int:
        return int.from_bytes(self._bits).bit_count()

    def __iter__(self) -> Iterator[int]:
        for at, bits in enumerate(self._bits):
            if bits:
                yield from (at * _BITS + bit for bit in range(_BITS) if bits >> bit & 1)
