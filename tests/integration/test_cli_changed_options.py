"""A campaign file, or an option, that is another than when the campaign was planned: what comes too late is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cli_campaigns import campaign, one_document, promomsg

from promomsg.sandbox import Fault, FaultPlan, Sandbox

STAYS = "the plan stays as it was made"


def halted(served: Sandbox, folder: Path, *words: str, **changes: Any) -> Path:
    """The file of a campaign of which nothing is sent yet."""
    served.faults = FaultPlan([Fault(endpoint="*sendmsg", errcode=45009)])
    file = campaign(folder, served.url, **changes)
    assert promomsg("send", file, "--yes", *words) == 5
    served.faults = FaultPlan()
    return file


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('route = "single"', "route was None and is 'single' now"),
        ("max_group_size = 99", "max_group_size was 10000 and is 99 now"),
        ("resolve = true", "resolve was False and is True now"),
        ("first = 3", "first was None and is 3 now"),
        ('finish_by = "2099-01-01 12:00"', "finish_by was None and is "),
    ],
)
@pytest.mark.parametrize("command", [("resume",), ("send", "--or-resume")])
def test_what_a_campaign_file_says_too_late_is_said(
    command: tuple[str, ...],
    line: str,
    said: str,
    served: Sandbox,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    file = halted(served, tmp_path, rows=60)
    campaign(tmp_path, served.url, rows=60, campaign=line)
    capsys.readouterr()
    what = file.with_suffix(".db") if command == ("resume",) else file
    assert promomsg(*command, what, "--yes") == 0
    out = capsys.readouterr().out
    assert STAYS in out
    assert said in out
    assert (served.calls["singlesendmsg"], len(served.ledger.groups)) == (0, 1)


def test_nothing_is_said_of_a_file_that_is_as_it_was(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = 'first = "50%"\nfirst_wait = "1ms"\nstart_at = "2025-01-01 09:00+09:00"\nmax_group_size = 100'
    lines = lines.replace("2025-01-01 09:00+09:00", _just_now())
    sections = '[templates.1]\ntitle = "thing"'
    file = halted(served, tmp_path, "--first", "2", campaign=lines, sections=sections)
    capsys.readouterr()
    assert promomsg("send", file, "--or-resume", "--yes", "--first", "2") == 0
    assert STAYS not in capsys.readouterr().out


def _just_now() -> str:
    from datetime import UTC, datetime

    return datetime.now(UTC).isoformat(" ", "seconds")


def test_another_first_of_the_command_line_is_said(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = halted(served, tmp_path)
    capsys.readouterr()
    assert promomsg("send", file, "--or-resume", "--yes", "--first", "2") == 0
    assert "first was None and is 2 now" in capsys.readouterr().out


def test_a_cap_of_the_command_line_holds_for_what_is_left(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = halted(served, tmp_path)
    assert promomsg("send", file, "--or-resume", "--yes", "--max-recipients", "9") == 1
    err = capsys.readouterr().err
    assert "would send to 10 recipients, over the cap of 9" in err
    assert served.ledger.total == 0
    assert promomsg("send", file, "--or-resume", "--yes", "--json", "--max-recipients", "10") == 0
    assert one_document(capsys)["sent"] == 10


def test_a_cap_on_messages_per_person_that_came_later_counts(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = halted(served, tmp_path)
    other = campaign(tmp_path, served.url, rows=4, name="other")
    assert promomsg("send", other, "--yes") == 0
    campaign(tmp_path, served.url, campaign='max_per_person = "1 in 7d"')
    capsys.readouterr()
    assert promomsg("send", file, "--or-resume", "--yes", "--json") == 0
    document = one_document(capsys)
    assert (document["sent"], document["by_code"]) == (6, {"MAX_PER_PERSON": 4})


@pytest.mark.parametrize("promoters", [60, 20])
def test_another_audience_is_not_the_planned_one(
    promoters: int, served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also where it was few enough to be sent to one by one."""
    served.settings.promoters = promoters
    file = halted(served, tmp_path, who="", sections="[audience]\nroles = [1]")
    campaign(tmp_path, served.url, who="", sections="[audience]\nroles = [2]")
    capsys.readouterr()
    assert promomsg("resume", file.with_suffix(".db"), "--yes") == 1
    err = capsys.readouterr().err
    assert '{"roles":[1]}' in err
    assert '{"roles":[2]}' in err
    assert served.ledger.total == 0
    campaign(tmp_path, served.url, who="", sections="[audience]\nroles = [1]")
    assert promomsg("resume", file.with_suffix(".db"), "--yes") == 0


def test_other_columns_are_not_the_planned_list(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "key,id,推广员ID\n" + "".join(f"k{n},{n},{1000 + n}\n" for n in range(1, 6))
    file = halted(served, tmp_path, rows=rows)
    campaign(tmp_path, served.url, rows=rows, sections='[campaign.columns]\nid = "推广员ID"')
    capsys.readouterr()
    assert promomsg("resume", file.with_suffix(".db"), "--yes") == 1
    assert "the recipients are not the list" in capsys.readouterr().err
    assert served.ledger.total == 0


def test_a_retry_goes_by_the_route_of_its_file(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those who failed are fewer than 50, for whom a route of groups alone cannot be."""
    served.settings.refuse_group = {"1003": 103010, "1007": 103010}
    file = campaign(tmp_path, served.url, 60, campaign='route = "group"')
    assert promomsg("send", file, "--yes") == 3
    served.settings.refuse_group = {}
    journal = file.with_suffix(".db")
    capsys.readouterr()
    assert promomsg("retry", journal, "--failed", "--yes") == 1
    assert 'route = "group"' in capsys.readouterr().err
    assert promomsg("status", journal, "--json") == 0
    document = one_document(capsys)
    assert (document["state"], document["failed"], document["pending"]) == ("done", 2, 0)

    campaign(tmp_path, served.url, 60)
    assert promomsg("retry", journal, "--failed", "--yes", "--json") == 0
    assert one_document(capsys)["sent"] == 60
    assert served.ledger.twice() == []
