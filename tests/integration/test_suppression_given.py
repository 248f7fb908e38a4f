"""`suppress=` as Python, the campaign file and earlier campaigns give it, and what is said of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from campaigning import MESSAGE, QUICK, ids, kept_in, run_to_end
from cli_campaigns import campaign, one_document, running
from cli_campaigns import promomsg as terminal
from fault_campaigns import client, message, wallet_users

import promomsg
from promomsg import (
    Campaign,
    JournalError,
    MemoryJournal,
    SqliteJournal,
    UsageError,
    WeChatPromoter,
)
from promomsg.cli.output.report_writer import write_report
from promomsg.journal.contract import Journal
from promomsg.report_formats.contents import NOT_SENT
from promomsg.sandbox import Fault, FaultPlan, Sandbox

PEOPLE = [{"key": f"k{n}", "id": str(1000 + n), "openid": f"o{1000 + n}"} for n in range(1, 4)]
BOTH = ["1001", "1002"]


def summary(warnings: list[str]) -> list[str]:
    return [w for w in warnings if w.startswith("suppression list: ")]


class Blocked(str, Enum):  # noqa: UP042  (a StrEnum is its value in str())
    """What `str()` says of it is not what it is equal to."""

    ANN = "1001"
    BOB = "k2"


SHAPES: dict[str, Callable[[Path], Any]] = {
    "text": lambda folder: BOTH,
    "whole numbers": lambda folder: [1001, 1002],
    "text of an own kind": lambda folder: list(Blocked),
    "mappings to text of an own kind": lambda folder: [{"id": Blocked.ANN}, {"key": Blocked.BOB}],
    "tuple": lambda folder: tuple(BOTH),
    "set": lambda folder: set(BOTH),
    "generator": lambda folder: (i for i in BOTH),
    "keys of a mapping": lambda folder: dict.fromkeys(BOTH).keys(),
    "Series": lambda folder: pd.Series([1001, 1002]),
    "Series of text": lambda folder: pd.Series(["k1", "o1002"]),
    "column of floats": lambda folder: pd.DataFrame({"id": [1001.0, 1002.0]})["id"],
    "array": lambda folder: np.array([1001, 1002]),
    "array of text": lambda folder: np.array(BOTH),
    "Arrow array": lambda folder: pa.array([1001, 1002]),
    "Decimals": lambda folder: [Decimal(1001), Decimal(1002)],
    "mappings": lambda folder: [{"key": "k1", "why": "asked"}, {"Open ID": "o1002"}],
    "recipients": lambda folder: [promomsg.Recipient(id=i) for i in BOTH],
    "read_csv": lambda folder: promomsg.read_csv(folder / "blocked.csv"),
    "from_frame": lambda folder: promomsg.from_frame(pd.DataFrame({"id": BOTH}), id="id"),
    "path": lambda folder: folder / "blocked.csv",
    "path as text": lambda folder: str(folder / "blocked.csv"),
    "several": lambda folder: [folder / "one.txt", [1002]],
    "several as text": lambda folder: [str(folder / "one.txt"), "1002"],
    "lists in a list": lambda folder: [["1001"], (i for i in ["1002"])],
    "Excel": lambda folder: folder / "blocked.xlsx",
    "Parquet": lambda folder: folder / "blocked.parquet",
}


@pytest.mark.asyncio
@pytest.mark.parametrize("name", SHAPES)
async def test_a_list_is_taken_in_whatever_shape_it_comes(
    box: Sandbox, channel: WeChatPromoter, tmp_path: Path, name: str
) -> None:
    (tmp_path / "blocked.csv").write_text("id,why\n1001,asked\n1002,asked\n", "utf-8")
    (tmp_path / "one.txt").write_text("1001\n", "utf-8")
    frame = pd.DataFrame({"id": BOTH})
    frame.to_excel(tmp_path / "blocked.xlsx", index=False)
    frame.to_parquet(tmp_path / "blocked.parquet")
    given = SHAPES[name](tmp_path)
    report = await promomsg.send(channel, MESSAGE, PEOPLE, suppress=given, **QUICK)
    assert list(box.ledger.delivered) == ["o1003"]
    said = "suppression list: 2 values, 2 rows of this list left out"
    assert summary(report.warnings)[0] == said


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "item",
    [
        None, "", " ", True, 1001.5, float("nan"), float(2**60), b"1001", object(), "1001 # asked",
        "１００１", "10\u200b01", "\ud800", "key", "openid", "null", '["1001"]', "id:1001", {}, {"x": 1},
        {"key": None}, {"id": "1.0"}, pd.NA, pd.NaT, pd.DataFrame({"id": BOTH}), "none.csv",
        Path("none.csv"), {"id": "合计"}, [None], ["1001 asked"],
        pd.Series([20000001], dtype="float32"), np.float32(20000001), np.array([1001], "float16"),
        pa.array([20000001.0], pa.float32()),
    ],
    ids=lambda item: type(item).__name__ if "0x" in repr(item) else ascii(item)[:30],
)  # fmt: skip
async def test_an_item_that_names_nobody_stops_it(
    box: Sandbox, channel: WeChatPromoter, item: Any
) -> None:
    with pytest.raises(UsageError) as caught:
        await promomsg.send(channel, MESSAGE, PEOPLE, suppress=["1001", item], **QUICK)
    assert "\n" not in str(caught.value)
    assert box.ledger.total == 0


@pytest.mark.asyncio
async def test_a_key_that_looks_mangled_is_taken_when_it_is_a_key_here(
    box: Sandbox, channel: WeChatPromoter, tmp_path: Path
) -> None:
    rows = [{"key": "1.0", "id": "1001"}, {"key": "1.1", "id": "1002"}]
    blocked = tmp_path / "blocked.csv"
    blocked.write_text("key\n1.0\n", "utf-8")
    report = await promomsg.send(channel, MESSAGE, rows, suppress=blocked, **QUICK)
    assert list(box.ledger.delivered) == ["1002"]
    blocked.write_text("key\n1.0\n1.2\n", "utf-8")
    with pytest.raises(
        UsageError, match=r"blocked\.csv line 3: '1\.2' looks mangled|line 3: '1\.2'"
    ):
        await promomsg.send(channel, MESSAGE, rows, suppress=blocked, **QUICK)
    assert (report.sent, box.ledger.total) == (1, 1)


@pytest.mark.asyncio
async def test_a_list_that_leaves_nobody_out_is_said(
    box: Sandbox, channel: WeChatPromoter, journal: Journal
) -> None:
    run = Campaign(channel, MESSAGE, PEOPLE, journal=journal, suppress=["1009"], **QUICK)
    plan = await run.plan()
    first, second = [n for n in plan.notices if n.startswith("suppression list: ")]
    assert first == "suppression list: 1 value, 0 rows of this list left out"
    assert "which is how a wrong list looks" in second
    async with run:
        report = await run.wait()
    assert summary(report.to_dict()["warnings"]) == [first, second]


@pytest.mark.asyncio
async def test_an_empty_list_is_said_too(channel: WeChatPromoter, tmp_path: Path) -> None:
    (tmp_path / "blocked.csv").write_text("id,why\n", "utf-8")
    for given in ([], tmp_path / "blocked.csv"):
        report = await promomsg.send(channel, MESSAGE, PEOPLE, suppress=given, **QUICK)
        said = summary(report.warnings)
        assert said[0] == "suppression list: 0 values, 0 rows of this list left out"
        assert "it is empty" in said[1]
    assert "has headings and nobody under them" in said[2]


# Earlier campaigns.


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    return tmp_path / "earlier.db"


async def half_done(box: Sandbox, channel: WeChatPromoter, journal: Any) -> None:
    """k1 was sent to, k2 refused, k3's answer was lost, k4 is pending still."""
    faults = [
        Fault(endpoint="singlesendmsg", calls=[2], errcode=43101),
        Fault(endpoint="singlesendmsg", calls=[3], kind="drop_after_delivering"),
        Fault(endpoint="singlesendmsg", calls=[4], errcode=48001),
    ]
    box.faults = FaultPlan(faults)
    people = [*PEOPLE, {"key": "k4", "id": "1004", "openid": "o1004"}]
    report = await promomsg.send(channel, MESSAGE, people, journal=journal, concurrency=1, **QUICK)
    box.faults = FaultPlan()
    assert (report.sent, report.failed, report.unknown, report.pending) == (1, 1, 1, 1)


