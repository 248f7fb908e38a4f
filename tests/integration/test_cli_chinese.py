"""The terminal as a reader of Chinese has it: real commands, with no English sentence left over."""

from __future__ import annotations

import io
import json
import logging
import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
from cli_campaigns import campaign, promomsg
from fleet_working import new_fleet
from rich.console import Console

from promomsg.alipay import codes as alipay
from promomsg.cli.app import COMMANDS
from promomsg.cli.language.terminal_language import speak
from promomsg.cli.language.wide_text import width
from promomsg.cli.output.live_view import LiveView
from promomsg.cli.output.log_lines import translated_warnings
from promomsg.code_meanings import _OWN
from promomsg.sandbox import FaultPlan
from promomsg.testing import ThreadedSandbox
from promomsg.wechat import codes as wechat

NOT_OURS = re.compile(
    r"`[^`]*(?:`|$)"  # a command to type, which may go over a line of help
    r"|'[^'\n]*'|\"[^\"\n]*\""  # a value
    r"|https?://\S+|(?:/|docs/)[\w./-]+(?:, \"[^\"]*\")?"  # a place
    r"|promomsg [a-z-]+(?: \S+)*?(?=[，。；：）\s]|$)"  # a command line at the end of a text
    r"|\[[^\]\n]*\]|--[a-z-]+(?: [A-Z]\S*)?"  # options, sections
    r"|(?:示例|go on with|继续请用)：promomsg.*"
)
SENTENCE = re.compile(r"\b[a-z]{2,}(?:'s)? [a-z]{2,}\b")
NAMES = re.compile(
    r"access token|refresh token|token worker|client id|openssl \w+ -\w+|user refuse .*|invalid openid.*"
    r"|concurrency \d+|ulimit -n|appid secret|key id openid|send_cnt fail_cnt|iconv -f|boot id"
)
"""What is said in English in Chinese texts too, and what a provider says."""


def english_in(text: str) -> list[str]:
    """The English sentences that are left in what the terminal has shown."""
    found = []
    for line in text.splitlines():
        rest = NAMES.sub("", NOT_OURS.sub("", line))
        if SENTENCE.search(rest):
            found.append(line)
    return found


@pytest.fixture
def box() -> Iterator[ThreadedSandbox]:
    """A sandbox that refuses one message, and loses the answer of another."""
    faults = FaultPlan.parse(
        """
        [[fault]]
        endpoint = "singlesendmsg"
        kind = "errcode"
        errcode = 43101
        calls = [2]
        [[fault]]
        endpoint = "singlesendmsg"
        kind = "drop_after_delivering"
        calls = [4]
        """
    )
    with ThreadedSandbox(faults=faults) as made:
        yield made


LIST = """\
key,id,name
k1,1001,小明
k2,1002,小红
k2,1003,小刚
k4,1004,小李
k5,不是地址,小王
k6,1006,
k7,1007,小张
k8,1008,小赵
,1009,小钱
"""
"""A duplicate, a bad address, a row without a name, one on the suppression list, one without a key."""


def written(folder: Path, url: str) -> Path:
    (folder / "blocked.csv").write_text("key\nk7\n")
    file = campaign(folder, url, LIST, campaign='suppress = "blocked.csv"')
    text = file.read_text().replace('title = "优惠"', 'title = "{name},优惠"')
    file.write_text(text.replace("unlimited = true", "unlimited = true\nconcurrency = 1"))
    return file


