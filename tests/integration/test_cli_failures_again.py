"""`send --recipients failures.csv`: those whom a report names as not sent to, and nobody else, once."""

from __future__ import annotations

import csv
import io
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest
from cli_campaigns import campaign, one_document, promomsg, wallet_campaign

from promomsg.errors import JournalError
from promomsg.journal.sqlite.handle import SqliteHandle
from promomsg.sandbox import Fault, FaultPlan, Sandbox

SINGLE = 'route = "single"'
ONE_AT_A_TIME = "unlimited = true\nconcurrency = 1"


def report_of(journal: Path, *more: str, name: str = "failures.csv") -> Path:
    output = journal.with_name(name)
    assert promomsg("report", journal, "--format", "csv", "--output", output, *more) == 0
    return output


def rows_of(report: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(report.read_text(encoding="utf-8").splitlines()))


def got(served: Sandbox) -> dict[str, int]:
    """How many messages each address got by the provider's own account."""
    return dict(served.ledger.delivered)


def send_again(folder: Path, report: Path, *more: object) -> int:
    return promomsg(
        "send", folder / "autumn.toml", "--recipients", report, "--journal", folder / "again.db",
        *more,
    )  # fmt: skip


def test_exactly_the_failed_ones_get_it_once_from_the_report_as_it_is(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    people = "key,openid,name\n" + "".join(f"k{n},u{n},客{n}\n" for n in range(30))
    people += "k3,u3,again\n"
    # One at a time: the seventh call is to somebody who is not refused.
    one = "unlimited = true\nconcurrency = 1"
    file = campaign(tmp_path, served.url, people, title="{name}", campaign=SINGLE, pace=one)
    served.faults = FaultPlan(
        [Fault(endpoint="singlesendmsg", kind="drop_after_delivering", calls=[7])]
    )
    served.settings.refuse_single = {f"u{n}": 43101 for n in (3, 11, 12, 29)}
    assert promomsg("send", file, "--yes") == 4
    first = got(served)
    report = report_of(tmp_path / "autumn.db")
    by_verdict = [row["verdict"] for row in rows_of(report)]
    assert sorted(by_verdict) == ["failed"] * 4 + ["skipped", "unknown"]

    served.settings.refuse_single = {}
    served.faults = FaultPlan()
    capsys.readouterr()
    assert send_again(tmp_path, report, "--yes") == 0
    shown = capsys.readouterr().out
    assert "is a report of 6 rows: 4 people are sent to again (4 failed)" in shown
    assert "people.csv has them in 5 rows" in shown
    assert "left out are 1 unknown, 1 skipped" in shown
    again = got(served)
    assert {who: n - first.get(who, 0) for who, n in again.items() if n != first.get(who, 0)} == {
        "u3": 1, "u11": 1, "u12": 1, "u29": 1,
    }  # fmt: skip
    assert set(again.values()) == {1}
    assert promomsg("status", tmp_path / "again.db", "--json") == 0
    document = one_document(capsys)
    assert (document["planned"], document["sent"], document["skipped"]) == (5, 4, 1)
    # Once more: its journal is there already, and a report of nobody is refused.
    assert send_again(tmp_path, report, "--yes") == 1
    nobody = report_of(tmp_path / "again.db", name="nobody.csv")
    capsys.readouterr()
    assert promomsg("plan", file, "--recipients", nobody) == 1
    assert "nobody in it can be sent to again" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["xlsx", "parquet"])
