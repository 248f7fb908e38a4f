"""Lists as people have them, from the file to the people who were reached."""

from __future__ import annotations

import gzip
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import openpyxl
import pytest
from campaigning import QUICK, wechat
from cli_campaigns import ENV, campaign, one_document, promomsg, running

from promomsg import Campaign, Recipient, UsageError, WeChatMessage, read_csv, send
from promomsg.sandbox import Sandbox, SandboxSettings

CASES = Path(__file__).parents[1] / "cases" / "lists"


def message(title: str) -> WeChatMessage:
    return WeChatMessage(1, {"title": title, "desc": "三件五折"}, "pages/index/index")


@pytest.mark.asyncio
async def test_words_for_nothing_are_counted_and_blanks_get_the_fallback() -> None:
    async with Sandbox() as served, wechat(served) as channel:
        source = read_csv(CASES / "words-for-nothing.csv")
        run = Campaign(channel, message("{name|客官}"), source, **QUICK)
        plan = await run.plan()
        (notice,) = [n for n in plan.notices if "write for an empty cell" in n]
        assert "3 values in 'name'" in notice
        async with run:
            report = await run.wait()
        assert report.sent == 5
        got = [json.loads(body) for body in served.calls.bodies("singlesendmsg")]
        assert sum("客官" in json.dumps(one, ensure_ascii=False) for one in got) == 2


@pytest.mark.asyncio
@pytest.mark.parametrize("braces", ["{{name}}", "{{ name }}"])
async def test_doubled_braces_of_a_column_are_said(braces: str, tmp_path: Path) -> None:
    lists: list[Any] = [
        [{"id": 1, "name": "x"}],
        [Recipient(id="1", params={"name": "x"})],
        read_csv(written(tmp_path / "a.csv", "id,name\n1,x\n")),
    ]
    async with Sandbox() as served, wechat(served) as channel:
        for people in lists:
            plan = await Campaign(channel, message(braces), people, **QUICK).plan()
            assert any(
                f"title: {braces}: the placeholder is written {{name}}" in n for n in plan.notices
            )
        for text, others in ((braces, [{"id": 1}]), ("{{{name}}}", lists[0]), ("{name}", lists[0])):
            plan = await Campaign(channel, message(text), others, **QUICK).plan()
            assert not any("the placeholder is written" in n for n in plan.notices)


@pytest.mark.asyncio
async def test_one_call_takes_parameters_by_the_rule_of_every_list() -> None:
    async with Sandbox() as served, wechat(served) as channel:
        await channel.send_one(message("{name}"), Recipient(id="1", params={"name": 120.0}))
        (body,) = served.calls.bodies("singlesendmsg")
        assert b'\\"120\\"' in body
        with pytest.raises(UsageError, match="BAD_ROW: parameter 'name' is a object"):
            await channel.send_one(message("{name}"), Recipient(id="1", params={"name": object()}))
        assert served.calls["singlesendmsg"] == 1


@pytest.mark.asyncio
async def test_an_odd_value_costs_its_own_row_and_nobody_else() -> None:
    async with Sandbox() as served, wechat(served) as channel:
        report = await send(
            channel, message("{name|客官}"), [{"id": 1}, {"id": 2, "name": object()}, 3.0], **QUICK
        )
        assert (report.sent, report.failed, report.by_code) == (2, 1, {"BAD_ROW": 1})
        assert sorted(served.ledger.delivered) == ["1", "3"]


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def book(path: Path) -> Path:
    """A workbook with two sheets: the second is the list."""
    made = openpyxl.Workbook()
    assert made.active is not None
    made.active.append(["about", "this"])
    page = made.create_sheet("名单")
    for cells in (["ID", "name"], [1, "a"], [2, "b"]):
        page.append(cells)
    made.save(path)
    return path


@pytest.mark.parametrize("who", ['"people.xlsx"\nsheet = "名单"', '"people.xlsx"\nsheet = 2'])
def test_a_sheet_of_a_workbook_by_the_campaign_file(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str], who: str
) -> None:
    file = campaign(tmp_path, served.url, who=f"recipients = {who}")
    book(tmp_path / "people.xlsx")
    assert promomsg("send", file, "--yes", "--json") == 0
    assert one_document(capsys)["sent"] == 2
    assert sorted(served.ledger.delivered) == ["1", "2"]


