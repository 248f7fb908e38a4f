"""Draws the diagrams of docs/states.md from the tables in promomsg/states.py.

python docs/make_states.py           # write them into the page
python docs/make_states.py --check   # exit 1 when the page is not current
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from promomsg.model import State, Verdict
from promomsg.states import FINAL, GROUP_MOVES, MOVES, GroupState, IllegalMove, state_after

PAGE = Path(__file__).with_name("states.md")
_GROUP_END = frozenset(GroupState) - {start for start, _ in GROUP_MOVES}


def diagram(moves: Mapping[Any, StrEnum], first: StrEnum, final: frozenset[StrEnum]) -> str:
    """A state table as a Mermaid diagram; a state that is left only at the user's request is final too."""
    edges: dict[tuple[str, str], list[str]] = {}
    for (start, event), end in moves.items():
        edges.setdefault((start, end), []).append(event)
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {first}"]
    lines += [f"    {a} --> {b}: {', '.join(events)}" for (a, b), events in edges.items()]
    lines += [f"    {state} --> [*]" for state in type(first) if state in final]
    return "\n".join([*lines, "```"])


def verdicts() -> str:
    """Where each verdict leaves a recipient whose single send it is of."""
    lines = ["| verdict | an intended recipient becomes |", "| --- | --- |"]
    for verdict in Verdict:
        try:
            lines.append(f"| `{verdict}` | `{state_after(verdict)}` |")
        except IllegalMove:
            lines.append(f"| `{verdict}` | no verdict of a single send |")
    return "\n".join(lines)


def current(page: str) -> str:
    """The page with its drawn parts as they are to be."""
    parts = {
        "recipient": diagram(MOVES, State.PENDING, FINAL),
        "verdicts": verdicts(),
        "group": diagram(GROUP_MOVES, GroupState.PLANNED, _GROUP_END),
    }
    for name, text in parts.items():
        begin, end = f"<!-- drawn: {name} -->", "<!-- end -->"
        pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        page, found = pattern.subn(f"{begin}\n{text}\n{end}", page)
        if found != 1:
            raise SystemExit(f"{PAGE.name} has {found} places for {name!r}; it needs exactly one")
    return page


def main() -> int:
    """Writes or checks the page; returns the exit status."""
    page = PAGE.read_text(encoding="utf-8")
    drawn = current(page)
    if "--check" in sys.argv[1:]:
        if page != drawn:
            print("docs/states.md is not current; run: python docs/make_states.py", file=sys.stderr)
        return int(page != drawn)
    PAGE.write_text(drawn, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