def test_a_report_in_another_format_is_refused_with_the_one_that_is_taken(
    kind: str, served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    served.settings.refuse_single = {"1003": 43101}
    file = campaign(tmp_path, served.url)
    assert promomsg("send", file, "--yes") == 3
    report = tmp_path / f"failures.{kind}"
    assert promomsg("report", tmp_path / "autumn.db", "--format", kind, "--output", report) == 0
    capsys.readouterr()
    assert send_again(tmp_path, report, "--yes") == 1
    err = capsys.readouterr().err
    assert f"{report} is a report of promomsg" in err
    assert "`promomsg report JOURNAL --format csv --output failures.csv`" in err
    assert "sheet" not in err


def test_a_group_send_is_sent_again_from_the_report_of_the_first_and_resumed(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = campaign(tmp_path, served.url, 120)
    served.settings.refuse_group = {str(1000 + n): 103010 for n in range(60)}
    assert promomsg("send", file, "--yes") == 3
    report = report_of(tmp_path / "autumn.db", "--bom")
    served.settings.refuse_group = {}
    assert send_again(tmp_path, report, "--yes", "--no-wait") == 5
    assert promomsg("resume", tmp_path / "again.db", "--yes", "--campaign", file) == 0
    assert got(served) == {str(1000 + n): 1 for n in range(120)}


def test_keys_that_a_spreadsheet_would_take_for_formulas_are_found_again(
    served: Sandbox, tmp_path: Path
) -> None:
    keys = ["=1+1", "+8613800138000", "@all", "-k", "'t Hooft", "  =x", "0x", 'a "b", c', "=1+1 "]
    people = tmp_path / "people.csv"
    file = campaign(tmp_path, served.url, "key,openid\nx,y\n", campaign=SINGLE)
    with people.open("w", encoding="utf-8", newline="") as out:
        csv.writer(out).writerows([["key", "openid"], *([k, f"u{n}"] for n, k in enumerate(keys))])
    served.settings.refuse_single = {f"u{n}": 43101 for n in range(len(keys))}
    assert promomsg("send", file, "--yes") == 3
    report = report_of(tmp_path / "autumn.db")
    assert "'=1+1" in [row["key"] for row in rows_of(report)]
    served.settings.refuse_single = {}
    assert send_again(tmp_path, report, "--yes") == 0
    assert got(served) == {f"u{n}": 1 for n in range(len(keys))}


def failed(folder: Path, *rows: str) -> Path:
    report = folder / "failures.csv"
    report.write_text("\n".join(["key,verdict,code,detail,attempts,group,at", *rows]) + "\n")
    return report


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (["k1,failed,43101,no,1,,", "k77,failed,43101,no,1,,"], "(2) 1 is not in"),
        (["k1,failed,43101,no,1,,", "k1,sent,,,1,,"], "nobody in it can be sent to again"),
        (["k1,unknown,NO_ANSWER,,1,,", "k2,skipped,SUPPRESSED,,0,,"], "1 unknown, 1 skipped"),
        (["twice,failed,43101,no,1,,"], "in more rows of people.csv"),
        (["poor,failed,MISSING_PARAM,no,0,,"], "1 person in it has the address of another row"),
        (["k1,failed,43101"], "line 2 is not as a report has it"),
        (["k1,Failed!,43101,no,1,,"], "the verdict 'Failed!' is none of"),
    ],
)
def test_what_cannot_be_told_for_sure_is_refused_before_anything_is_sent(
    served: Sandbox,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    rows: list[str],
    said: str,
) -> None:
    people = (
        "key,openid,name\nk1,u1,一\nk2,u2,二\ntwice,u3,三\ntwice,u4,四\npoor,u5,五\nrich,u5,六\n"
    )
    campaign(tmp_path, served.url, people, title="{name}")
    assert send_again(tmp_path, failed(tmp_path, *rows), "--yes") == 1
    assert said in capsys.readouterr().err
    assert not (tmp_path / "again.db").exists()
    assert got(served) == {}


