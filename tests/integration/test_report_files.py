"""Reports as files: every number of every format is the same, whatever a list or a provider wrote."""

from __future__ import annotations

import asyncio
import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import openpyxl
import pandas as pd
import pyarrow.parquet as pq
import pytest
from campaigning import QUICK, wechat
from cli_campaigns import promomsg

import promomsg as package
from promomsg.sandbox import Fault, FaultPlan, Sandbox

HOSTILE = "<script>alert(1)</script>\u202e=1+1 'k' \"q\" &amp;"
MESSAGE = package.WeChatMessage(
    msg_type=1,
    content={
        "title": "今日优惠活动",
        "topic": "双十一大促",
        "desc": "{name}",
        "date": "2022/10/28",
    },
    path="pages/index/index",
)
STATES = ("planned", "sent", "failed", "unknown", "skipped", "cancelled", "pending")


class Page(HTMLParser):
    """What a browser makes of a page: its tags, and what it would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.fetched: list[str] = []
        self.words: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            if name in ("src", "href", "srcset", "data", "action") or name.startswith("on"):
                self.fetched.append(f"{tag} {name}={value}")

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture
def journal(served: Sandbox, tmp_path: Path) -> Path:
    """A campaign in which something of everything happened."""
    path = tmp_path / "autumn.db"
    served.faults = FaultPlan(
        [Fault(endpoint="singlesendmsg", kind="drop_after_delivering", calls=[7])]
    )
    served.settings.refuse_single = {"u3": 43101, "u4": 43101}
    people = [
        {"key": "=HYPERLINK(1)", "openid": "u1", "name": "一"},
        {"key": HOSTILE.replace("\u202e", ""), "openid": "u2", "name": HOSTILE},
        *({"key": f"k{n}", "openid": f"u{n}", "name": str(n)} for n in range(3, 60)),
        {"key": "k3", "openid": "u99", "name": "again"},
        {"key": "empty", "openid": "u100", "name": ""},
    ]

    async def send() -> None:
        async with wechat(served) as channel:
            await package.send(channel, MESSAGE, people, name=f"autumn {HOSTILE}"[:40],
                               journal=path, route="single", **QUICK)  # fmt: skip

    asyncio.run(send())
    return path


def numbers_of_page(page: Page) -> dict[str, int]:
    words = [word.strip() for word in page.words if word.strip()]
    return {
        name: int(words[words.index(name) - 1].replace(",", ""))
        for name in STATES
    }  # fmt: skip


def test_every_format_has_the_same_numbers(journal: Path, tmp_path: Path) -> None:
    def made(form: str, *more: str) -> Path:
        output = tmp_path / f"out.{form}"
        assert promomsg("report", journal, "--format", form, "--output", str(output), *more) == 0
        assert output.stat().st_mode & 0o777 == 0o600
        return output

    document = json.loads(made("json", "--all").read_text())
    counts = {name: document[name] for name in STATES}
    assert counts["failed"] == 3
    assert (counts["unknown"], counts["skipped"]) == (1, 1)

    rows = list(csv.DictReader(made("csv", "--all").read_text(encoding="utf-8").splitlines()))
    cells = pq.read_table(made("parquet", "--all")).to_pylist()
    book = openpyxl.load_workbook(made("xlsx", "--all"))
    summary = {row[0]: row[1] for row in book["summary"].iter_rows(values_only=True)}
    sheet = list(book["recipients"].iter_rows(values_only=True))[1:]
    page = Page(made("html").read_text(encoding="utf-8"))

    assert {name: summary[name] for name in STATES} == counts
    assert numbers_of_page(page) == counts
    for state in STATES[1:]:
        of_state = [
            [row["verdict"] for row in rows].count(state),
            [row["verdict"] for row in cells].count(state),
            [row[1] for row in sheet].count(state),
            [row["verdict"] for row in document["outcomes"]].count(state),
        ]
        assert of_state == [counts[state]] * 4
    for code, number in document["by_code"].items():
        assert summary[code] == number
        assert [row["code"] for row in cells].count(code) == number


def test_a_page_runs_nothing_and_fetches_nothing(journal: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.html"
    assert promomsg("report", journal, "--format", "html", "--output", str(output)) == 0
    text = output.read_text(encoding="utf-8")
    page = Page(text)
    assert page.fetched == []
    assert not page.tags & {"script", "link", "img", "iframe", "object", "base", "form"}
    assert not re.search(r"url\(|@import|https?://(?!127\.0\.0\.1)", text)
    assert "default-src 'none'" in text
    assert "<script>alert(1)</script>" in "".join(page.words)  # shown, as text
    assert "\u202e" not in text


def test_a_workbook_takes_no_text_for_a_formula(journal: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.xlsx"
    assert promomsg("report", journal, "--format", "xlsx", "--all", "--output", str(output)) == 0
    book = openpyxl.load_workbook(output)
    kinds = {cell.data_type for row in book["recipients"].iter_rows() for cell in row}
    assert kinds <= {"s", "n", "d"}
    assert "=HYPERLINK(1)" in [row[0].value for row in book["recipients"].iter_rows()]


def test_only_those_in_the_states_that_are_asked_for(
    journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert promomsg("report", journal, "--format", "csv", "--state", "unknown, skipped") == 0
    rows = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert sorted(row["verdict"] for row in rows) == ["skipped", "unknown"]
    assert promomsg("report", journal, "--state", "unknwn") == 1
    assert "did you mean 'unknown'?" in capsys.readouterr().err
    assert promomsg("report", journal, "--state", "sent", "--all") == 1
    assert promomsg("report", journal, "--format", "xlsx") == 1
    assert "--output FILE" in capsys.readouterr().err


def test_a_report_in_python_is_a_frame_a_page_and_a_file(journal: Path, tmp_path: Path) -> None:
    with package.open_journal(journal) as opened:
        report = opened.report()
    frame = report.to_frame()
    assert isinstance(frame, pd.DataFrame)
    assert len(frame) == report.planned
    assert (frame["verdict"] == "failed").sum() == report.failed
    assert str(frame["at"].dtype).endswith("UTC]")
    assert report.to_parquet(tmp_path / "all.parquet") == report.planned
    assert f">{report.failed}<" in report._repr_html_()
    page = Page(report.to_html(most_rows=2))
    assert "3 more are not listed here" in "".join(page.words)
    with pytest.raises(package.UsageError, match="cannot be written"):
        report.to_parquet(tmp_path / "nowhere" / "all.parquet")
