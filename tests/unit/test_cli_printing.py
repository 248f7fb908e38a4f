"""What the terminal prints: safe cells, streaming tables, private files, progress, statuses."""

from __future__ import annotations

import asyncio
import csv
import io
import re
import resource
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from promomsg.cli import exit_status as exits
from promomsg.cli.output import live_view, printing, progress
from promomsg.cli.output.plan_and_result import print_rows_left_out
from promomsg.cli.output.resumable_csv import PartialCsv
from promomsg.durations import format_duration
from promomsg.errors import UsageError
from promomsg.intake.spreadsheet_guards import guard_formula, without_guards
from promomsg.model import Outcome, Recipient, State
from promomsg.rate_meter import RateMeter


def document(**values: Any) -> dict[str, Any]:
    """A campaign's document."""
    base: dict[str, Any] = dict.fromkeys(
        ("planned", "sent", "failed", "unknown", "skipped", "cancelled", "pending"), 0
    )
    return base | {"campaign": "a", "state": "sending", "reason": "", "groups": []} | values


@pytest.mark.parametrize(
    ("values", "status"),
    [
        ({}, 0),
        ({"sent": 3, "skipped": 2}, 0),
        ({"sent": 3, "failed": 1}, 3),
        ({"sent": 3, "cancelled": 1}, 3),
        ({"failed": 1, "unknown": 1, "cancelled": 1}, 4),
        ({"failed": 1, "unknown": 1, "pending": 1}, 5),
    ],
)
def test_the_first_status_that_applies(values: dict[str, int], status: int) -> None:
    assert exits.status_of(document(**values)) == status
    assert status in exits.TABLE


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+x", "-x", "@a", "\tx", "\rx", "-1+2", "+1;2", "＝1+1", "＋x", "－x", "＠a", " =1+1"],
)
def test_a_formula_is_disarmed(text: str) -> None:
    assert guard_formula(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "-5", "+86", "-1.5", "a=b", "0", "推广员"])
def test_what_is_no_formula_stays(text: str) -> None:
    assert guard_formula(text) == text