def test_several_files_by_the_campaign_file(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    who = 'recipients = ["a.csv", "b.jsonl.gz"]'
    file = campaign(tmp_path, served.url, who=who, title="{name|客官}")
    written(tmp_path / "a.csv", "id,name\n1,a\n2,b\n1,c\n")
    (tmp_path / "b.jsonl.gz").write_bytes(gzip.compress(b'{"id": 3, "name": "d"}\n{"id": 2}\n'))
    assert promomsg("send", file, "--yes", "--json") == 0
    document = one_document(capsys)
    assert (document["sent"], document["skipped"]) == (3, 2)
    assert sorted(served.ledger.delivered) == ["1", "2", "3"]
    assert promomsg("doctor", file, "--json") == 0
    assert "a.csv, " in capsys.readouterr().out


def piped(words: list[Any], data: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "promomsg.cli", *map(str, words)],
        input=data,
        capture_output=True,
        text=True,
        env=ENV,
        timeout=60,
        check=False,
    )


def test_a_list_that_is_piped_in(served: Sandbox, tmp_path: Path) -> None:
    file = campaign(tmp_path, served.url, who='recipients = "-"')
    people = "id;name\n" + "".join(f"{n};x\n" for n in range(1, 21))
    refused = piped(["send", file], people)
    assert refused.returncode != 0
    assert "--yes" in refused.stderr
    assert not served.ledger.delivered
    done = piped(["send", file, "--yes", "--json"], people)
    assert json.loads(done.stdout)["sent"] == 20
    assert (done.returncode, len(served.ledger.delivered)) == (0, 20)
    empty = piped(
        ["send", campaign(tmp_path, served.url, name="b", who='recipients = "-"'), "--yes"], ""
    )
    assert empty.returncode != 0
    assert "standard input is empty" in empty.stderr
    given = piped(
        ["send", campaign(tmp_path, served.url, name="c"), "--recipients", "-", "--yes", "--json"],
        '[{"id": 99}]',
    )
    assert json.loads(given.stdout)["sent"] == 1


def test_a_resume_needs_no_list_that_was_piped_in(tmp_path: Path) -> None:
    with running(settings=SandboxSettings(daily_quota={"singlesendmsg": 3})) as served:
        file = campaign(tmp_path, served.url, who='recipients = "-"')
        people = "id\n" + "".join(f"{n}\n" for n in range(1, 11))
        begun = json.loads(piped(["send", file, "--yes", "--json"], people).stdout)
        assert (begun["sent"], begun["pending"]) == (3, 7)
        served.settings.daily_quota = {}
        again = json.loads(piped(["resume", tmp_path / "autumn.db", "--yes", "--json"], "").stdout)
        assert (again["sent"], again["pending"]) == (10, 0)
        assert set(served.ledger.delivered.values()) == {1}


WRONG = {
    "people.csv": (b"key,id,name\nk1,1,x\n", "is a list of recipients, not a campaign file"),
    "people.tsv": (b"Open ID\tname\no1\tx\n", "is a list of recipients"),
    "people.jsonl": (b'{"id": 1}\n', "is a list of recipients"),
    "people.pdf": (b"%PDF-1.4\n\xff", "is a PDF, not a campaign file"),
    "people.xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(9), "is an old Excel file"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_list_where_the_campaign_file_is_meant(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    content, match = WRONG[name]
    (tmp_path / name).write_bytes(content)
    assert promomsg("send", tmp_path / name, "--yes") != 0
    assert match in capsys.readouterr().err


def test_a_journal_and_a_campaign_file_where_the_other_is_meant(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = campaign(tmp_path, served.url, 2)
    assert promomsg("send", file, "--yes", "--json") == 0
    journal = tmp_path / "autumn.db"
    capsys.readouterr()
    assert promomsg("send", journal, "--yes") != 0
    assert "is a journal, not a campaign file: promomsg resume" in capsys.readouterr().err
    shutil.copy(journal, tmp_path / "copy.db")
    for name, match in (
        ("copy.db", "is a SQLite database, such as a campaign's journal"),
        ("autumn.toml", "is a campaign file, not a list"),
    ):
        other = campaign(tmp_path, served.url, 2, name="other", who=f'recipients = "{name}"')
        assert promomsg("send", other, "--yes") != 0
        assert match in capsys.readouterr().err
    assert len(served.ledger.delivered) == 2
