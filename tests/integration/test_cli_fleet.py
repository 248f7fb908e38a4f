"""The terminal with a campaign in a database: the same commands, documents and exit statuses as with a
file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cli_campaigns import campaign, finished, promomsg, running, started
from fleet_working import new_fleet
from waiting import wait_for

import promomsg as package
from promomsg.sandbox import Sandbox


@pytest.fixture
def fleet(postgres: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A database of the test's own with the tables, which `$PROMOMSG_FLEET` does not name: its URL."""
    monkeypatch.delenv("PROMOMSG_FLEET", raising=False)
    with new_fleet(postgres) as url:
        assert promomsg("fleet", "init", "--fleet", url) == 0
        yield url


def documents(capsys: pytest.CaptureFixture[str], *words: object) -> Any:
    """What a command prints with --json."""
    capsys.readouterr()
    promomsg(*words, "--json")
    return json.loads(capsys.readouterr().out)


def test_a_database_is_prepared_once_and_says_what_is_in_it(
    fleet: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PROMOMSG_FLEET", fleet)
    assert promomsg("fleet", "init") == 0
    assert "its tables are ready" in capsys.readouterr().err
    assert promomsg("fleet", "status") == 0
    assert "no campaign yet" in capsys.readouterr().err
    assert documents(capsys, "fleet", "status")["campaigns"] == []


def test_what_is_wrong_with_a_database_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PROMOMSG_FLEET", raising=False)
    for words, wanted in (
        (("fleet", "status"), "set PROMOMSG_FLEET to its URL"),
        (("fleet", "init", "--fleet", "postgresql://me:sesame@localhost:1/x"), "cannot be reached"),
        (("fleet", "status", "--fleet", "postgresql://me:sesame@localhost:1/x"), "cannot be reached"),
    ):  # fmt: skip
        assert promomsg(*words) == 1
        said = capsys.readouterr().err
        assert wanted in said
        assert "resume" not in said
        assert said.count("\n") == 1
        assert "sesame" not in said


@pytest.fixture
def box() -> Iterator[Sandbox]:
    with running() as sandbox:
        yield sandbox


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the commands run, and the campaign file lies."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def same(document: dict[str, Any]) -> dict[str, Any]:
    """A document without what differs between two runs of the same campaign."""
    groups = [{**group, "msg_id": ""} for group in document["groups"]]
    return {**document, "elapsed_s": 0, "groups": groups, "warnings": []}


BROKEN = "key,id,name\n" + "".join(
    f"k{n},{'9 9' if n % 9 == 0 else 1000 + n},客{n}\n" for n in range(80)
)


def test_a_campaign_in_a_database_has_the_documents_of_one_in_a_file(
    fleet: str, box: Sandbox, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    campaign(folder, box.url, BROKEN)
    shown: list[list[Any]] = []
    for where, journal in ((), ("autumn.db",)), (("--fleet", fleet), ("autumn", "--fleet", fleet)):
        plan = documents(capsys, "plan", "autumn.toml", *where)
        assert plan.pop("journal").endswith("fleet:autumn" if where else "autumn.db")
        assert promomsg("send", "autumn.toml", "--yes", "--json", *where) == 3
        sent = json.loads(capsys.readouterr().out)
        assert sent["state"] == "done"
        report = documents_of_report(capsys, *journal)
        shown.append([
            plan, same(sent), same(documents(capsys, "status", *journal)), report,
            same(documents(capsys, "resume", *journal)),
        ])  # fmt: skip
    assert shown[0] == shown[1]
    [listed] = documents(capsys, "fleet", "status", "--fleet", fleet)["campaigns"]
    sent = shown[0][1]
    assert {**listed, "elapsed_s": 0, "warnings": []} == {
        **{name: value for name, value in sent.items() if name != "groups"},
        "journal": "fleet:autumn",
        "senders": [],
        "trouble": [],
    }
    assert promomsg("fleet", "status", "--fleet", fleet) == 0
    assert "autumn" in capsys.readouterr().out


def documents_of_report(capsys: pytest.CaptureFixture[str], *journal: str) -> Any:
    capsys.readouterr()
    assert promomsg("report", *journal, "--all", "--format", "json") == 0
    report = same(json.loads(capsys.readouterr().out))
    for outcome in report["outcomes"]:
        outcome["at"] = outcome["group"] = None
    return report


def test_the_variable_and_the_campaign_file_name_it_too(
    fleet: str,
    box: Sandbox,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = campaign(folder, box.url, 3)
    file.write_text(file.read_text().replace('"autumn.db"', '"fleet:autumn-{date}"'))
    assert promomsg("send", file, "--yes") == 1
    assert "set PROMOMSG_FLEET to its URL" in capsys.readouterr().err
    monkeypatch.setenv("PROMOMSG_FLEET", fleet)
    assert promomsg("send", file, "--yes") == 0
    assert promomsg("send", file, "--yes", "--or-resume") == 0
    assert promomsg("send", file, "--yes", "--journal", "fleet:second") == 0
    assert promomsg("send", file, "--yes", "--test-to", "k1") == 0
    names = [one["journal"] for one in documents(capsys, "fleet", "status")["campaigns"]]
    assert len(names) == 3
    assert names[0].startswith("fleet:autumn-20")
    assert names[1] == "fleet:second"
    assert names[2].startswith(f"{names[0]}-test-")
    # Whom it sent to is left out of the next one.
    file.write_text(file.read_text().replace("durability", 'suppress = "fleet:second"\ndurability'))
    assert documents(capsys, "plan", file, "--journal", "fleet:third")["to_send"] == 0
    capsys.readouterr()
    assert promomsg("doctor", file) == 0
    assert f"{names[0]} holds a campaign" in capsys.readouterr().out


def test_a_name_that_is_taken_or_unknown_is_one_line(
    fleet: str, box: Sandbox, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = campaign(folder, box.url, 3)
    assert promomsg("send", file, "--yes", "--fleet", fleet) == 0
    capsys.readouterr()
    assert promomsg("send", file, "--yes", "--fleet", fleet) == 1
    said = capsys.readouterr().err
    assert "fleet:autumn already holds a campaign" in said
    assert "resume fleet:autumn --fleet" in said
    for command in ("status", "report", "pause", "cancel", "reconcile", "resume"):
        assert promomsg(command, "autum", "--fleet", fleet) == 1
        said = capsys.readouterr().err
        assert "did you mean 'autumn'?" in said
        assert said.count("\n") == 1


def test_a_password_is_in_no_command_that_is_printed(
    fleet: str, box: Sandbox, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = campaign(folder, box.url, 3)
    url = f"{fleet} password=sesame"
    assert promomsg("send", file, "--yes", "--fleet", url) == 0
    assert promomsg("send", file, "--yes", "--fleet", url) == 1
    said = capsys.readouterr()
    assert "promomsg resume fleet:autumn --fleet" in said.err
    assert "sesame" not in said.err + said.out


SLOW = "singles_per_second = 40"


def test_a_second_process_joins_in_and_a_pause_stops_both(
    fleet: str, box: Sandbox, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second one has the campaign file and no list."""
    file = campaign(folder, box.url, 1200, title="{name}", pace=SLOW)
    first = started("send", file, "--yes", "--json", "--fleet", fleet)
    at = ("autumn", "--fleet", fleet)
    wait_for(lambda: sent_so_far(fleet) > 0, seconds=30)
    (folder / "people.csv").rename(folder / "elsewhere.csv")
    second = started("resume", *at, "--yes", "--json")
    wait_for(lambda: len(senders(fleet)) == 2, seconds=30)
    assert documents(capsys, "status", *at)["state"] == "sending"
    assert promomsg("pause", *at) == 0
    outs = [finished(process, 60) for process in (first, second)]
    assert [process.returncode for process in (first, second)] == [5, 5]
    assert "is sending it (sending): joining in" in outs[1][1]
    assert f"{first.pid}" in outs[1][1]
    for _, err in outs:
        assert "paused: " in err
        assert "go on with: promomsg resume fleet:autumn --fleet" in err
    assert documents(capsys, "status", *at)["state"] == "paused"
    assert promomsg("cancel", *at) == 0
    document = documents(capsys, "status", *at)
    assert (document["state"], document["pending"]) == ("cancelled", 0)
    assert document["sent"] + document["cancelled"] + document["unknown"] == 1200
    assert document["unknown"] == 0
    assert box.ledger.twice() == []


def test_two_resume_one_is_killed_and_the_other_ends_the_campaign(
    fleet: str, box: Sandbox, folder: Path
) -> None:
    slowly = "singles_per_second = 5"  # it is not over before the other one has begun
    file = campaign(folder, box.url, 800, title="{name}", pace=slowly)
    at = ("autumn", "--fleet", fleet)
    both = [started("send", file, "--yes", "--json", "--fleet", fleet)]
    wait_for(lambda: sent_so_far(fleet) > 0, seconds=30)
    file.write_text(file.read_text().replace(slowly, "singles_per_second = 60"))
    both.append(started("resume", *at, "--yes", "--json"))
    wait_for(lambda: len(senders(fleet)) == 2, seconds=30)
    both[0].kill()
    both[0].communicate()
    out, err = finished(both[1], 90)
    document = json.loads(out)
    assert (document["state"], document["pending"], document["planned"]) == ("done", 0, 800), err
    assert document["unknown"] <= 2 * 64
    assert both[1].returncode == (4 if document["unknown"] else 0)
    assert document["sent"] + document["unknown"] == 800
    assert box.ledger.twice() == []


def senders(fleet: str) -> list[str]:
    return package.Fleet(fleet).journal("autumn").senders()


def sent_so_far(fleet: str) -> int:
    journal = package.Fleet(fleet).journal("autumn")
    if not journal.exists():
        return 0
    with package.open_journal(journal) as opened:
        return opened.report().sent


def test_failures_of_a_campaign_in_a_database_are_sent_to_again_there_and_once(
    fleet: str, box: Sandbox, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    people = "key,openid\n" + "".join(f"k{n},u{n}\n" for n in range(6))
    campaign(folder, box.url, people, campaign='route = "single"')
    there = ("--fleet", fleet)

    def send_again(name: str) -> int:
        words = ("--recipients", "failures.csv", "--journal", f"fleet:{name}", *there, "--yes")
        return promomsg("send", "autumn.toml", *words)

    refused = {f"u{n}": 43101 for n in (1, 2, 3, 4)}
    box.settings.refuse_single = dict(refused)
    assert promomsg("send", "autumn.toml", "--yes", *there) == 3
    report = ("report", "autumn", *there, "--format", "csv", "--output", "failures.csv")
    assert promomsg(*report) == 0
    del box.settings.refuse_single["u1"]
    assert promomsg("retry", "autumn", "--failed", "--yes", *there) == 3
    del box.settings.refuse_single["u2"]
    capsys.readouterr()
    assert send_again("second") == 3
    assert "whom fleet:autumn reached by now" in capsys.readouterr().out
    del box.settings.refuse_single["u3"]
    assert send_again("third") == 3
    shown = capsys.readouterr().out
    assert "whom fleet:autumn or fleet:second reached by now" in shown
    box.settings.refuse_single = {}
    assert promomsg("retry", "autumn", "--failed", "--yes", *there) == 0
    assert box.ledger.delivered == {f"u{n}": 1 for n in range(6)}
    assert promomsg("retry", "third", "--failed", "--yes", *there) == 0
    assert box.ledger.delivered == {f"u{n}": 1 for n in range(6)}
