"""How many outcomes came in which stretch of time."""

from __future__ import annotations

from typing import Final

from promomsg.journal.state_sql import in_state
from promomsg.states import FINAL

__all__ = ["bounds_text", "stretches_text"]

_REACHED: Final = f"at IS NOT NULL AND {in_state(*FINAL)}"


def bounds_text(rows: str) -> str:
    """The statement of when the first and the last outcome came; `rows`: what they are read from."""
    return f"SELECT min(at), max(at) FROM {rows} AS p WHERE {_REACHED}"  # noqa: S608 - ours


def stretches_text(rows: str) -> str:
    """The statement of (stretch number, state number, how many), in stretches of %(step)s seconds."""
    return (
        f"SELECT floor(at / %(step)s)::bigint, state, count(*) FROM {rows} AS p"  # noqa: S608 - ours
        f" WHERE {_REACHED} GROUP BY 1, 2"
    )
