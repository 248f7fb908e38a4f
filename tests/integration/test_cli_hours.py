"""When a campaign is sent, from the terminal: file and options, plan, waiting, Ctrl-C, cron, resume."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from cli_campaigns import campaign, conserved, finished, one_document, promomsg, started
from clocks import china
from waiting import wait_for

from promomsg import JournalError, SqliteJournal, open_journal
from promomsg.cli.output.progress import PlainView, progress_line, waiting_text
from promomsg.sandbox import Sandbox

START = "2035-11-11 09:00"
START_AT = china(START)
TIMES = f"""start_at = {START.replace(" ", "T")}:00
finish_by = "2035-11-14 12:00"
"""
BETWEEN = 'unlimited = true\nbetween = ["Mon-Fri 09:00-21:00", "Sun 10:00-12:00"]'


def test_a_plan_says_start_hours_and_end(
    tmp_path: Path, served: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    pace = BETWEEN.replace("unlimited = true", "singles_per_second = 1")
    file = campaign(tmp_path, served.url, 20, campaign=TIMES, pace=pace)
    assert promomsg("plan", file) == 0
    out = capsys.readouterr().out
    assert f"starts            {START} (Asia/Shanghai), in " in out
    assert "hours             Mon-Fri 09:00-21:00, Sun 10:00-12:00 (Asia/Shanghai)" in out
    assert "first call        2035-11-11 10:00 (Asia/Shanghai)" in out  # a Sunday
    assert "ends about        2035-11-11 10:00 (Asia/Shanghai)" in out
    assert "to be finished by 2035-11-14 12:00 (Asia/Shanghai)" in out
    assert promomsg("plan", file, "--json", "--between", "09:00-21:00") == 0
    times = one_document(capsys)["times"]
    assert times["begins_at"] == times["start_at"] == START_AT
    assert (times["hours"], times["zone"]) == (["09:00-21:00"], "Asia/Shanghai")
    assert START_AT < times["ends_at"] < START_AT + 30
    assert times["zones"] == []
    late = ("--finish-by", "2035-11-11 09:00:12", "--between", "00:00-24:00")
    assert promomsg("plan", file, *late) == 0
    assert "does not end by finish_by, 2035-11-11 09:00:12" in capsys.readouterr().out


def test_a_plan_says_by_whose_clocks_the_hours_are(
    tmp_path: Path, served: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    pace = 'between = ["09:00-21:00"]\nzone_column = "zone"'
    people = "id,name,zone\n1001,甲,Europe/Paris\n1002,乙,Asia/Tokyo\n1003,丙,Asia/Shanghai\n"
    file = campaign(tmp_path, served.url, people, pace=pace)
    assert promomsg("plan", file) == 0
    out = capsys.readouterr().out
    assert "hours             09:00-21:00 (of each recipient's zone, else Asia/Shanghai)" in out
    assert (
        "time zones in the column 'zone', besides Asia/Shanghai: 2 ('Europe/Paris', 'Asia/Tokyo')"
        in out
    )
    assert promomsg("plan", file, "--json") == 0
    assert one_document(capsys)["times"]["zones"] == ["Europe/Paris", "Asia/Tokyo"]


def test_in_cron_nobody_waits_and_the_same_command_goes_on(
    tmp_path: Path, served: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    file = campaign(tmp_path, served.url, 5, campaign=TIMES, pace=BETWEEN)
    cron = ("send", file, "--or-resume", "--no-wait", "--yes", "--json")
    for _ in range(2):
        assert promomsg(*cron) == 5
        captured = capsys.readouterr()
        assert '"state": "waiting"' in captured.out
        assert f"go on with: promomsg resume {tmp_path / 'autumn.db'}" in captured.err
    assert promomsg("status", tmp_path / "autumn.db", "--json") == 0
    document = one_document(capsys)
    assert document["waits_until"] == china("2035-11-11 10:00")
    assert document["reason"] == "it starts at 2035-11-11 10:00 (Asia/Shanghai)"
    assert conserved(document)
    assert promomsg("status", tmp_path / "autumn.db") == 0
    out = capsys.readouterr().out
    assert "autumn: waiting (it starts at 2035-11-11 10:00 (Asia/Shanghai), in " in out
    assert "warning: nobody is there to go on with it when its time comes: resume it" in out
    assert served.ledger.total == 0
    now = ("--start-at", "now", "--between", "00:00-24:00")
    assert promomsg("resume", tmp_path / "autumn.db", *now, "--yes", "--json") == 0
    assert one_document(capsys)["sent"] == served.ledger.total == 5


def test_ctrl_c_while_it_waits_leaves_a_campaign_that_can_be_resumed(
    tmp_path: Path, served: Sandbox
) -> None:
    file = campaign(tmp_path, served.url, 5)
    process = started("send", file, "--yes", "--start-at", START)
    journal = tmp_path / "autumn.db"
    wait_for(lambda: _state(journal) == "waiting", seconds=20)
    process.send_signal(signal.SIGINT)
    _, err = finished(process)
    assert process.returncode == 130
    assert "waiting: 5 are pending; go on with: promomsg resume" in err
    assert served.ledger.total == 0


def _state(journal: Path) -> str:
    try:
        with open_journal(SqliteJournal(journal)) as opened:
            return opened.report().state
    except JournalError:
        return ""


def test_a_test_goes_out_now_unless_the_command_line_says_when(
    tmp_path: Path, served: Sandbox, capsys: pytest.CaptureFixture[str]
) -> None:
    file = campaign(tmp_path, served.url, 5, campaign=TIMES, pace=BETWEEN)
    assert promomsg("send", file, "--test-to", "k1", "--yes") == 0
    assert served.ledger.total == 1
    times = ("--test-to", "k2", "--start-at", START, "--no-wait", "--yes")
    assert promomsg("send", file, *times) == 5
    assert served.ledger.total == 1


@pytest.mark.parametrize(
    ("where", "text", "told"),
    [
        ("campaign", 'start_at = "soon"', "autumn.toml: [campaign] start_at='soon'"),
        ("campaign", "finish_by = 5", "autumn.toml: [campaign] finish_by=5"),
        ("campaign", 'zone = "Asia/Shangai"', "did you mean 'Asia/Shanghai'"),
        ("pace", 'between = "9-21"', "autumn.toml: [pace] between: '9-21' is not hours"),
        ("pace", "zone_column = 5", "autumn.toml: [pace] zone_column=5"),
        ("campaign", 'start_at = "2020-11-11 09:00"', 'say "now" to begin at once'),
        ("campaign", 'finish_by = "2020-11-11 09:00"', "nothing could be sent"),
    ],
)
def test_a_time_that_cannot_be_meant_is_refused_in_one_line(
    tmp_path: Path,
    served: Sandbox,
    capsys: pytest.CaptureFixture[str],
    where: str,
    text: str,
    told: str,
) -> None:
    pace = f"unlimited = true\n{text}" if where == "pace" else "unlimited = true"
    file = campaign(
        tmp_path, served.url, 5, campaign=text if where == "campaign" else "", pace=pace
    )
    assert promomsg("send", file, "--yes") == 1
    err = capsys.readouterr().err
    assert told in err
    assert err.count("\n") == 1


def test_the_line_of_a_campaign_that_waits_counts_down(
    capsys: pytest.CaptureFixture[str],
) -> None:
    counts = dict.fromkeys(("sent", "failed", "unknown", "skipped", "cancelled"), 0)
    document = {
        **counts, "planned": 5, "pending": 5, "state": "waiting", "groups": [],
        "reason": "it starts at 9", "waits_until": 20_000.0,
    }  # fmt: skip
    line = progress_line(document, now=20_000.0 - 7_500.0)
    assert line.endswith("5 pending of 5, it starts at 9, in 2 h 05 min")
    assert waiting_text({**document, "waits_until": None}) == "it starts at 9"
    at = 0.0
    view = PlainView(now=lambda: at, wall=lambda: at + 10_000.0)
    while at < 9_000.0:
        at += 10.0
        view.show(document, 0)
    lines = capsys.readouterr().err.splitlines()
    assert 3 <= len(lines) <= 4, "one an hour"
    assert "in 2 h 46 min" in lines[0]
