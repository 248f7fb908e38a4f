"""The nearest known name to a mistyped one: what turns "unknown key" into an answer."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["did_you_mean", "nearest", "quoted"]


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that `name` was most likely meant to be, or None when none is near.

    Case, dashes and spaces do not count: `"OpenID"` is near `"openid"`, `"test-to"` `"test_to"`.
    """
    # Loaded for a mistyped name alone.
    from difflib import get_close_matches

    folded = {_fold(k): k for k in known}
    found = get_close_matches(_fold(name), folded, n=1, cutoff=0.6)
    return folded[found[0]] if found else None


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`"; did you mean 'secret'?"`, or the empty string: to be put at the end of a message."""
    near = nearest(name, known)
    return f"; did you mean {near!r}?" if near is not None else ""


def quoted(names: Iterable[str], limit: int = 12) -> str:
    """Names for a message: `'id', 'name'`, cut after `limit` with how many more there are."""
    every = list(names)
    text = ", ".join(repr(n) for n in every[:limit])
    return text if len(every) <= limit else f"{text} and {len(every) - limit} more"


def _fold(name: str) -> str:
    return name.strip().casefold().replace("-", "_").replace(" ", "_")
