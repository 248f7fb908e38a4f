"""`promomsg clicks JOURNAL`: what is due is asked for, kept and shown."""

from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path

import openpyxl
import pytest
from cli_campaigns import campaign, one_document, promomsg

from promomsg import open_journal
from promomsg.sandbox import Fault, FaultPlan, Sandbox

DAY = 86_400.0


def sent_two_days_ago(served: Sandbox, folder: Path, rows: int, *more: str) -> Path:
    """A campaign of which both the provider and the journal say that it was sent two days ago."""
    served.settings.click_rate = 0.5
    file = campaign(folder, served.url, rows, name="clicked")
    served.clock.move(-2, back=True)
    assert promomsg("send", file, "--yes", *more) in (0, 3, 5)
    served.clock.advance(2 * DAY)
    journal = folder / "clicked.db"
    move_back(journal, 2)
    return journal


def move_back(journal: Path, days: int) -> None:
    """All of it was so many days earlier."""
    db = sqlite3.connect(journal)
    db.execute("UPDATE group_send SET sent_at = sent_at - ?", (days * DAY,))
    db.execute("UPDATE campaign SET planned_at = planned_at - ?", (days * DAY,))
    db.execute(
        "UPDATE commit_log SET intended_day = date(intended_day, ?) WHERE intended_day IS NOT NULL",
        (f"-{days} days",),
    )
    db.execute(
        "UPDATE click_day SET day = date(day, ?), asked_at = asked_at - ?",
        (f"-{days} days", days * DAY),
    )
    db.commit()
    db.close()


def kept_of(journal: Path) -> int:
    with open_journal(journal) as opened:
        return len(opened.report().clicks)


