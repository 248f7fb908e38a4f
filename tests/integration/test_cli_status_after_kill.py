"""What is shown of a campaign whose sender was killed is what its resume makes of it."""

from __future__ import annotations

import asyncio
import csv
import io
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from cli_campaigns import (
    campaign,
    conserved,
    one_document,
    promomsg,
    started,
    wallet_campaign,
)
from waiting import wait_for

from promomsg.cli.output.next_steps import next_steps
from promomsg.engine.opened_journal import open_journal
from promomsg.engine.report import CANCEL_ASKED
from promomsg.journal.locate import journal_at
from promomsg.journal.records import Control
from promomsg.sandbox import Fault, FaultPlan, Sandbox

COUNTS = ("planned", "sent", "failed", "unknown", "skipped", "cancelled", "pending", "by_code")


def killed(served: Sandbox, file: Path, endpoint: str, *, after: int, out: int) -> Path:
    """Its journal, once the results of `after` calls were durable and `out` more calls were out."""
    journal = file.with_suffix(".db")
    served.faults = FaultPlan([Fault(endpoint=endpoint, kind="hang", after=after)])
    sender = started("send", file, "--yes")
    wait_for(lambda: served.calls[endpoint] == after + out)
    with open_journal(journal) as opened:
        wait_for(lambda: opened.report().sent == after)
        # While its sender is alive, whoever is intended is pending.
        assert opened.report().unknown == 0
    sender.kill()
    sender.communicate()
    return journal


def shown(journal: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """The document of status, which everything else that looks at the journal agrees with."""
    capsys.readouterr()
    assert promomsg("status", journal, "--json") == 0
    document: dict[str, Any] = one_document(capsys)
    assert conserved(document)
    with open_journal(journal) as opened:
        report = opened.report()
        assert report.to_dict() == document
        rows = [o.recipient.key for o in opened.outcomes(["unknown"])]
        assert rows == [o.recipient.key for o in report.unknowns()]
    assert len(rows) == len(report.unknowns()) == document["unknown"]
    assert promomsg("report", journal, "--format", "csv", "--all") == 0
    cells = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    verdicts = Counter(row["verdict"] for row in cells)
    assert verdicts == Counter({name: document[name] for name in COUNTS[1:-1] if document[name]})
    codes = Counter(row["code"] for row in cells if row["verdict"] not in ("sent", "pending"))
    assert codes == document["by_code"]
    return document


def the_same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return [one[name] for name in COUNTS] == [other[name] for name in COUNTS]


def test_singles_that_were_out_are_unknown_and_the_rest_is_pending(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pace = "unlimited = true\nconcurrency = 4"
    file = campaign(tmp_path, served.url, 100, title="{name}", pace=pace)
    journal = killed(served, file, "singlesendmsg", after=20, out=4)
    before = shown(journal, capsys)
    out = before["unknown"]
    assert 4 <= out <= 2 * 4
    assert (before["state"], before["sent"], before["pending"]) == ("stopped", 20, 80 - out)
    assert before["by_code"] == {"INTERRUPTED": out}
    assert before["warnings"] == [
        f"{out} single sends were out when its sender ended: their recipients are unknown; resume it"
    ]
    assert promomsg("status", journal) == 0
    assert f"warning: {out} single sends were out" in capsys.readouterr().out
    # A resume that nobody can be sent to.
    served.faults = FaultPlan([Fault(endpoint="singlesendmsg", errcode=48001)])
    assert promomsg("resume", journal, "--yes", "--json") == 5
    after = one_document(capsys)
    assert the_same(before, after)
    assert "their recipients are unknown" in after["warnings"][0]
    assert shown(journal, capsys)["warnings"] == after["warnings"]


def test_a_resume_ends_a_campaign_of_which_only_calls_in_doubt_are_left(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = killed(served, campaign(tmp_path, served.url, 60), "sendmsg", after=0, out=1)
    before = shown(journal, capsys)
    assert (before["state"], before["unknown"], before["pending"]) == ("stopped", 60, 0)
    assert [group["state"] for group in before["groups"]] == ["unknown"]
    assert before["warnings"] == [
        "1 group send of 60 was out when its sender ended: their recipients are unknown; resume it"
    ]
    assert promomsg("resume", journal, "--yes", "--json") == 4
    after = one_document(capsys)
    assert the_same(before, after)
    assert (after["state"], after["groups"]) == ("done", before["groups"])


def test_so_does_a_cancel(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = killed(served, campaign(tmp_path, served.url, 10), "singlesendmsg", after=8, out=2)
    before = shown(journal, capsys)
    assert promomsg("cancel", journal) == 0
    assert the_same(before, after := shown(journal, capsys))
    assert (after["state"], after["unknown"], after["warnings"]) == ("done", 2, [])


def test_a_wallet_is_asked_again(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = "".join(f"u{n},t{n},客{n}\n" for n in range(30))
    people, pace = f"key,access_token,who\n{rows}", "unlimited = true\nconcurrency = 4"
    file = wallet_campaign(tmp_path, served.url, people, pace=pace)
    journal = killed(served, file, "alipay.send", after=10, out=4)
    before = shown(journal, capsys)
    assert (before["state"], before["sent"], before["pending"]) == ("stopped", 10, 20)
    warning = before["warnings"][-1]
    assert warning.endswith(
        "single sends were out when its sender ended: resume asks for them again with the same "
        "idempotency keys"
    )
    out = int(warning.split()[0])
    assert 4 <= out <= 2 * 4
    with open_journal(journal) as opened:
        pending = Counter(outcome.code for outcome in opened.outcomes(["pending"]))
    assert pending == {"": 20 - out, "INTERRUPTED": out}
    served.faults = FaultPlan([])
    assert promomsg("resume", journal, "--yes", "--json") == 0
    assert one_document(capsys)["sent"] == 30


def test_a_cancel_that_a_kill_cut_short_is_said_and_done_by_the_next_one(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pace = "unlimited = true\nconcurrency = 4"
    file = campaign(tmp_path, served.url, 100, title="{name}", pace=pace)
    journal = killed(served, file, "singlesendmsg", after=20, out=4)
    asyncio.run(journal_at(journal).request(Control.CANCEL))
    before = shown(journal, capsys)
    assert (before["state"], before["reason"]) == ("stopped", CANCEL_ASKED)
    steps = [command for _, command, _ in next_steps(before)]
    assert steps == ["cancel", "report"]
    assert promomsg("cancel", journal) == 0
    after = shown(journal, capsys)
    assert (after["state"], after["pending"]) == ("cancelled", 0)
    assert after["sent"] + after["unknown"] >= served.ledger.total