def test_rows_without_a_key_are_left_out_and_said(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    campaign(tmp_path, served.url, 3)
    report = failed(tmp_path, "k1,failed,43101,no,1,,", "row 2,failed,BAD_ROW,no,0,,")
    assert send_again(tmp_path, report, "--yes") == 0
    assert "left out are 1 without a key" in capsys.readouterr().out
    assert got(served) == {"1001": 1}


def test_without_the_list_the_keys_have_to_be_addresses(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    openid = "o" + "A" * 27
    file = campaign(tmp_path, served.url, 3)
    (tmp_path / "people.csv").unlink()
    digits = failed(tmp_path, "1001,failed,43101,no,1,,")
    assert send_again(tmp_path, digits, "--yes") == 1
    assert "which address '1001' is cannot be told" in capsys.readouterr().err
    text = file.read_text()
    file.write_text(text.replace("[wechat]", '[campaign.columns]\nid = "key"\n[wechat]'))
    assert send_again(tmp_path, digits, "--yes") == 0
    file.write_text(text)
    assert promomsg(
        "send", file, "--recipients", failed(tmp_path, f"{openid},failed,43101,no,1,,"),
        "--journal", tmp_path / "third.db", "--yes",
    ) == 0  # fmt: skip
    assert got(served) == {"1001": 1, openid: 1}
    personal = campaign(tmp_path, served.url, 3, title="{name}")
    (tmp_path / "people.csv").unlink()
    assert promomsg("plan", personal, "--recipients", tmp_path / "failures.csv") == 1
    assert "has no parameters: the message uses {name}" in capsys.readouterr().err


def test_the_failed_ones_of_an_audience_are_found_by_their_ids(
    served: Sandbox, tmp_path: Path
) -> None:
    who = ""
    sections = "[audience]\nroles = [1]\n"
    campaign(tmp_path, served.url, 3, who=who, sections=sections)
    report = failed(tmp_path, "1001,failed,103010,no,1,1000001,")
    assert send_again(tmp_path, report, "--yes") == 0
    assert got(served) == {"1001": 1}


def test_a_report_is_never_read_as_a_list_of_everybody_in_it(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = campaign(tmp_path, served.url, 3)
    report = failed(tmp_path, "1001,sent,,,1,,", "1002,failed,43101,no,1,,")
    more = tmp_path / "more.csv"
    text = report.read_text().replace("\n", ",x\n").replace("at,x", "at,note")
    more.write_text(text)
    for columns in ("", '[campaign.columns]\nid = "key"\n'):
        campaign(tmp_path, served.url, 3)
        file.write_text(file.read_text().replace("[wechat]", f"{columns}[wechat]"))
        assert promomsg("send", file, "--recipients", more, "--yes") == 1
        assert "may name people who got the message" in capsys.readouterr().err
    assert got(served) == {}


def refused_then_reported(served: Sandbox, folder: Path) -> Path:
    """A campaign to six people of whom two are refused, and its report."""
    people = "key,openid\n" + "".join(f"k{n},u{n}\n" for n in range(6))
    file = campaign(folder, served.url, people, campaign=SINGLE)
    served.settings.refuse_single = {"u1": 43101, "u4": 43101}
    assert promomsg("send", file, "--yes") == 3
    return report_of(folder / "autumn.db")


def test_whom_a_retry_reached_since_the_report_was_written_is_left_out(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = refused_then_reported(served, tmp_path)
    served.settings.refuse_single = {"u4": 43101}
    assert promomsg("retry", tmp_path / "autumn.db", "--failed", "--yes") == 3
    served.settings.refuse_single = {}
    capsys.readouterr()
    assert send_again(tmp_path, report, "--yes") == 0
    shown = capsys.readouterr().out
    assert "1 row of this list left out" in shown
    journal = tmp_path / "autumn.db"
    assert f"whom {journal} reached by now, may have reached, or has still to send to" in shown
    assert got(served) == {f"u{n}": 1 for n in range(6)}


def test_a_list_of_people_who_want_nothing_is_not_called_wrong_because_none_of_them_failed(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whom it named was left out the first time already."""
    (tmp_path / "blocked.csv").write_text("key\nk5\n")
    people = "key,openid\n" + "".join(f"k{n},u{n}\n" for n in range(6))
    blocked = f'{SINGLE}\nsuppress = "blocked.csv"'
    file = campaign(tmp_path, served.url, people, campaign=blocked)
    served.settings.refuse_single = {"u1": 43101}
    assert promomsg("send", file, "--yes") == 3
    report = report_of(tmp_path / "autumn.db")
    served.settings.refuse_single = {}
    capsys.readouterr()
    assert send_again(tmp_path, report, "--yes") == 0
    shown = capsys.readouterr().out
    assert "0 rows of this list left out" in shown
    assert "wrong list" not in shown
    assert got(served) == {f"u{n}": 1 for n in range(5)}


def test_a_report_that_was_sent_again_already_reaches_nobody_twice(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = refused_then_reported(served, tmp_path)
    served.settings.refuse_single = {"u4": 43101}
    assert send_again(tmp_path, report, "--yes") == 3
    served.settings.refuse_single = {}
    third = tmp_path / "third.db"
    file = tmp_path / "autumn.toml"
    assert promomsg("send", file, "--recipients", report, "--journal", third, "--yes") == 0
    assert got(served) == {f"u{n}": 1 for n in range(6)}
    # The campaign that it comes from may be gone: whoever sent this report again is found all the same.
    (tmp_path / "autumn.db").unlink()
    fourth = tmp_path / "fourth.db"
    capsys.readouterr()
    assert promomsg("send", file, "--recipients", report, "--journal", fourth, "--yes") == 0
    shown = capsys.readouterr().out
    assert "autumn.db is not there" in shown
    assert 'name its journal by suppress = "PATH"' in shown
    assert got(served) == {f"u{n}": 1 for n in range(6)}


def test_a_retry_leaves_out_whom_a_campaign_reached_that_sent_to_its_report(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = refused_then_reported(served, tmp_path)
    served.settings.refuse_single = {"u4": 43101}
    assert send_again(tmp_path, report, "--yes") == 3
    served.settings.refuse_single = {}
    (tmp_path / "broken.db").write_bytes((tmp_path / "autumn.db").read_bytes()[:2_000])
    journal = tmp_path / "autumn.db"
    capsys.readouterr()
    assert promomsg("retry", journal, "--failed", "--yes", "--json") == 0
    document = one_document(capsys)
    assert (document["sent"], document["failed"], document["skipped"]) == (5, 0, 1)
    assert document["by_code"] == {"SUPPRESSED": 1}
    assert any(str(tmp_path / "again.db") in warning for warning in document["warnings"])
    assert got(served) == {f"u{n}": 1 for n in range(6)}


def test_who_is_still_to_be_sent_to_by_the_campaign_itself_is_left_to_it(
    served: Sandbox, tmp_path: Path
) -> None:
    report = refused_then_reported(served, tmp_path)
    served.settings.refuse_single = {}
    served.faults = FaultPlan([Fault(endpoint="singlesendmsg", errcode=48001)])
    journal = tmp_path / "autumn.db"
    assert promomsg("retry", journal, "--failed", "--yes") == 5
    served.faults = FaultPlan()
    assert send_again(tmp_path, report, "--yes") == 0
    assert set(got(served)) == {"u0", "u2", "u3", "u5"}
    assert promomsg("resume", journal, "--yes") == 0
    assert got(served) == {f"u{n}": 1 for n in range(6)}


def test_the_journal_of_another_account_says_nothing_of_a_report_and_is_named(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = refused_then_reported(served, tmp_path)
    file = tmp_path / "autumn.toml"
    file.write_text(file.read_text().replace("wx0123456789abcdef", "wx0000000000000001"))
    capsys.readouterr()
    assert promomsg("plan", file, "--recipients", report, "--journal", tmp_path / "again.db") == 0
    shown = capsys.readouterr().out
    assert "autumn.db is of another account, wechat wx0123456789abcdef" in shown
    assert "is not there" not in shown


def test_a_journal_that_cannot_be_read_is_no_journal_of_nobody(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = refused_then_reported(served, tmp_path)
    served.settings.refuse_single = {}
    journal = tmp_path / "autumn.db"
    journal.write_bytes(journal.read_bytes()[:2_000])
    before = got(served)
    assert send_again(tmp_path, report, "--yes") == 1
    assert str(journal) in capsys.readouterr().err
    assert got(served) == before


def test_users_of_a_wallet_are_sent_to_again_by_new_idempotency_keys_and_once(
    served: Sandbox, tmp_path: Path
) -> None:
    rows = "".join(f"u{n},t{n},客{n}\n" for n in range(8))
    people = f"key,access_token,who\n{rows}"
    file = wallet_campaign(tmp_path, served.url, people, name="autumn", pace=ONE_AT_A_TIME)
    refused: dict[str, Any] = {"endpoint": "alipay.send", "result": "INVALID_ACCESS_TOKEN"}
    served.faults = FaultPlan([Fault(**refused, calls=[2, 5, 7])])
    assert promomsg("send", file, "--yes") == 3
    assert got(served) == {f"t{n}": 1 for n in (0, 2, 3, 5, 7)}
    report = report_of(tmp_path / "autumn.db")
    first = set(served.ledger.requests)
    served.faults = FaultPlan([Fault(**refused, calls=[1])])
    assert send_again(tmp_path, report, "--yes") == 3
    third = tmp_path / "third.db"
    served.faults = FaultPlan()
    assert promomsg("send", file, "--recipients", report, "--journal", third, "--yes") == 0
    assert got(served) == {f"t{n}": 1 for n in range(8)}
    assert len(served.ledger.requests) == 8
    assert first < set(served.ledger.requests)


def test_half_a_plan_of_failures_is_not_planned_again_to_everybody(
    served: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = refused_then_reported(served, tmp_path)
    served.settings.refuse_single = {}
    kept = tmp_path / "kept"

    async def killed(self: SqliteHandle, *args: Any, **rest: Any) -> None:
        shutil.copy(tmp_path / "again.db.planning", kept)
        raise JournalError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(SqliteHandle, "seal", killed)
        assert send_again(tmp_path, report, "--yes") == 1
    kept.rename(tmp_path / "again.db.planning")
    assert promomsg("resume", tmp_path / "again.db", "--yes") == 0
    assert got(served) == {f"u{n}": 1 for n in range(6)}


HEADINGS = ("key", "verdict", "code", "detail", "attempts", "group", "at")
ROWS = [
    ("k0", "sent", "", "", "1", "", ""),
    ("k1", "failed", "43101", "refused", "1", "", ""),
    ("k4", "failed", "43101", "refused", "1", "", ""),
]


def edited(headings: Sequence[str], rows: Iterable[Sequence[str]], **how: Any) -> bytes:
    """A report as it is saved by whoever edited it."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=how.get("delimiter", ","), lineterminator="\r\n")
    writer.writerows([headings, *rows])
    return out.getvalue().encode(how.get("encoding", "utf-8"))


@pytest.mark.parametrize(
    "content",
    [
        edited(HEADINGS, ROWS, delimiter=";", encoding="utf-8-sig"),
        edited(HEADINGS, [(*row[:3], "用户拒绝", *row[4:]) for row in ROWS], encoding="gbk"),
        edited(HEADINGS, ROWS, delimiter="\t", encoding="utf-16"),
        edited([name.upper() for name in HEADINGS], ROWS),
        edited(HEADINGS, [*ROWS, *ROWS]),
        edited(HEADINGS, [*ROWS, ("",) * 7, (" ",) * 7]),
        b"sep=,\r\n" + edited(HEADINGS, ROWS),
    ],
    ids=["semicolons", "gbk", "unicode text", "capitals", "doubled", "empty rows", "sep="],
)
def test_a_report_that_a_spreadsheet_saved_names_the_same_people(
    served: Sandbox, tmp_path: Path, content: bytes
) -> None:
    refused_then_reported(served, tmp_path)
    served.settings.refuse_single = {}
    report = tmp_path / "edited.csv"
    report.write_bytes(content)
    assert send_again(tmp_path, report, "--yes") == 0
    assert got(served) == {f"u{n}": 1 for n in range(6)}


def without(*names: str) -> bytes:
    """The report with these columns taken out, and one of openids put behind."""
    kept = [place for place, name in enumerate(HEADINGS) if name not in names]
    rows = [[*(row[place] for place in kept), f"u{row[0][1:]}"] for row in ROWS]
    return edited([*(HEADINGS[place] for place in kept), "openid"], rows)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (edited((HEADINGS[1], HEADINGS[0], *HEADINGS[2:]), [(r[1], r[0], *r[2:]) for r in ROWS]), "is a report"),
        (edited(HEADINGS[:-1], [row[:-1] for row in ROWS]), "is a report"),
        (edited(("id", *HEADINGS[1:]), [("100" + r[0][1:], *r[1:]) for r in ROWS]), "has a column verdict"),
        (edited(("openid", *HEADINGS[1:]), [("u" + r[0][1:], *r[1:]) for r in ROWS]), "has a column verdict"),
        (without(), "has a column verdict"),
        (without("code", "detail", "attempts", "group", "at"), "has a column verdict"),
        (edited(("键", "结果", "代码", "详情", "次数", "组", "时间"), ROWS), "no column is called"),
        (edited(HEADINGS, [(r[0], "失败", *r[2:]) for r in ROWS]), "the verdict '失败' is none of"),
        (edited(HEADINGS, [("'" + r[0], *("'" + c for c in r[1:])) for r in ROWS]), "line 2: the verdict"),
        (edited(HEADINGS, [("1.00E+03", *r[1:]) for r in ROWS[1:]]), "not in people.csv ('1.00E+03')"),
        (edited(HEADINGS, [("", *r[1:]) for r in ROWS[1:]]), "not in people.csv ('')"),
        (edited(HEADINGS, [*ROWS, HEADINGS]), "line 5: the verdict 'verdict'"),
    ],
    ids=[
        "moved", "removed", "called id", "called openid", "openids added", "little left and openids added",
        "headings in Chinese", "verdicts in Chinese", "apostrophes", "scientific", "no keys", "joined",
    ],
)  # fmt: skip
def test_a_report_that_was_edited_into_something_else_is_refused_before_anything_is_sent(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, said: str
) -> None:
    refused_then_reported(served, tmp_path)
    served.settings.refuse_single = {}
    before = got(served)
    report = tmp_path / "edited.csv"
    report.write_bytes(content)
    capsys.readouterr()
    assert send_again(tmp_path, report, "--yes") == 1
    [line] = capsys.readouterr().err.splitlines()
    assert said in line
    assert got(served) == before
    assert not (tmp_path / "again.db").exists()


def test_a_report_that_is_piped_in_is_told_that_it_has_to_be_a_file(
    served: Sandbox, tmp_path: Path
) -> None:
    report = refused_then_reported(served, tmp_path)
    before = got(served)
    words = ["send", "autumn.toml", "--recipients", "-", "--journal", "again.db", "--yes"]
    done = subprocess.run(
        [sys.executable, "-m", "promomsg", *words], input=report.read_bytes(), cwd=tmp_path,
        capture_output=True, check=False, timeout=30,
    )  # fmt: skip
    assert done.returncode == 1
    assert b"--recipients failures.csv" in done.stderr
    assert got(served) == before


def test_a_row_that_was_doubled_does_not_vouch_for_another_row_of_the_same_key(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    people = "key,openid,name\ntwice,u3,三\ntwice,u4,\n"
    campaign(tmp_path, served.url, people, title="{name}", campaign=SINGLE)
    row = "twice,failed,MISSING_PARAM,line 3: no value for {name},0,,"
    assert send_again(tmp_path, failed(tmp_path, row, row), "--yes") == 1
    assert "in more rows of people.csv" in capsys.readouterr().err
    assert got(served) == {}


def test_a_report_in_the_place_of_another_campaigns_is_its_own(
    served: Sandbox, tmp_path: Path
) -> None:
    report = refused_then_reported(served, tmp_path)
    served.settings.refuse_single = {}
    assert send_again(tmp_path, report, "--yes") == 0
    people = (tmp_path / "people.csv").read_text()
    file = campaign(tmp_path, served.url, people, name="winter", campaign=SINGLE)
    served.settings.refuse_single = {"u1": 43101}
    assert promomsg("send", file, "--yes") == 3
    assert report_of(tmp_path / "winter.db") == report
    served.settings.refuse_single = {}
    third = tmp_path / "third.db"
    assert promomsg("send", file, "--recipients", report, "--journal", third, "--yes") == 0
    assert got(served) == {f"u{n}": 2 for n in range(6)}


def test_a_campaign_of_failures_knows_the_others_when_its_files_were_moved(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = refused_then_reported(served, tmp_path)
    assert send_again(tmp_path, report, "--yes") == 3
    served.settings.refuse_single = {"u4": 43101}
    assert promomsg("retry", tmp_path / "autumn.db", "--failed", "--yes") == 3
    moved = report.rename(tmp_path / "moved.csv")
    (tmp_path / "autumn.db").rename(tmp_path / "old.db")
    served.settings.refuse_single = {}
    words = ("retry", tmp_path / "again.db", "--failed", "--yes")
    assert promomsg(*words) == 1
    assert "put that list back" in capsys.readouterr().err
    assert promomsg(*words, "--recipients", moved) == 0
    assert got(served) == {f"u{n}": 1 for n in range(6)}


def test_users_of_a_wallet_with_request_ids_of_their_own_keep_them_and_get_it_once(
    served: Sandbox, tmp_path: Path
) -> None:
    rows = "".join(f"u{n},t{n},客{n},order-{n}\n" for n in range(6))
    people = f"key,access_token,who,request_id\n{rows}"
    file = wallet_campaign(tmp_path, served.url, people, name="autumn", pace=ONE_AT_A_TIME)
    refused: dict[str, Any] = {"endpoint": "alipay.send", "result": "INVALID_ACCESS_TOKEN"}
    lost: dict[str, Any] = {"endpoint": "alipay.send", "kind": "drop_after_delivering"}
    served.faults = FaultPlan([Fault(**refused, calls=[2, 5]), Fault(**lost, calls=[3])])
    assert promomsg("send", file, "--yes") == 3
    report = report_of(tmp_path / "autumn.db")
    served.faults = FaultPlan([Fault(**lost, calls=[1])])
    assert send_again(tmp_path, report, "--yes") == 0
    assert got(served) == {f"t{n}": 1 for n in range(6)}
    assert served.ledger.requests == {f"order-{n}": f"t{n}" for n in range(6)}