@pytest.mark.asyncio
@pytest.mark.parametrize("how", ["path", "text", "journal", "opened", "in a list", "memory"])
async def test_a_journal_is_a_list_of_whom_it_sent_to_or_may_have(
    box: Sandbox, channel: WeChatPromoter, begun: Path, how: str
) -> None:
    earlier: Any = MemoryJournal() if how == "memory" else begun
    await half_done(box, channel, earlier)
    before = box.ledger.total
    opened = promomsg.open_journal(begun) if how == "opened" else None
    given = {
        "path": begun, "text": str(begun), "journal": SqliteJournal(begun), "opened": opened,
        "in a list": [begun, "9999"], "memory": earlier,
    }[how]  # fmt: skip
    # Another key, the same address: they are the same people.
    people = [{"key": f"new-{n}", "openid": f"o{1000 + n}"} for n in range(1, 5)]
    report = await promomsg.send(channel, MESSAGE, people, suppress=given, **QUICK)
    if opened is not None:
        opened.close()
    sent = [o.recipient.key for o in report.outcomes() if o.state == "sent"]
    assert sent == ["new-2", "new-4"]
    assert box.ledger.total == before + 2
    values = 6 + (how == "in a list")
    assert summary(report.warnings) == [
        f"suppression list: {values} values, 2 rows of this list left out"
    ]


