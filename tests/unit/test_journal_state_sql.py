"""The state table is what the SQL runs on: change a row, and a statement changes or is refused."""

from __future__ import annotations

import re
import runpy
import sqlite3
from pathlib import Path
from typing import Any

import pytest

import promomsg.journal.postgres as postgres_package
import promomsg.journal.sqlite as sqlite_package
from promomsg import states
from promomsg.journal import state_sql
from promomsg.journal.counts import STATES
from promomsg.journal.sqlite.schema import schema_text
from promomsg.model import State
from promomsg.states import FINAL, GROUP_MOVES, MOVES, Event, GroupEvent, GroupState, IllegalMove

SQLITE = Path(sqlite_package.__path__[0])
POSTGRES = Path(postgres_package.__path__[0])
WRITING = {
    "sqlite": [*(SQLITE / "statements").glob("*.py"), SQLITE / "crash_safety" / "lost_commits.py"],
    "postgres": [
        path
        for folder in ("commits", "planning", "statements")
        for path in (POSTGRES / folder).glob("*.py")
    ],
}
"""The modules of each kind whose statements change states."""
KINDS = sorted(WRITING)
OF_A_VERDICT = (State.INTENDED, Event.MESSAGE_REFUSED)
"""In SQL it is a failure like another; `state_after` makes it one."""
OF_A_FILE = (Event.COMMITS_LOST, GroupEvent.COMMITS_LOST)
"""Only a file can lose commits that were made."""


def moves(table: dict[Any, Any]) -> list[tuple[str, Any]]:
    """Each kind with each move that its statements make."""
    return [
        (kind, row)
        for kind in KINDS
        for row in table
        if row != OF_A_VERDICT and (kind == "sqlite" or row[1] not in OF_A_FILE)
    ]


def modules(kind: str) -> list[Path]:
    return sorted(path for path in WRITING[kind] if path.name != "__init__.py")


def built(name: str) -> dict[str, Any]:
    """The statements of one module, put together anew from the table as it is now."""
    return runpy.run_path(str(SQLITE / "statements" / f"{name}.py"))


def refused(kind: str) -> set[str]:
    """The modules that cannot be put together from the table as it is now."""
    found = set()
    for path in modules(kind):
        try:
            runpy.run_path(str(path))
        except IllegalMove:
            found.add(path.stem)
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_every_statement_can_be_put_together(kind: str) -> None:
    assert refused(kind) == set()


@pytest.mark.parametrize(("kind", "row"), moves(MOVES))
def test_without_a_row_of_the_table_a_statement_is_refused(
    kind: str, row: tuple[State, Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = len([event for _, event in MOVES if event is row[1]]) > 1
    before = {path.stem: texts(path) for path in modules(kind)}
    monkeypatch.delitem(states.MOVES, row)
    gone = refused(kind)
    assert gone or (shared and any(texts(path) != before[path.stem] for path in modules(kind)))


@pytest.mark.parametrize(("kind", "row"), moves(GROUP_MOVES))
def test_without_a_row_of_the_groups_table_a_statement_is_refused_or_asks_less(
    kind: str, row: tuple[GroupState, GroupEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path.stem: texts(path) for path in modules(kind)}
    monkeypatch.delitem(states.GROUP_MOVES, row)
    assert refused(kind) or any(texts(path) != before[path.stem] for path in modules(kind))


def texts(path: Path) -> dict[str, Any]:
    """What a module's statements are made of: its own constants that are texts or moves."""
    made = runpy.run_path(str(path))
    return {name: made[name] for name in made if isinstance(made[name], (str, tuple, dict))}


def test_a_move_that_leads_elsewhere_is_written_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "SET state = 2," in built("singles")["_SETTLE_SENT"]
    monkeypatch.setitem(states.MOVES, (State.INTENDED, Event.SENT), State.SKIPPED)
    assert "SET state = 5," in built("singles")["_SETTLE_SENT"]


def test_a_move_from_one_more_state_is_asked_for_there_too(monkeypatch: pytest.MonkeyPatch) -> None:
    assert " AND state = 0 AND " in built("singles")["_INTEND_RANGE"]
    monkeypatch.setitem(states.MOVES, (State.FAILED, Event.INTEND), State.INTENDED)
    assert " AND state IN (0, 3) AND " in built("singles")["_INTEND_RANGE"]


def test_an_event_that_leads_to_several_states_is_no_statement() -> None:
    with pytest.raises(IllegalMove, match="leads to 2 states"):
        state_sql.recipient_move(Event.COMMITS_LOST)
    with pytest.raises(IllegalMove, match="sent cannot take intend"):
        state_sql.recipient_move(Event.INTEND, State.SENT)
    with pytest.raises(IllegalMove, match="done cannot take lost"):
        state_sql.group_move(GroupEvent.LOST, GroupState.DONE)


_LITERAL = re.compile(
    r"""\bstate\b\s*(?:=|==|<>|!=|<=?|>=?|\+|BETWEEN|(?:NOT\s+)?IN\s*\()\s*['\d]"""
)


def test_no_statement_writes_a_state_by_its_number_or_its_word() -> None:
    for text in ("state = 1", "r.state IN (2, 3)", "state NOT IN ('planned')", "SET state = 3 +"):
        assert _LITERAL.search(text)
    found = [
        f"{path.name}: {line.strip()}"
        for path in (*SQLITE.rglob("*.py"), *POSTGRES.rglob("*.py"))
        for line in path.read_text("utf-8").splitlines()
        if _LITERAL.search(line)
    ]
    assert found == []


def test_the_view_has_the_words_of_the_table() -> None:
    """schema.sql stands for itself: its numbers are those of the code."""
    db = sqlite3.connect(":memory:")
    db.executescript(schema_text())
    db.executemany(
        "INSERT INTO recipient (seq, state, key) VALUES (?, ?, ?)",
        [(number, number, state.value) for number, state in enumerate(STATES)],
    )
    shown = db.execute("SELECT key, state FROM outcomes ORDER BY seq").fetchall()
    db.execute("INSERT INTO group_send (planned) VALUES (1)")
    (first,) = db.execute("SELECT state FROM group_send").fetchone()
    unsent = db.execute(f"SELECT key FROM recipient WHERE {state_sql.UNSENT}").fetchall()
    db.close()
    assert shown == [(state.value, state.value) for state in STATES]
    assert first == GroupState.PLANNED
    assert {key for (key,) in unsent} == {state.value for state in FINAL - {State.SENT}}
    legend = ", ".join(f"{number} {state}" for number, state in enumerate(STATES))
    assert f"--   {legend}." in schema_text()
