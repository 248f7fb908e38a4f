"""The regression gate: what a message costs in counts stays within what gate.json states."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks import gate
from promomsg.journal.postgres.sending_calls import SendingCalls

STATED: dict[str, Any] = {"tolerance": 0.1, "slack": {"b": 5.0}, "counts": {"a": 100.0, "b": 2.0}}


def test_no_count_is_worse_than_stated() -> None:
    stated = json.loads(gate.STATED.read_text())
    findings = gate.compare(gate.count_all(), stated)
    assert {finding.name for finding in findings} == set(gate.COUNTS)
    worse = [
        f"{gate.COUNTS[f.name]}: {f.counted:.2f}, stated {f.stated:.2f}, at most {f.allowed:.2f}"
        for f in findings
        if f.verdict == "worse"
    ]
    assert not worse, "\n".join(worse)


def test_statements_are_counted_the_same_every_time() -> None:
    assert len({gate.statements(256, 768) for _ in range(3)}) == 1


def test_wake_ups_and_commits_at_a_pace_are_counted_the_same_every_time() -> None:
    assert len({gate.at_a_pace(200, 400) for _ in range(3)}) == 1


def test_commits_of_slow_answers_are_counted_the_same_every_time_with_the_linger_of_a_database() -> (
    None
):
    assert len({gate.slow_commits(256, 768) for _ in range(3)}) == 1
    assert SendingCalls.linger == gate.LINGER


def test_a_count_may_exceed_by_the_tolerance_and_its_slack() -> None:
    def verdicts(a: float, b: float) -> list[str]:
        return [finding.verdict for finding in gate.compare({"a": a, "b": b}, STATED)]

    assert verdicts(110.0, 7.2) == ["ok", "ok"]
    assert verdicts(110.1, 7.3) == ["worse", "worse"]
    assert verdicts(89.0, 0.0) == ["better", "ok"]


def test_a_count_that_is_not_stated_is_an_error() -> None:
    with pytest.raises(ValueError, match="do not count the same: b"):
        gate.compare({"a": 1.0}, STATED)


@pytest.mark.parametrize(("counted", "status"), [(100.0, 0), (120.0, 1), (80.0, 0)])
def test_the_command_fails_only_for_what_got_worse(
    counted: float,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    stated = json.loads(gate.STATED.read_text())["counts"]
    now = {name: value * counted / 100 + (1e3 if status else 0) for name, value in stated.items()}
    monkeypatch.setattr(gate, "count_all", lambda: now)
    assert gate.main([]) == status
    out = capsys.readouterr().out
    assert ("better than stated" in out) == (counted < 100)
    assert ("worse" in out) == bool(status)