def test_a_campaign_has_its_clicks_the_day_after(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = sent_two_days_ago(served, tmp_path, 60)
    capsys.readouterr()
    assert promomsg("clicks", journal, "--json") == 0
    document = one_document(capsys)
    assert 0 < document["clicked"] <= 30
    assert promomsg("clicks", journal) == 0
    shown = capsys.readouterr().out
    assert f"{document['clicked']} of 60 in group sends clicked" in shown
    asked = served.calls["getmsgclickdata"]
    assert promomsg("clicks", journal) == 0
    assert served.calls["getmsgclickdata"] == asked  # once a day
    html = tmp_path / "out.html"
    assert promomsg("report", journal, "--format", "html", "--output", html) == 0
    assert "clicked" in html.read_text()


def test_a_campaign_of_today_says_when_there_will_be_some(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = campaign(tmp_path, served.url, 3, name="today")
    assert promomsg("send", file, "--yes") == 0
    capsys.readouterr()
    assert promomsg("clicks", tmp_path / "today.db") == 0
    assert "from the day after the send, for 90 days" in capsys.readouterr().out
    assert served.calls["getmsgclickdata"] == 0
    assert promomsg("clicks", tmp_path / "today.db", "--date", "2026-11-24") == 1
    assert "leave out the other options" in capsys.readouterr().err
    assert promomsg("clicks") == 1
    assert "give its journal" in capsys.readouterr().err


def test_a_resume_keeps_the_clicks_that_are_due_and_calls_nobody_when_none_are(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    served.settings.refuse_group = {"1007": 103010}
    journal = sent_two_days_ago(served, tmp_path, 60)
    capsys.readouterr()
    before = served.calls.total()
    assert promomsg("resume", journal, "--json") == 3
    document = one_document(capsys)
    assert (document["state"], document["failed"]) == ("done", 1)
    assert served.calls["getmsgclickdata"] >= 1
    assert kept_of(journal) >= 1
    assert promomsg("clicks", journal, "--json") == 0
    assert 0 < one_document(capsys)["clicked"] <= 30
    before = served.calls.total()
    assert promomsg("resume", journal, "--yes") == 3
    assert promomsg("send", tmp_path / "clicked.toml", "--or-resume", "--yes") == 3
    assert served.calls.total() == before
    assert capsys.readouterr().err == ""


def test_a_campaign_of_today_is_only_printed_by_a_resume(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = campaign(tmp_path, served.url, 3, name="today")
    assert promomsg("send", file, "--yes") == 0
    (tmp_path / "secret.txt").unlink()
    before = served.calls.total()
    capsys.readouterr()
    assert promomsg("resume", tmp_path / "today.db") == 0
    shown = capsys.readouterr()
    assert "today: done" in shown.out
    assert (shown.err, served.calls.total()) == ("", before)


@pytest.mark.parametrize("lacking", ["secret.txt", "clicked.toml"])
def test_without_its_secrets_a_campaign_that_is_over_is_printed_all_the_same(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str], lacking: str
) -> None:
    journal = sent_two_days_ago(served, tmp_path, 60)
    (tmp_path / lacking).unlink()
    capsys.readouterr()
    before = served.calls.total()
    assert promomsg("resume", journal) == 0
    shown = capsys.readouterr()
    assert "clicked: done" in shown.out
    assert "warning: its clicks are due and were not kept" in shown.err
    assert lacking in shown.err
    assert served.calls.total() == before


def test_clicks_that_cannot_be_had_change_neither_the_campaign_nor_the_exit_status(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = sent_two_days_ago(served, tmp_path, 60)
    served.faults = FaultPlan([Fault(endpoint="getmsgclickdata", errcode=48001)])
    assert promomsg("status", journal, "--json") == 0
    capsys.readouterr()
    assert promomsg("status", journal, "--json") == 0
    before = one_document(capsys)
    assert promomsg("resume", journal, "--json") == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out) == before
    assert "warning: its clicks are due and were not kept: the clicks of" in shown.err
    assert kept_of(journal) == 0


def test_a_campaign_that_goes_on_days_later_has_the_clicks_of_its_first_day(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = sent_two_days_ago(served, tmp_path, 60, "--no-wait")
    assert served.calls["getmsgclickdata"] == 0
    assert promomsg("resume", journal, "--yes", "--json") == 0
    assert kept_of(journal) >= 1
    assert "its clicks" not in capsys.readouterr().err


def test_clicks_and_warnings_are_the_same_in_every_format(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a campaign whose clicks were asked for while they still moved, and soon cannot be any more."""
    journal = sent_two_days_ago(served, tmp_path, 130)
    assert promomsg("clicks", journal) == 0
    move_back(journal, 86)

    def written(form: str) -> Path:
        output = tmp_path / f"out.{form}"
        assert promomsg("report", journal, "--format", form, "--output", output) == 0
        return output

    capsys.readouterr()
    assert promomsg("status", journal, "--json") == 0
    document = one_document(capsys)
    [warning] = document["warnings"]
    assert warning.startswith("the clicks of ")
    assert warning.endswith(f"`promomsg clicks {journal}` keeps them")
    assert re.search(r"\(China time\), in [12] days?: ", warning)

    report = json.loads(written("json").read_text(encoding="utf-8"))
    assert report["warnings"] == [warning]
    clicks = report["clicks"]
    assert clicks["reached"] == 130
    assert 0 < clicks["clicked"] <= 65
    assert promomsg("report", journal) == 0
    table = capsys.readouterr().out
    rate = f"{clicks['clicked']} of 130 in group sends clicked ({clicks['clicked'] / 130:.1%})"
    page = written("html").read_text(encoding="utf-8")
    book = openpyxl.load_workbook(written("xlsx"))
    cells = list(book["summary"].iter_rows(values_only=True))
    assert ("clicked", clicks["clicked"], "reached", 130) in [row[:4] for row in cells]
    of_a_day = [(one["people"], one["clicks"]) for day in clicks["days"] for one in day["counts"]]
    assert [row[2:4] for row in cells if str(row[1]).isdigit() and row[3]][
        -len(of_a_day) :
    ] == of_a_day
    for text in (table, page):
        assert rate in text
    for note in clicks["notes"]:
        assert note.split("`")[0] in table
        assert note.split("`")[0] in page
        assert note in [row[1] for row in cells]
    assert warning in table
    assert warning.split("`")[0] in page
    assert ("warning", warning) in [row[:2] for row in cells]

    capsys.readouterr()
    for form in ("csv", "parquet"):
        written(form)
        assert f"warning: {warning}" in capsys.readouterr().err
    assert promomsg("list", tmp_path) == 0
    assert f"warning: clicked.db: {warning}" in capsys.readouterr().err
    assert promomsg("list", tmp_path, "--json") == 0
    [listed] = one_document(capsys)["campaigns"]
    assert listed["warnings"] == [warning]
