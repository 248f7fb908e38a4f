"""A number with what it counts, in English: `1 row`, `1,200 rows`."""

from __future__ import annotations

__all__ = ["counted"]


def counted(number: int, one: str, many: str = "") -> str:
    """`1 row`, `1,200 rows`; with a verb where it differs too: `counted(n, "row is", "rows are")`.

    Args:
        one: what one is called.
        many: what several are called; empty: the same with an s.
    """
    return f"{number:,} {one if number == 1 else many or one + 's'}"