@pytest.mark.asyncio
async def test_members_of_a_group_that_was_taken_count_as_sent_to(
    box: Sandbox, channel: WeChatPromoter, begun: Path
) -> None:
    async with Campaign(channel, MESSAGE, ids(50), journal=begun, **QUICK) as run:
        await run.submit()
    assert promomsg.open_journal(begun).report().sent in (0, 50)
    report = await promomsg.send(
        channel, MESSAGE, [*ids(50), "1"], suppress=begun, route="single", **QUICK
    )
    assert (report.sent, report.by_code) == (1, {"SUPPRESSED": 50})


@pytest.mark.asyncio
async def test_a_group_of_an_audience_names_nobody_it_sent_to(
    channel: WeChatPromoter, begun: Path
) -> None:
    await promomsg.send(channel, MESSAGE, promomsg.Roles([1]), journal=begun, **QUICK)
    with pytest.raises(JournalError, match=r"earlier\.db: it sent to an audience as one group"):
        await promomsg.send(channel, MESSAGE, PEOPLE, suppress=begun, **QUICK)


@pytest.mark.asyncio
async def test_a_campaigns_own_journal_is_no_list_for_it(
    box: Sandbox, channel: WeChatPromoter, begun: Path
) -> None:
    await half_done(box, channel, begun)
    with pytest.raises(UsageError, match="own journal"):
        async with Campaign.resume(begun, channel, suppress=begun, **QUICK):
            pass
    assert (await run_to_end(Campaign.resume(begun, channel, **QUICK))).sent == 2


