"""A few first, from the terminal: what the plan says, what is asked for, and a person's word."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_campaigns import campaign, conserved, one_document, promomsg, started
from waiting import wait_for

from promomsg.engine.opened_journal import open_journal
from promomsg.journal.locate import journal_at
from promomsg.sandbox import Sandbox

SINGLE = 'route = "single"\nfirst = 20\n'


def careful(folder: Path, served: Sandbox, keys: str = SINGLE) -> Path:
    return campaign(folder, served.url, 100, campaign=keys)


def refusing(served: Sandbox) -> None:
    """A third of all are refused."""
    served.settings.refuse_single = {str(who): 43101 for who in range(1000, 1100) if who % 3 == 0}


def test_a_plan_says_how_many_go_first_and_what_stops_it(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = careful(tmp_path, served)
    assert promomsg("plan", file) == 0
    shown = capsys.readouterr().out
    assert "20 of 100, then a look for 10 min 00 s (stops above 10%)" in shown
    assert "the others" not in shown
    file = careful(tmp_path, served, f"{SINGLE}first_ask = true\n")
    assert promomsg("plan", file) == 0
    shown = capsys.readouterr().out
    assert "the others        wait for `promomsg resume --approve`" in shown
    assert all(len(line) <= 80 for line in shown.splitlines() if line.startswith("  first"))
    file = careful(tmp_path, served)
    assert promomsg("plan", file, "--first", "5%", "--json") == 0
    first = one_document(capsys)["first"]
    assert 0 < first["planned"] < 20
    assert (first["stop_above"], first["wait"], first["ask"]) == (0.1, 600.0, False)


def test_over_the_bound_a_resume_says_what_is_asked_for_and_goes_on_by_a_word(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    refusing(served)
    file = careful(tmp_path, served, f'{SINGLE}first_wait = "0s"\n')
    journal = tmp_path / "autumn.db"
    assert promomsg("send", file, "--yes", "--json") == 5
    told = capsys.readouterr()
    assert "are pending; go on with: " in told.err
    assert "--approve" in told.err
    assert served.calls["singlesendmsg"] <= 20

    for command in (("resume", journal), ("send", file, "--or-resume")):
        assert promomsg(*command, "--yes", "--json") == 5
        told = capsys.readouterr()
        assert "the others wait for a person's word" in told.err
        assert '"phase": "stopped"' in told.out
    assert promomsg("status", journal) == 0
    shown = capsys.readouterr().out
    assert "first 20: " in shown
    assert "the others wait for `resume --approve`" in shown
    assert served.calls["singlesendmsg"] <= 20

    assert promomsg("resume", journal, "--approve", "--yes", "--json") == 3
    document = one_document(capsys)
    assert conserved(document)
    assert document["first"]["phase"] == "passed"
    assert document["sent"] + document["failed"] == 100
    assert promomsg("status", journal) == 0
    assert "the others followed" in capsys.readouterr().out
    assert any("a person let the others follow" in text for text in document["warnings"])
    assert served.ledger.twice() == []


def test_a_word_is_refused_for_another_plan(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = careful(tmp_path, served, f'{SINGLE}first_wait = "0s"\nfirst_ask = true\n')
    journal, text = tmp_path / "autumn.db", file.read_text()
    people = (tmp_path / "people.csv").read_text()
    assert promomsg("send", file, "--yes") == 5

    def refused(says: str) -> None:
        capsys.readouterr()
        assert promomsg("resume", journal, "--approve", "--yes") == 1
        assert says in capsys.readouterr().err
        assert served.calls["singlesendmsg"] == 20

    file.write_text(text.replace("优惠", "打折"))
    refused("the message is not the one this campaign was planned with: content.title changed")
    file.write_text(text.replace('"single"', '"group"'))
    refused("this is not the plan that was made: route was 'single' and is 'group' now")
    file.write_text(text)
    (tmp_path / "people.csv").write_text(f"{people}k900,1900,客\n")
    refused("the recipients are not the list that")
    (tmp_path / "people.csv").write_text(people)
    assert promomsg("resume", journal, "--approve", "--yes") == 0
    assert served.calls["singlesendmsg"] == 100


def test_a_process_that_is_killed_in_the_wait_goes_on_with_the_same_wait(
    served: Sandbox, tmp_path: Path
) -> None:
    file = careful(tmp_path, served, f'{SINGLE}first_wait = "1h"\n')
    journal = tmp_path / "autumn.db"

    def until() -> float | None:
        with open_journal(journal) as opened:
            report = opened.report()
        assert report.state in ("waiting", "sending", "stopped")
        return None if report.first is None else report.first.until

    sender = started("send", file, "--yes")
    # Once it is kept, it is the same at each look.
    wait_for(lambda: journal.exists() and None is not until() == until())
    before = until()
    sender.kill()
    sender.communicate()
    assert until() == before
    with open_journal(journal) as opened:
        report = opened.report()
    assert (report.state, report.sent, report.pending) == ("waiting", 20, 80)
    again = started("resume", journal, "--yes")
    wait_for(lambda: journal_at(journal).is_being_sent())
    assert until() == before
    again.kill()
    again.communicate()
    assert served.calls["singlesendmsg"] == 20
    assert promomsg("resume", journal, "--approve", "--yes") == 0
    assert served.calls["singlesendmsg"] == 100
    assert served.ledger.twice() == []


def test_a_test_to_some_keys_is_sent_to_all_of_them_at_once(
    served: Sandbox, tmp_path: Path
) -> None:
    file = careful(tmp_path, served, f"{SINGLE}first_ask = true\n")
    assert promomsg("send", file, "--test-to", "k1,k2", "--yes") == 0
    assert served.calls["singlesendmsg"] == 2


def test_what_is_said_of_first_few_in_a_file_is_checked_with_its_place(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for keys, says in (
        ('first = "all"', "[campaign] first='all': a whole number of 1 or more"),
        ("first = 20\nfirst_stop_above = 2", "first_stop_above=2: a share from 0 to under 1"),
        ('first = 20\nfirst_wait = "soon"', "first_wait: 'soon' is not a duration"),
        ("first_ask = true", "first_ask says nothing without first"),
    ):
        assert promomsg("plan", careful(tmp_path, served, keys)) == 1
        assert says in capsys.readouterr().err
    assert promomsg("plan", careful(tmp_path, served, ""), "--first", "none") == 1
    assert "first='none'" in capsys.readouterr().err
