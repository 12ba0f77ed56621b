"""Sets of source offsets, one bit each, that can be compared with a table without its rows. Pure.

A set is divided into windows. ClickHouse counts and sums the source offsets of each window in one pass over the table.
Only the windows whose figures differ are read offset by offset.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import mul
from typing import NamedTuple, Self

WINDOW = 1 << 16
"""Source offsets of a window."""
RANGES_SHOWN = 20
_BYTES = WINDOW // 8
_MODULUS = 1 << 64
"""ClickHouse's UInt64 wraps around."""


class Figures(NamedTuple):
    """What two sets have in common if they are equal: number, sum and sum of squares, each modulo 2^64.

    Sets that differ by up to two offsets each way never have the same figures.
    """

    number: int
    total: int
    squares: int


def _of_bits(value: Callable[[int], int]) -> bytes:
    """Return the sum of *value* over the bits of each byte."""
    return bytes(sum(value(bit) for bit in range(8) if byte >> bit & 1) for byte in range(256))


_COUNTS, _TOTALS, _SQUARES = _of_bits(lambda _: 1), _of_bits(lambda bit: bit), _of_bits(lambda bit: bit * bit)
_PLACES = range(_BYTES)
_PLACES_SQUARED = tuple(place * place for place in _PLACES)
_NONE = Figures(0, 0, 0)


def _any(sets: Iterable[SourceOffsets], number: int) -> int:
    """Return the bits of window *number* that one of *sets* has."""
    bits = 0
    for each in sets:
        bits |= int.from_bytes(each._windows.get(number, b""), "little")  # noqa: SLF001  # of the same class
    return bits


class SourceOffsets:
    """A set of source offsets."""

    def __init__(self, offsets: Iterable[int] = ()) -> None:
        self._windows: dict[int, bytearray] = {}
        for offset in offsets:
            self.add(offset)

    def add(self, offset: int) -> None:
        """Add *offset*."""
        number, place = divmod(offset, WINDOW)
        window = self._windows.get(number)
        if window is None:
            window = self._windows[number] = bytearray(_BYTES)
        window[place >> 3] |= 1 << (place & 7)

    @classmethod
    def between(cls, first: int, end: int) -> Self:
        """Return the set of the offsets from *first* to before *end*."""
        found = cls()
        for number in range(first // WINDOW, -(-end // WINDOW)):
            start, stop = max(first - number * WINDOW, 0), min(end - number * WINDOW, WINDOW)
            if start < stop:
                bits = (1 << stop) - (1 << start)
                found._windows[number] = bytearray(bits.to_bytes(_BYTES, "little"))
        return found

    def without(self, *others: SourceOffsets) -> SourceOffsets:
        """Return the offsets that are in none of *others*."""
        return self._combined(lambda bits, number: bits & ~_any(others, number))

    def common(self, *others: SourceOffsets) -> SourceOffsets:
        """Return the offsets that are in one of *others* as well."""
        return self._combined(lambda bits, number: bits & _any(others, number))

    def _combined(self, combine: Callable[[int, int], int]) -> SourceOffsets:
        found = SourceOffsets()
        for number, window in self._windows.items():
            if bits := combine(int.from_bytes(window, "little"), number):
                found._windows[number] = bytearray(bits.to_bytes(_BYTES, "little"))
        return found

    def discard(self, offset: int) -> None:
        """Remove *offset* if it is there."""
        number, place = divmod(offset, WINDOW)
        if (window := self._windows.get(number)) is not None:
            window[place >> 3] &= ~(1 << (place & 7))

    def forget_below(self, offset: int) -> None:
        """Remove the windows that end below *offset*."""
        for number in [number for number in self._windows if (number + 1) * WINDOW <= offset]:
            del self._windows[number]

    def __contains__(self, offset: int) -> bool:
        number, place = divmod(offset, WINDOW)
        window = self._windows.get(number)
        return window is not None and bool(window[place >> 3] >> (place & 7) & 1)

    def __len__(self) -> int:
        return sum(int.from_bytes(window, "little").bit_count() for window in self._windows.values())

    def __bool__(self) -> bool:
        return any(any(window) for window in self._windows.values())

    def __iter__(self) -> Iterator[int]:
        """Yield the offsets in their order."""
        for number in sorted(self._windows):
            for place, byte in enumerate(self._windows[number]):
                if byte:
                    first = number * WINDOW + 8 * place
                    yield from (first + bit for bit in range(8) if byte >> bit & 1)

    def windows(self) -> list[int]:
        """Return the numbers of the windows that may have offsets, in their order."""
        return sorted(self._windows)

    def figures(self, number: int) -> Figures:
        """Return the figures of window *number*."""
        window = self._windows.get(number)
        if window is None:
            return _NONE
        base = number * WINDOW
        # With offset = base + 8 * place + bit, each sum over the bits follows from sums over the bytes.
        counts, totals = window.translate(_COUNTS), window.translate(_TOTALS)
        count, of_places = sum(counts), sum(map(mul, counts, _PLACES))
        of_bits, of_both = sum(totals), sum(map(mul, totals, _PLACES))
        total = base * count + 8 * of_places + of_bits
        squares = (
            base * (2 * total - base * count)
            + 64 * sum(map(mul, counts, _PLACES_SQUARED))
            + 16 * of_both
            + sum(window.translate(_SQUARES))
        )
        return Figures(count, total % _MODULUS, squares % _MODULUS)

    def differing_windows(self, others: Mapping[int, Figures]) -> list[int]:
        """Return the numbers of the windows that differ from *others*, figures by number, in their order."""
        numbers = self._windows.keys() | others.keys()
        return sorted(number for number in numbers if self.figures(number) != others.get(number, _NONE))

    def offsets_of(self, number: int) -> set[int]:
        """Return the offsets of window *number*."""
        window = self._windows.get(number, b"")
        first = number * WINDOW
        return {
            first + 8 * place + bit for place, byte in enumerate(window) if byte for bit in range(8) if byte >> bit & 1
        }


def ranges(offsets: Iterable[int]) -> list[tuple[int, int]]:
    """Return *offsets*, which grow, as ranges: first and last."""
    found: list[tuple[int, int]] = []
    for offset in offsets:
        if found and offset == found[-1][1] + 1:
            found[-1] = (found[-1][0], offset)
        else:
            found.append((offset, offset))
    return found


def describe(offsets: Iterable[int]) -> str:
    """Return *offsets*, which grow, as the words of a message: the first ranges, and how many more there are."""
    found = ranges(offsets)
    text = ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in found[:RANGES_SHOWN])
    more = len(found) - RANGES_SHOWN
    return f"source offsets {text}" + (f" and {more} more ranges" if more > 0 else "")