def test_a_campaign_from_plan_to_report_is_chinese(
    box: ThreadedSandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path, box.url)
    journal = tmp_path / "autumn.db"

    def show(*words: object) -> tuple[int, str]:
        status = promomsg(*words, "--lang", "zh")
        out, err = capsys.readouterr()
        assert english_in(out + err) == []
        return status, out + err

    assert "占位符和长度都正确" in show("doctor", file)[1]
    status, plan = show("plan", file)
    assert status == 0
    assert re.search(r"^  将发送 +5$", plan, re.M)
    assert "k2  DUPLICATE_KEY  key 相同：k2（第 3 行）" in plan
    assert "k7  SUPPRESSED  在屏蔽名单上" in plan
    assert "k6  MISSING_PARAM  第 7 行：{name} 没有值" in plan
    timed = show(
        "plan", file, "--first", "2", "--start-at", "2099-12-12 09:00", "--finish-by", "2099-12-12 09:00:02",
        "--between", "Mon-Sun 09:00-21:00",
    )[1]  # fmt: skip
    for label in ("首批", "开始", "可发送时段", "最晚完成"):
        assert re.search(rf"^  {label} +\S", timed, re.M), timed
    status, sent = show("send", file, "--yes")
    assert status == 4
    assert re.search(r"^  失败 +3$", sent, re.M)
    assert "43101: 收件人拒收消息" in sent
    assert show("status", journal)[0] == 0
    assert show("resume", journal)[0] == 4
    status, report = show("report", journal)
    assert re.search(r"^k4? .* NO_ANSWER +.*可能已经到达", report, re.M) or "NO_ANSWER" in report
    assert re.search(r"^key +结果 +代码 +说明", report, re.M)
    assert show("send", file, "--yes")[0] == 1  # its journal is there already
    assert show("cancel", journal)[0] == 0
    assert show("pause", journal)[0] == 0
    assert show("retry", journal, "--failed", "--yes")[0] == 4
    page = tmp_path / "report.html"
    assert show("report", journal, "--format", "html", "--output", page)[0] == 0
    html = page.read_text(encoding="utf-8")
    assert '<html lang="zh-CN">' in html
    seen = re.sub(r"<style>.*?</style>|<[^>]*>", "\n", html, flags=re.DOTALL)
    assert english_in(unescape(seen)) == []
    assert "为什么有人没有收到" in seen
    assert show("report", journal, "--output", tmp_path / "all.txt", "--all")[0] == 0
    assert english_in((tmp_path / "all.txt").read_text()) == []


def test_what_programs_read_is_the_same_in_every_language(
    box: ThreadedSandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path, box.url)
    journal = tmp_path / "autumn.db"
    assert promomsg("send", file, "--yes", "--lang", "zh", "--log-json") == 4
    for line in capsys.readouterr().err.splitlines():
        if line.startswith("{"):
            assert json.loads(line)["message"].isascii() or "autumn" in line
    for words in (
        ("plan", file, "--json"), ("status", journal, "--json"), ("explain", "43101", "--json"),
        ("report", journal, "--format", "csv", "--all"), ("report", journal, "--format", "json"),
        ("doctor", file, "--json"),
    ):  # fmt: skip
        told = []
        for language in ("en", "zh"):
            promomsg(*words, "--lang", language)
            told.append(
                re.sub(r"\d+ MiB|-?\d+\.\d+( s (ahead|behind))?", "n", capsys.readouterr().out)
            )
        assert told[0] == told[1], words


