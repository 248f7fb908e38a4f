"""`promomsg clicks JOURNAL`: what is due is asked for, kept and shown."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from cli_campaigns import campaign, one_document, promomsg

from promomsg.sandbox import Sandbox

DAY = 86_400.0


def sent_two_days_ago(served: Sandbox, folder: Path, rows: int) -> Path:
    """A campaign of which both the provider and the journal say that it was sent two days ago."""
    served.settings.click_rate = 0.5
    file = campaign(folder, served.url, rows, name="clicked")
    served.clock.move(-2, back=True)
    assert promomsg("send", file, "--yes") == 0
    served.clock.advance(2 * DAY)
    journal = folder / "clicked.db"
    db = sqlite3.connect(journal)
    db.execute("UPDATE group_send SET sent_at = sent_at - ?", (2 * DAY,))
    db.commit()
    db.close()
    return journal


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
