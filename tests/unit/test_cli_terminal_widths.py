"""What people see on terminals of 60, 80 and 160 columns, in both languages."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from promomsg.cli.language.terminal_language import speak
from promomsg.cli.language.wide_text import width
from promomsg.cli.output.live_view import live_lines
from promomsg.cli.output.plan_and_result import print_result
from promomsg.cli.output.printing import print_table, print_to_stderr
from promomsg.rate_meter import RateMeter

RESULT: dict[str, Any] = {
    "campaign": "autumn", "state": "halted",
    "reason": "45009: reach max api daily quota limit (resume after midnight China time, or have the quota "
    "raised at mp.weixin.qq.com)",
    "planned": 1_234_567, "sent": 1_160_001, "failed": 6, "unknown": 2, "skipped": 5, "cancelled": 0,
    "pending": 74_553, "by_code": {"43101": 3, "NO_ANSWER": 2, "DUPLICATE_KEY": 1_200}, "warnings": [],
    "groups": [{"msg_id": "1000001", "planned": 10_000, "percent": 60, "send_cnt": None, "fail_cnt": None,
                "state": "accepted"}],
    "elapsed_s": 200.0,
}  # fmt: skip


class Terminal(io.StringIO):
    """A terminal that keeps what is shown on it."""

    def isatty(self) -> bool:
        return True

    @property
    def lines(self) -> list[str]:
        return re.sub(r"\x1b\[[\d;]*m", "", self.getvalue()).splitlines()


@pytest.fixture(params=["en", "zh"])
def language(request: pytest.FixtureRequest) -> Iterator[str]:
    speak(request.param)
    yield request.param
    speak("en")


@pytest.fixture(params=[60, 80, 160])
def columns(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setenv("COLUMNS", str(request.param))
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return int(request.param)


def test_a_result_fits_with_whole_numbers_meanings_and_what_comes_next(
    columns: int, language: str
) -> None:
    out = Terminal()
    print_result(RESULT, "https://api.weixin.qq.com", out, channel="wechat", words=["autumn.db"])
    assert max(map(width, out.lines)) <= columns
    text = "\n".join(out.lines)
    for number in ("1,234,567", "1,160,001", "74,553", "10,000", "1,200 DUPLICATE_KEY"):
        assert number in text
    refusal = next(line for line in out.lines if " 43101 " in line)
    meaning = {"en": "the recipient refuses messages", "zh": "收件人拒收消息"}[language]
    assert meaning in refusal
    assert "promomsg resume autumn.db" in text
    assert "promomsg report autumn.db --state unknown" in text
    counts = [line for line in out.lines if re.fullmatch(r"  \S+ +[\d,]+", line)]
    assert len({width(line) for line in counts}) == 1, "numbers stand below each other"


def test_a_finished_campaign_is_not_told_to_go_on(columns: int) -> None:
    out = Terminal()
    over = {**RESULT, "state": "done", "reason": "", "pending": 0}
    print_result(over, "", out, channel="wechat", words=["autumn.db"])
    assert "promomsg retry autumn.db --failed" in out.getvalue()
    assert "promomsg resume" not in out.getvalue()


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {}])
def test_colours_stand_on_words_that_say_the_same(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    coloured = Terminal()
    print_result(RESULT, "", coloured, channel="wechat", words=["autumn.db"])
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    out = Terminal()
    print_result(RESULT, "", out, channel="wechat", words=["autumn.db"])
    assert out.lines == coloured.lines
    assert ("\x1b[" in out.getvalue()) is (not environment)


def test_elsewhere_a_result_has_the_lines_that_it_always_had() -> None:
    out = io.StringIO()
    print_result(RESULT, "", out, channel="wechat", words=["autumn.db"])
    assert "  by code   3 43101, 2 NO_ANSWER, 1,200 DUPLICATE_KEY\n" in out.getvalue()
    assert "\x1b" not in out.getvalue()
    assert "promomsg report" not in out.getvalue()


KEYS = [f"customer-2026-autumn-{number:012d}" for number in (7, 8)] + ["客户甲"]


def test_a_report_never_cuts_a_key_a_number_or_a_word(columns: int, language: str) -> None:
    detail = "user refuse to accept the msg rid: 6b093bff-89a6dc61-79be88da"
    rows = [(key, "failed", "43101", detail, "12,345", "") for key in KEYS]
    out = Terminal()
    assert print_table(
        ("key", "verdict", "code", "detail", "attempts", "group"), rows, file=out,
        optional=("attempts", "group"), elsewhere="not shown: {0}",
    ) == 3  # fmt: skip
    assert max(map(width, out.lines)) <= columns
    text = "\n".join(out.lines)
    for key in KEYS:
        assert key in text
    assert text.count("6b093bff-89a6dc61-79be88da") == 3
    assert text.count("12,345") == 3 or "not shown: " in text


def test_a_table_leaves_out_what_can_be_missed_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [("autumn.db", "halted", "1,234,567", "1,160,001", "0", "2 days ago", "12.3 MB")]
    headings = ("journal", "state", "planned", "sent", "unknown", "begun", "size")
    shown = {}
    for columns in (30, 60, 80):
        monkeypatch.setenv("COLUMNS", str(columns))
        out = Terminal()
        print_table(
            headings, rows, file=out, optional=("size", "begun"), elsewhere="not shown: {0}"
        )
        assert max(map(width, out.lines)) <= columns
        shown[columns] = out.lines
    assert "12.3 MB" in shown[80][-1]
    assert shown[60][-1] == "not shown: size"
    assert shown[30][0] == "autumn.db", "too narrow for a table: a few lines a row, with all of it"
    assert "size 12.3 MB" in " ".join(shown[30])


def test_a_command_to_be_copied_stays_in_one_piece(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Terminal()
    monkeypatch.setattr(sys, "stderr", out)
    command = f"promomsg resume /home/me/{'campaigns/' * 8}autumn.db --approve"
    print_to_stderr(f"halted: 39 are pending; go on with: {command}")
    assert any(line.endswith(f"go on with: {command}") for line in out.lines)
    print_to_stderr("nothing of it was sent, since " + "the provider was away, " * 10)
    assert max(map(width, out.lines[-3:])) <= columns


def test_a_live_view_fits_and_no_number_moves_its_neighbours(columns: int, language: str) -> None:
    def looks(sent: int) -> list[str]:
        document = {
            **RESULT, "state": "sending", "reason": "", "sent": sent, "pending": 1_234_554 - sent,
            "failed": 6, "unknown": 2,
        }  # fmt: skip
        return [
            line.plain for line in live_lines(document, RateMeter(), 64, columns=columns, now=0.0)
        ]

    first, last = looks(9), looks(1_234_554)
    assert max(map(width, first + last)) <= columns
    assert len(first) == len(last)
    assert [width(line) for line in first] == [width(line) for line in last]
    assert "1,234,554" in "\n".join(last)
    assert "100%" in last[1]
    assert " 99%" in looks(1_234_553)[1], "all is said to be done when it is"