@pytest.mark.parametrize("name", [*COMMANDS, ""])
def test_help_is_chinese_and_fits_its_columns(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = [[name], *([[name, c] for c in FLEET] if name == "fleet" else [])] if name else [[]]
    for columns in (60, 80, 160):
        monkeypatch.setenv("COLUMNS", str(columns))
        for words in commands:
            assert promomsg(*words, "--help", "--lang", "zh") == 0
            out = capsys.readouterr().out
            assert english_in(out) == []
            assert "用法: promomsg" in out
            assert "选项:" in out
            own = [line for line in out.splitlines() if not line.isascii()]
            assert max(map(width, own)) <= min(columns, 100)


FLEET = ("init", "status", "workers", "drain", "prune")


def test_a_fleet_is_chinese(
    postgres: str, box: ThreadedSandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    with new_fleet(postgres) as url:  # nobody else's campaigns are in it
        monkeypatch.setenv("PROMOMSG_FLEET", url)
        file = written(tmp_path, box.url)
        shown = ""
        for line, status in (
            ("fleet init", 0), (f"send {file} --journal fleet:autumn --yes", 4), ("fleet status", 0),
            ("fleet workers", 0), ("fleet drain", 0), ("fleet prune", 0), ("report fleet:autumn", 0),
            ("pause fleet:autumn", 0), ("status fleet:summer", 1), (f"send {file} --journal fleet:autumn --yes", 1),
            ("fleet drain nobody", 1),
        ):  # fmt: skip
            assert promomsg(*line.split(), "--lang", "zh") == status, line
            out, err = capsys.readouterr()
            assert english_in(out + err) == []
            shown += out + err
        assert "没有在运行的 worker：由本进程发送" in shown
        assert re.search(r"^活动 +状态 +计划", shown, re.M)


def test_warnings_of_the_log_are_chinese_where_nobody_asked_for_one(
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = logging.lastResort
    with translated_warnings():
        speak("zh")
        logging.lastResort.emit(  # type: ignore[union-attr]
            logging.makeLogRecord(
                {"msg": "%s: halted: %s: %s", "args": ("a", "NOT_SENT", "nothing was sent")}
            )
        )
        speak("en")
    assert logging.lastResort is before
    assert capsys.readouterr().err == "a：已中止：NOT_SENT：没有发送任何消息\n"


def test_every_code_is_explained_in_chinese(capsys: pytest.CaptureFixture[str]) -> None:
    for code in [*_OWN, *wechat.ROWS, *alipay.CODES, "99999", "SOME_OTHER"]:
        assert promomsg("explain", "--lang", "zh", "--", code) == 0
        out = capsys.readouterr().out
        assert english_in(out) == []
        assert "怎么办" in out


WRONG = (
    "status nix.db", "statu x", "plan nix.toml", "plan", "plan a.toml --nix", "clicks --dimension 3",
    "retry nix.db", "send autumn.toml --test-to ,", "send autumn.toml --max-recipients 2 --yes",
    "report nix.db --format html", "explain 43101 43102", "explain nix!", "sandbox --move x",
    "send autumn.toml --recipients nix.csv --yes", "plan people.csv", "send autumn.toml --test-to nobody --yes",
    "send autumn.toml --everyone --yes", "keys --output .", "worker", "fleet status", "send autumn.toml --start-at x",
    "list nix", "purge . --older-than x", "resume people.csv",
)  # fmt: skip


@pytest.mark.parametrize("line", WRONG)
def test_an_error_is_one_line_of_chinese(
    line: str, box: ThreadedSandbox, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PROMOMSG_FLEET", raising=False)
    campaign(tmp_path, box.url)
    (tmp_path / "key.pem").write_text("x")
    assert promomsg(*line.split(), "--lang", "zh") == 1
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert err.startswith("promomsg: ")
    assert re.search("[\u4e00-\u9fff]", err), err
    assert english_in(err) == []


@pytest.mark.parametrize("columns", [60, 80, 160])
def test_the_live_view_has_the_width_of_its_characters(columns: int) -> None:
    speak("zh")
    try:
        out = io.StringIO()
        view = LiveView(Console(file=out, width=columns, force_terminal=True, highlight=False))
        document = {
            "campaign": "双十一", "state": "sending", "reason": "", "planned": 1200, "sent": 7, "failed": 1,
            "unknown": 0, "skipped": 3, "cancelled": 0, "pending": 1189, "groups": [],
        }  # fmt: skip
        view.show(document, 5)
        view.close()
    finally:
        speak("en")
    lines = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", out.getvalue()).replace("\r", "\n").splitlines()
    shown = " ".join(" ".join(lines).split())
    assert "双十一: 发送中" in shown
    assert "已发送 7 失败 1" in shown
    assert max(map(width, lines)) <= columns
