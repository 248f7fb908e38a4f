"""The sandbox's day is chosen when it starts and moved while it runs: by hand, and by the terminal."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import aiohttp
import pytest
from cli_campaigns import WECHAT, running

from promomsg.cli import main
from promomsg.errors import UsageError
from promomsg.sandbox.movable_clock import SandboxClock, parse_day
from promomsg.sandbox.server import CLOCK_PATH, serve


@pytest.mark.parametrize(
    ("text", "days"), [("2026-12-12", date(2026, 12, 12)), ("+1d", 1), ("-30d", -30), (" +0d", 0)]
)
def test_a_day_is_a_date_or_a_number_of_days(text: str, days: date | int) -> None:
    assert parse_day(text) == days


@pytest.mark.parametrize("text", ["", "tomorrow", "1d", "+1h", "2026-13-01", "+٣d"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="give a day as"):
        parse_day(text)


def test_the_clock_moves_by_whole_days_and_never_back() -> None:
    clock = SandboxClock()
    today = date.fromisoformat(clock.china_day())
    assert clock.move(-1, back=True) == (today - timedelta(days=1)).isoformat()
    assert clock.move(today) == today.isoformat()
    assert clock.move(3) == (today + timedelta(days=3)).isoformat()
    for earlier in (-1, today):
        with pytest.raises(UsageError, match="only moves forward"):
            clock.move(earlier)
    with pytest.raises(UsageError, match="cannot be moved"):
        clock.move(10**7)


def test_clicks_can_be_tried_from_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "secret.txt").write_text("an-appsecret")
    (tmp_path / "people.csv").write_text("id\n" + "".join(f"{i}\n" for i in range(1000, 1200)))
    with running() as box:
        day = box.clock.move(-1, back=True)
        file = tmp_path / "autumn.toml"
        who = 'recipients = "people.csv"'
        values = {"name": "autumn", "who": who, "url": box.url, "title": "t"}
        file.write_text(WECHAT.format(**values, campaign="", sections="", pace=""))
        assert main(["send", str(file), "--yes"]) == 0
        assert main(["sandbox", "--move", box.url, "--clock", "+1d"]) == 0
        capsys.readouterr()
        asked = ["clicks", "--campaign", str(file), "--date", day, "--dimension", "1"]
        assert main(asked) == 0
        assert "clicks" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--clock", "-1d"], "only moves forward"),
        (["--clock", "soon"], "give a day as"),
        ([], "to which day?"),
    ],
)
def test_a_move_that_cannot_be_made_says_why(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with running() as box:
        assert main(["sandbox", "--move", box.url, *words]) == 1
        assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    "url", ["https://127.0.0.1:1", "http://wallet.example", "http://127.0.0.1:1"]
)
def test_only_a_running_sandbox_on_this_machine_is_moved(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sandbox", "--move", url, "--clock", "+1d"]) == 1
    assert url in capsys.readouterr().err


@pytest.mark.asyncio
async def test_a_body_that_is_no_day_is_refused() -> None:
    with running() as box:
        async with aiohttp.ClientSession() as session:
            for body in (b"", b"[]", b'{"day": 1}', b'{"day": "x"}', b"{}"):
                async with session.post(box.url + CLOCK_PATH, data=body) as answer:
                    assert answer.status == 400
                    assert (await answer.json())["error"]


@pytest.mark.asyncio
async def test_a_file_that_is_no_public_key_is_not_written_over(tmp_path: Path) -> None:
    list_of_people = tmp_path / "people.csv"
    list_of_people.write_text("id\n1\n")
    with pytest.raises(UsageError, match="no public key"):
        await serve(public_key_out=list_of_people)
    assert list_of_people.read_text() == "id\n1\n"
    with pytest.raises(UsageError, match="cannot be written"):
        await serve(public_key_out=tmp_path / "not there" / "wallet.pem")