def test_a_table_streams_and_aligns_wide_characters() -> None:
    file = io.StringIO()
    rows = (("客户", str(n)) for n in range(1000))
    assert printing.print_table(("name", "n"), rows, file=file) == 1000
    lines = file.getvalue().splitlines()
    assert lines[0] == "name  n"
    assert lines[2] == "客户  0"
    assert len(lines) == 1002


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.4, "4 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")]
)
def test_durations_read_well(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_a_private_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("before")

    def write_half() -> None:
        with printing.private_file(path) as file:
            file.write("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert path.read_text() == "before"
    with printing.private_file(path) as file:
        file.write("\udc80 whole")
    assert path.read_text() == "? whole"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["a.csv"]
    with pytest.raises(UsageError, match="cannot be written"), printing.private_file(path / "x"):
        pass


class Clock:
    """Seconds that are set."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_rate_and_time_left_are_of_the_last_seconds() -> None:
    clock = Clock()
    meter = RateMeter(clock)
    assert meter.rate == 0.0
    for second in range(30):
        clock.now = float(second)
        meter.record(second * 20)
    assert meter.rate == pytest.approx(20)
    assert meter.left(100) == pytest.approx(5)
    assert meter.left(0) is None
    text = progress.progress_line(document(pending=100, skipped=1, cancelled=2), meter, 7)
    for part in ("20.0/s", "about 5 s left", "1 skipped", "2 cancelled", "7 in flight"):
        assert part in text


def test_plain_lines_come_seldom_and_only_when_something_changed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = Clock()
    view = progress.PlainView(now=clock)
    groups = [
        {"msg_id": None if n == 0 else str(n), "planned": 50, "percent": None if n == 0 else n,
         "state": "accepted"}
        for n in range(12)
    ]  # fmt: skip
    for tick in range(100):
        clock.now = tick * 0.2
        view.show(document(state="following", planned=600, pending=600, groups=groups), 0)
    view.close()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "group 3 (50): 3%" in lines[0]
    assert "group no msg_id yet (50): ?%" in lines[0]
    assert "and 4 more groups" in lines[0]


def test_each_look_at_a_group_is_a_line_with_the_time_of_the_next_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Four minutes of silence in a first group send were taken for a hang."""
    clock = Clock()
    view = progress.PlainView(now=clock, wall=lambda: 1000.0 + clock.now)
    for tick in range(2400):
        clock.now = tick * 0.1
        group = {
            "msg_id": "77", "planned": 60, "percent": None, "state": "accepted",
            "next_poll_at": 1000.0 + (clock.now // 60 + 1) * 60,
        }  # fmt: skip
        view.show(document(state="following", planned=60, pending=60, groups=[group]), 0)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 4
    assert lines[0].endswith("group 77 (60): ?%; next poll in 55 s")
    assert lines[1].endswith("next poll in 1 min 00 s")


@pytest.mark.parametrize(
    ("reason", "in_flight", "said"),
    [
        ("", 0, "no result for 40 s (the rest waits for another try, or for the pace)"),
        ("", 2, "2 in flight, no result for 40 s"),
        ("one call at a time is tried", 0, "one call at a time is tried"),
    ],
)
def test_a_long_back_off_is_not_silent(
    capsys: pytest.CaptureFixture[str], reason: str, in_flight: int, said: str
) -> None:
    clock = Clock()
    view = progress.PlainView(now=clock)
    for tick in range(51):
        clock.now = float(tick)
        sent = min(tick, 10) * 10
        view.show(document(planned=110, sent=sent, pending=110 - sent, reason=reason), in_flight)
    lines = capsys.readouterr().err.splitlines()
    assert 6 <= len(lines) <= 7
    assert lines[-1].endswith(said)
    assert "left" not in lines[-1]


def test_the_live_view_draws_counts_and_groups() -> None:
    from rich.console import Console

    out = io.StringIO()
    view = live_view.LiveView(Console(file=out, force_terminal=True, width=100))
    groups = [{"msg_id": "77", "planned": 50, "percent": 40, "state": "accepted"}]
    view.show(document(planned=60, sent=10, pending=50, groups=groups), 3)
    view.close()
    shown = " ".join(out.getvalue().split())
    for text in ("a: sending", "16% 10 of 60", "sent 10 ", "pending 50", "3 in flight"):
        assert text in re.sub(r"\x1b\[[\d;]*m", "", shown)
    assert "group 77 (50): 40%" in shown


def test_a_pull_goes_on_behind_its_last_whole_row(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    with PartialCsv(path, ("id", "name"), {"role_id": 1}) as partial:
        for n in range(5):
            partial.add([n, "two\nlines"])
    partial_file = tmp_path / "p.csv.partial"
    with partial_file.open("a") as file:
        file.write('5,"torn')
    with PartialCsv(path, ("id", "name"), {"role_id": 1}) as partial:
        assert (partial.rows, partial.last_id) == (5, "4")
        partial.add([5, None])
        partial.finish()
    assert path.read_text().splitlines() == [
        "id,name", *(f"{n},two lines" for n in range(5)), "5,",
    ]  # fmt: skip
    assert [p.name for p in tmp_path.iterdir()] == ["p.csv"]
    with (
        pytest.raises(UsageError, match="cannot be written"),
        PartialCsv(tmp_path / "no" / "p.csv", ("id",), {}),
    ):
        pass


def test_a_pull_onto_a_full_disk_says_where_and_keeps_what_it_has(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    with PartialCsv(path, ("id",), {}) as partial:
        partial.add([1])
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (64 * 1024, limit[1]))  # EFBIG, as a quota gives

    def pull() -> None:
        with PartialCsv(path, ("id",), {}) as partial:
            while True:
                partial.add(["2" * 1000])

    try:
        with pytest.raises(UsageError) as refused:
            pull()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert f"{path}.partial cannot be written: File too large; make room" in str(refused.value)
    with PartialCsv(path, ("id",), {}) as partial:
        assert partial.rows > 1
        partial.finish()
    assert path.read_text().startswith("id\n1\n2")


@pytest.mark.parametrize(("limit", "shown"), [(None, 3), (2, 2)])
def test_rows_that_will_not_be_sent_are_listed_with_their_reason(
    limit: int | None, shown: int
) -> None:
    async def rows() -> AsyncIterator[Outcome]:
        for n in range(3):
            yield Outcome(Recipient(key=f"k{n}"), State.FAILED, "BAD_ROW", f"line {n}: torn")

    file = io.StringIO()
    asyncio.run(print_rows_left_out(rows(), limit=limit, file=file))
    text = file.getvalue()
    assert text.count("BAD_ROW") == shown
    assert "k0  BAD_ROW  line 0: torn" in text
    assert ("promomsg plan" in text) == (limit is not None)


def test_a_stall_says_why_instead_of_a_time_left() -> None:
    from promomsg.cli.output.progress import progress_line

    line = progress_line(document(planned=9, pending=9, reason="the provider cannot be reached"))
    assert line.endswith("the provider cannot be reached")
    assert "left" not in line


def test_a_line_says_how_many_of_the_first_few_are_answered() -> None:
    few = {"phase": "sending", "planned": 20, "pending": 7}
    line = progress.progress_line(document(planned=100, pending=87, first=few))
    assert "13 of the first 20 answered" in line
    assert "of the first" not in progress.progress_line(document(planned=100))


def test_a_promoter_who_chose_a_formula_as_a_name_writes_no_formula(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    names = [
        '=HYPERLINK("http://evil.example","x")',
        "＝cmd|' /C calc'!A0",
        "+1",
        "@SUM(1)",
        "小明",
    ]
    with PartialCsv(path, ("id", "name"), {}) as partial:
        for number, name in enumerate(names):
            partial.add([f"-{number}x", name])
    with PartialCsv(path, ("id", "name"), {}) as partial:
        assert partial.last_id == "-4x"  # it goes on behind the id, not behind what guards it
        partial.finish()
    rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))[1:]
    assert [row[1] for row in rows] == ["'" + names[0], "'" + names[1], "+1", "'@SUM(1)", "小明"]
    assert [without_guards(row[0]) for row in rows] == [f"-{n}x" for n in range(5)]
