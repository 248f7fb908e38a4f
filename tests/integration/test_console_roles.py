"""Who may look, who may act, and what an action leads to, over a real socket."""

from __future__ import annotations

import asyncio
import logging
import shutil
from pathlib import Path
from urllib.parse import quote

import pytest
from campaigning import MESSAGE, QUICK
from console_serving import Served, serving

from promomsg import Campaign, Pace, WeChatPromoter, open_journal
from promomsg.model import Secret
from promomsg.sandbox import Sandbox

pytestmark = pytest.mark.asyncio

READER, OPERATOR = "a-readers-token-of-thirty-two-ch", "an-operators-token-of-thirty-two"
ROLES = {"reader_token": Secret(READER), "operator_token": Secret(OPERATOR)}
ONE = "/campaigns/1/paused.db"


@pytest.fixture(scope="module")
def journal_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The journal of a campaign that was paused."""
    path = tmp_path_factory.mktemp("made") / "paused.db"

    async def make() -> None:
        async with (
            Sandbox() as box,
            WeChatPromoter(
                "wx1", "an-appsecret", base_url=box.url, pace=Pace(singles_per_second=5)
            ) as channel,
            Campaign(
                channel, MESSAGE, [str(n) for n in range(1000, 1030)], journal=path, route="single",
                **QUICK,
            ) as run,
        ):  # fmt: skip
            await run.pause()

    asyncio.run(make())
    return path


@pytest.fixture
def folder(tmp_path: Path, journal_file: Path) -> Path:
    found = tmp_path / "campaigns"
    found.mkdir()
    shutil.copy(journal_file, found)
    return found


def cancelled(folder: Path) -> int:
    with open_journal(folder / "paused.db") as opened:
        return opened.report().cancelled


async def agreed(console: Served, action: str) -> dict[str, str]:
    """What the form of an action brings."""
    page = (await console.get(f"{ONE}/{action}")).text
    value = page.partition('name="agreed" value="')[2].partition('"')[0]
    return {"csrf": await console.csrf(f"{ONE}/{action}"), "agreed": value}


async def test_without_a_token_the_sign_in_page_is_all_there_is(folder: Path) -> None:
    async with serving(folder, **ROLES) as console:
        for path in ("/", ONE, f"{ONE}/recipients?state=sent", f"{ONE}/cancel", "/no-such-page"):
            answer = await console.get(path)
            assert answer.status == 303
            assert answer.place.startswith("/sign-in")
        assert answer.place == "/sign-in?back=%2Fno-such-page"
        page = await console.get("/sign-in?back=%2Fcampaigns%2F1%2Fpaused.db")
        assert 'name="token"' in page.text
        assert (await console.get("/static/console.css")).status == 200
        live = await console.get(f"{ONE}/live", Accept="text/event-stream")
        assert live.status == 401
        assert (await console.post(f"{ONE}/cancel", {})).status == 401
        assert cancelled(folder) == 0


async def test_a_reader_looks_and_does_not_act(folder: Path) -> None:
    async with serving(folder, **ROLES) as console:
        answer = await console.sign_in(READER, back=f"{ONE}/recipients?state=sent")
        assert (answer.status, answer.place) == (303, f"{ONE}/recipients?state=sent")
        page = await console.get(ONE)
        assert page.status == 200
        assert f'href="{ONE}/cancel"' not in page.text
        assert (await console.get(f"{ONE}/cancel")).status == 403
        assert (await console.post(f"{ONE}/cancel", {"csrf": "x"})).status == 403
        assert (await console.get("/", Authorization=f"Bearer {OPERATOR}")).status == 200
        assert cancelled(folder) == 0


async def test_an_operator_is_asked_and_then_obeyed(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "promomsg.console")
    async with serving(folder, **ROLES) as console:
        await console.sign_in(OPERATOR)
        assert f'href="{ONE}/cancel"' in (await console.get(ONE)).text
        form = await agreed(console, "cancel")
        assert cancelled(folder) == 0
        for wrong in ({"csrf": ""}, {"csrf": await console.csrf("/", of="/sign-out")}):
            assert (await console.post(f"{ONE}/cancel", form | wrong)).status in (403, 409)
        assert cancelled(folder) == 0
        assert (await console.post(f"{ONE}/cancel", form | {"agreed": "1.x"})).status == 409
        assert cancelled(folder) == 0
        answer = await console.post(f"{ONE}/cancel", form)
        assert (answer.status, answer.place) == (303, ONE)
        assert cancelled(folder) > 0
        told = (await console.get(ONE)).text
        assert "is cancelled" in told
        assert "is cancelled" not in (await console.get(ONE)).text  # said once
        # A second press does nothing, and says why.
        again = await console.post(f"{ONE}/cancel", form)
        assert again.status == 409
        assert "it was cancelled" in again.text
    events = [record for record in caplog.records if hasattr(record, "event")]
    assert {"console.started", "console.signed_in", "console.action", "console.refused"} == {
        record.event for record in events
    }
    for record in events:
        assert OPERATOR not in record.getMessage()
        assert "1000" not in record.getMessage()


async def test_read_only_is_for_operators_too(folder: Path) -> None:
    async with serving(folder, read_only=True) as console:
        assert f'href="{ONE}/cancel"' not in (await console.get(ONE)).text
        assert (await console.get(f"{ONE}/cancel")).status == 403
        assert (await console.post(f"{ONE}/cancel", {"csrf": "x"})).status == 403
    async with serving(folder, read_only=True, **ROLES) as console:
        await console.sign_in(OPERATOR)
        assert (await console.get(f"{ONE}/cancel")).status == 403
    assert cancelled(folder) == 0


async def test_a_token_in_a_header_reads_and_does_nothing_else(folder: Path) -> None:
    async with serving(folder, **ROLES) as console:
        bearer = {"Authorization": f"Bearer {OPERATOR}"}
        assert (await console.get(ONE, **bearer)).status == 200
        assert f"{ONE}/cancel" not in (await console.get(ONE, **bearer)).text
        assert (await console.get(f"{ONE}/cancel", **bearer)).status == 403
        assert (await console.post(f"{ONE}/cancel", {}, **bearer)).status == 403
        wrong = await console.get(ONE, Authorization="Bearer nothing")
        assert wrong.status == 401
        assert wrong.headers["WWW-Authenticate"] == "Bearer"
        assert (await console.get(ONE, Authorization=f"Basic {OPERATOR}")).status == 401


async def test_who_guesses_is_told_to_wait(folder: Path) -> None:
    async with serving(folder, **ROLES) as console:
        for _ in range(8):
            wrong = await console.sign_in("a-guess-of-somebody-who-has-none")
            assert wrong.status == 403
            assert "a-guess" not in wrong.text
        waits = await console.sign_in("a-guess-of-somebody-who-has-none")
        assert waits.status == 429
        assert 0 < int(waits.headers["Retry-After"]) <= 11
        # Nor by the header.
        assert (await console.get(ONE, Authorization="Bearer x")).status == 429


async def test_signing_out_ends_the_session(folder: Path) -> None:
    async with serving(folder, **ROLES) as console:
        await console.sign_in(READER)
        jar = {cookie.key: cookie.value for cookie in console.session.cookie_jar}
        csrf = await console.csrf("/", of="/sign-out")
        assert (await console.post("/sign-out", {"csrf": "x"})).status == 403
        assert (await console.post("/sign-out", {"csrf": csrf})).place == "/sign-in"
        console.session.cookie_jar.update_cookies(jar)  # somebody kept a copy
        assert (await console.get(ONE)).place.startswith("/sign-in")


async def test_after_signing_in_it_goes_on_here_and_nowhere_else(folder: Path) -> None:
    async with serving(folder, **ROLES) as console:
        for back in ("https://evil.test", "//evil.test", "/\\evil.test", "\\\\evil.test", "/x\r\nSet-Cookie: a=b",
                     "javascript:alert(1)", "/\tevil", ""):  # fmt: skip
            answer = await console.sign_in(READER, back=back)
            assert answer.place == "/"
            assert (await console.get(f"/language/zh?back={quote(back)}")).place == "/"
            console.session.cookie_jar.clear()


async def test_each_visitor_has_their_language(folder: Path) -> None:
    async with serving(folder) as console:
        assert 'lang="en"' in (await console.get()).text
        assert (
            '<html lang="zh-CN">'
            in (await console.get("/", **{"Accept-Language": "fr, zh-TW;q=0.8, en;q=0.5"})).text
        )
        assert (await console.get("/language/zh?back=/workers")).place == "/workers"
        assert '<html lang="zh-CN">' in (await console.get()).text
        assert '<html lang="zh-CN">' in (await console.get("/no-such-page")).text
        assert (await console.get("/language/xx")).status == 404