@pytest.mark.asyncio
@pytest.mark.parametrize("everybody", [True, False])
async def test_a_report_of_ours_is_a_list(
    box: Sandbox, channel: WeChatPromoter, tmp_path: Path, begun: Path, everybody: bool
) -> None:
    people = [{"key": key, "id": str(n)} for n, key in enumerate(["-k1", "=k2", "k3", "@k4"], 1001)]
    box.faults = FaultPlan([Fault(endpoint="singlesendmsg", calls=[1, 2], errcode=43101)])
    await promomsg.send(channel, MESSAGE, people, journal=begun, concurrency=1, **QUICK)
    box.faults = FaultPlan()
    blocked = tmp_path / "failures.csv"
    with blocked.open("w", encoding="utf-8", newline="") as file:
        write_report(begun, "csv", None if everybody else NOT_SENT, file)
    box.ledger.delivered.clear()
    report = await promomsg.send(channel, MESSAGE, [*people, "1005"], suppress=blocked, **QUICK)
    listed = 4 if everybody else 2
    assert (report.sent, report.skipped) == (5 - listed, listed)
    assert summary(report.warnings) == [
        f"suppression list: {listed} values, {listed} rows of this list left out",
        f"suppression list: {blocked} is a report: every key in it is left out, 2 of the {listed} "
        "were not sent",
    ]


# User tokens.


@pytest.mark.asyncio
@pytest.mark.parametrize("how", ["text", "column", "plain file", "mapping", "secret", "Series"])
async def test_a_wallets_list_may_hold_user_tokens(
    box: Sandbox, journal: Journal, tmp_path: Path, how: str
) -> None:
    users = wallet_users(3)
    token = users[1]["access_token"]
    (tmp_path / "column.csv").write_text(f"access_token,why\n{token},asked\n", "utf-8")
    (tmp_path / "plain.txt").write_text(f"{token}\n", "utf-8")
    given = {
        "text": [token], "column": tmp_path / "column.csv", "plain file": tmp_path / "plain.txt",
        "mapping": [{"access_token": token}], "secret": [promomsg.Secret(token)],
        "Series": pd.Series([token]),
    }[how]  # fmt: skip
    async with client(box, "alipay") as wallet:
        report = await promomsg.send(
            wallet, message("alipay"), users, journal=journal, suppress=given, **QUICK
        )
    assert (report.sent, report.by_code) == (2, {"SUPPRESSED": 1})
    assert summary(report.warnings) == ["suppression list: 1 value, 1 row of this list left out"]
    assert token not in json.dumps(report.to_dict()) + repr(list(report.outcomes()))
    assert token.encode() not in kept_in(journal)


@pytest.mark.asyncio
async def test_a_wallets_list_is_looked_at_again_by_token(box: Sandbox, path: Path) -> None:
    users = wallet_users(3)
    async with client(box, "alipay") as wallet:
        run = Campaign(wallet, message("alipay"), users, journal=path, **QUICK)
        async with run:
            run.pause()
        assert run.report.pending == 3 - run.report.sent
        before = run.report.sent
        report = await run_to_end(
            Campaign.resume(
                path, wallet, recipients=users, suppress=[users[2]["access_token"]], **QUICK
            )
        )
    assert before < 3
    assert report.by_code == {"SUPPRESSED": 1}
    assert report.sent == 2


@pytest.mark.asyncio
async def test_no_error_shows_a_cell_of_a_wallets_list(box: Sandbox, tmp_path: Path) -> None:
    users = wallet_users(1)
    (tmp_path / "a.csv").write_text("openid\nSECRET.TOKEN\n", "utf-8")
    for given in (["SECRET TOKEN"], [{"id": "SECRET.TOKEN"}], tmp_path / "a.csv", ["123.5"]):
        async with client(box, "alipay") as wallet:
            with pytest.raises(UsageError) as caught:
                await promomsg.send(wallet, message("alipay"), users, suppress=given, **QUICK)
        assert not {"SECRET", "TOKEN", "123.5"} & set(str(caught.value).replace(".", " ").split())
    assert box.ledger.total == 0


# Resuming.


def held(journal: Path) -> Any:
    with promomsg.open_journal(journal) as opened:
        report = opened.report()
        return report.to_dict(), list(report.outcomes())


