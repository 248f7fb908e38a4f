"""Recipient lists as people's programs make them, against what the provider really delivered."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from cli_campaigns import campaign, promomsg, wallet_campaign

from promomsg.sandbox import Sandbox

CASES = Path(__file__).parents[1] / "cases" / "lists"
TWO = {"k1": ("1001", "小明"), "k2": ("1002", "小红")}


def set_up(folder: Path, served: Sandbox, people: bytes, title: str = "{name|客官}") -> Path:
    file = campaign(folder, served.url, title=title)
    (folder / "people.csv").write_bytes(people)
    return file


def sent(served: Sandbox) -> dict[str, list[str]]:
    """Who was reached, by id or openid, with which titles."""
    reached: dict[str, list[str]] = {}
    for body in served.calls.bodies("singlesendmsg"):
        call = json.loads(body)
        who = call.get("openid") or call.get("id")
        reached.setdefault(who, []).append(json.loads(call["content"])["title"])
    return reached


def rows(folder: Path, capsys: pytest.CaptureFixture[str]) -> list[dict[str, str]]:
    capsys.readouterr()
    assert promomsg("report", folder / "autumn.db", "--format", "csv", "--all") == 0
    return list(csv.DictReader(io.StringIO(capsys.readouterr().out)))


def reach(
    served: Sandbox,
    folder: Path,
    people: bytes,
    capsys: pytest.CaptureFixture[str],
    status: int = 0,
) -> dict[str, dict[str, str]]:
    """Sends to a list; returns the report's rows by key."""
    file = set_up(folder, served, people)
    assert promomsg("send", file, "--yes") == status
    found = rows(folder, capsys)
    assert len({row["key"] for row in found}) == len(found)
    return {row["key"]: row for row in found}


@pytest.mark.parametrize(
    "name",
    ["semicolon.csv", "sep-line.csv", "tab.tsv", "excel-unicode-text.txt", "guards.csv",
     "trailing-cells.csv"],
)  # fmt: skip
def test_two_people_whatever_program_wrote_the_list(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    found = reach(served, tmp_path, (CASES / name).read_bytes(), capsys)
    assert {key: row["verdict"] for key, row in found.items()} == {"k1": "sent", "k2": "sent"}
    reached = sent(served)
    assert set(reached) == {"1001", "1002"}
    for id, person in TWO.values():
        assert reached[id] == [person]


def test_a_quote_left_open_sends_nobody_somebody_elses_row(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = set_up(tmp_path, served, (CASES / "open-quote-closes.csv").read_bytes())
    assert promomsg("send", file, "--yes") == 1
    said = capsys.readouterr().err
    assert "line 2" in said
    assert "line 3" in said
    assert sent(served) == {}


def test_one_row_of_another_encoding_makes_no_name_unreadable(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = set_up(tmp_path, served, (CASES / "one-gbk-row.csv").read_bytes())
    assert promomsg("send", file, "--yes") == 1
    assert "line 4" in capsys.readouterr().err
    assert sent(served) == {}


def test_headings_in_any_case_are_the_columns_that_they_mean(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = reach(served, tmp_path, (CASES / "heading-case.csv").read_bytes(), capsys)
    assert set(found) == {"k1"}
    assert set(sent(served)) == {"o1001"}


def test_joined_exports_have_one_heading_line(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = reach(served, tmp_path, (CASES / "joined-exports.csv").read_bytes(), capsys)
    assert set(found) == {"k1", "k2", "j1", "j2"}
    assert set(sent(served)) == {"1001", "1002", "2001", "2002"}


def test_a_row_of_totals_is_nobody(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = reach(served, tmp_path, (CASES / "totals-row.csv").read_bytes(), capsys, 3)
    assert {key: row["code"] for key, row in found.items()} == {
        "k1": "", "k2": "", "合计": "BAD_ADDRESS",
    }  # fmt: skip
    assert set(sent(served)) == {"1001", "1002"}


def test_words_for_nothing_are_said_and_blank_cells_are_missing(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = set_up(tmp_path, served, (CASES / "words-for-nothing.csv").read_bytes())
    assert promomsg("plan", file) == 0
    out = capsys.readouterr()
    assert "3 values in 'name'" in out.out + out.err
    assert promomsg("send", file, "--yes") == 0
    assert sent(served) == {
        "1001": ["None"], "1002": ["NULL"], "1003": ["客官"], "1004": ["#N/A"], "1005": ["客官"],
    }  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        (CASES / "wallet-no-headings.csv").read_text(),
        "u1;28100TOKENofU1;Ann\n",
        "28100TOKENofU1\n28100TOKENofU2\n",
        "u1\t28100TOKENofU1\tAnn\nu2\t28100TOKENofU2\tBo\n",
        "u1|28100TOKENofU1|Ann\n",
        "281007000000000001\n281007000000000002\n",
        "TOKENofAnn,TOKENofAnn,Ann\n",
        "ACCESS_TOKEN_28100TOKENofU1,Ann\n",
        "access-token-28100TOKENofU1,u1\n",
        "Ida,Key,28100TOKENofU1\n",
        '"u1","28100TOKENofU1","Ann"\n',
        '="u1",="28100TOKENofU1",Ann\n',
    ],
)
def test_a_wallets_list_without_headings_shows_no_cell_of_it(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    file = wallet_campaign(tmp_path, served.url, text)
    words: tuple[object, ...]
    for words in (("plan", file), ("send", file, "--yes", "--json"), ("doctor", file)):
        assert promomsg(*words) == 1, words
        out = capsys.readouterr()
        for secret in ("TOKEN", "28100"):
            assert secret not in out.out + out.err, words
    assert not list(tmp_path.glob("*.db*"))
    assert not served.ledger.requests


@pytest.mark.parametrize(
    "row",
    [
        "u1;28100TOKENofU1;Ann",
        "u1;28100TOKENofU1;Ann,,",
        "u1;28100TOKENofU1;Ann,,Ann",
        "u1|28100TOKENofU1,,Ann",
        "u1\t28100TOKENofU1\tAnn",
        "u1\t28100TOKENofU1\tAnn,,",
        "u1,Ann,28100TOKENofU1,more",
        "28100TOKENofU1",
        "28100TOKENofU1,Ann",
        'u1,"28100TOKENofU1"x,Ann',
        '"28100TOKENofU1"x,u1,Ann',
        '28100TOKENofU1;"u1"x"',
    ],
)
def test_a_broken_row_of_a_wallets_list_is_called_by_its_number(
    served: Sandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str], row: str
) -> None:
    text = f"key,access_token,who\n{row}\nu2,28100TOKENofU2,Bo\n"
    file = wallet_campaign(tmp_path, served.url, text)
    said = ""
    for words, status in (
        (("plan", file), 0),
        (("send", file, "--yes", "--json"), 3),
        (("report", tmp_path / "wallet.db", "--all", "--format", "json"), 0),
        (("report", tmp_path / "wallet.db"), 0),
        (("report", tmp_path / "wallet.db", "--all", "--format", "csv"), 0),
    ):
        assert promomsg(*words) == status, words
        out = capsys.readouterr()
        said += out.out + out.err
    assert "TOKEN" not in said
    for kept in tmp_path.glob("wallet.db*"):
        assert b"TOKENof" not in kept.read_bytes(), kept
    assert [r["key"] for r in csv.DictReader(io.StringIO(out.out))] == ["row 1", "u2"]
    assert served.ledger.deliveries("28100TOKENofU2") == 1
    assert served.ledger.deliveries("28100TOKENofU1") == 0