@pytest.mark.asyncio
@pytest.mark.parametrize("how", ["resume", "retry"])
async def test_a_list_that_cannot_be_understood_any_more_changes_nothing(
    box: Sandbox, channel: WeChatPromoter, begun: Path, tmp_path: Path, how: str
) -> None:
    await half_done(box, channel, begun)
    before = held(begun)
    (tmp_path / "blocked.csv").write_text("key\n1.38E+10\n", "utf-8")
    blocked = tmp_path / "blocked.csv"
    again = (
        Campaign.resume(begun, channel, suppress=blocked, **QUICK)
        if how == "resume"
        else Campaign.retry(begun, channel, failed=True, suppress=blocked, **QUICK)
    )
    total = box.ledger.total
    with pytest.raises(UsageError, match=r"blocked\.csv line 2"):
        async with again:
            pass
    assert box.ledger.total == total
    assert held(begun) == before


# The terminal.


@pytest.fixture
def server() -> Iterator[Sandbox]:
    with running() as sandbox:
        yield sandbox


SAID = "suppression list: 2 values, 2 rows of this list left out"


def test_every_command_says_how_much_the_list_holds(
    server: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a.csv").write_text("key;why\nk1;asked\n", "utf-8")
    (tmp_path / "b.txt").write_text("1002\n", "utf-8")
    one = "unlimited = true\nconcurrency = 1"
    file = campaign(tmp_path, server.url, campaign='suppress = ["a.csv", "b.txt"]', pace=one)
    assert terminal("plan", file) == 0
    assert SAID in capsys.readouterr().out
    assert terminal("plan", file, "--json") == 0
    assert SAID in one_document(capsys)["notices"]
    assert terminal("doctor", file, "--json") == 0
    found = {f["what"]: f for f in one_document(capsys)["findings"]}
    assert (found["suppression"]["level"], found["suppression"]["detail"]) == ("ok", SAID)
    server.faults = FaultPlan([Fault(endpoint="singlesendmsg", calls=[3], errcode=48001)])
    assert terminal("send", file, "--yes", "--json") == 5
    out = capsys.readouterr()
    assert SAID in out.err
    assert SAID in json.loads(out.out)["warnings"]
    server.faults = FaultPlan()
    journal = tmp_path / "autumn.db"
    assert terminal("resume", journal, "--yes", "--json") == 0
    out = capsys.readouterr()
    assert SAID in out.err
    assert json.loads(out.out)["warnings"].count(SAID) == 1
    assert terminal("status", journal, "--json") == 0
    assert SAID in one_document(capsys)["warnings"]
    assert not {"1001", "1002"} & set(server.ledger.delivered)


def test_doctor_says_when_a_list_leaves_nobody_out_or_cannot_be_read(
    server: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blocked = tmp_path / "blocked.csv"
    file = campaign(tmp_path, server.url, campaign='suppress = "blocked.csv"')
    for text, level, said, status in (
        ("id\n77\n", "warn", "how a wrong list looks", 0),
        ("id\n", "warn", "it is empty", 0),
        ("key\n1.38E+10\n", "fail", "blocked.csv line 2", 1),
        ("1001 # asked\n", "fail", "blocked.csv line 1", 1),
        ("", "fail", "0 bytes", 1),
    ):
        blocked.write_text(text, "utf-8")
        assert terminal("doctor", file, "--json") == status
        found = one_document(capsys)["findings"]
        details = [f["detail"] for f in found if f["what"] == "suppression" and f["level"] == level]
        assert any(said in detail for detail in details), found


@pytest.mark.parametrize(
    "value", ['["a.csv", 5]', "[]", '[""]', "5", "true", '{ path = "a.csv" }'], ids=str
)
def test_a_campaign_files_suppress_is_a_path_or_a_list_of_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], value: str
) -> None:
    file = campaign(tmp_path, "http://127.0.0.1:9", campaign=f"suppress = {value}")
    assert terminal("plan", file) == 1
    assert "[campaign] suppress" in capsys.readouterr().err
