"""The list of campaigns by where they stand and by name: over pages, without a script, and live."""

from __future__ import annotations

import asyncio
import html
import os
import re
import shutil
from pathlib import Path

import pytest
from console_serving import campaign, serving

from promomsg import WeChatMessage, WeChatPromoter, send
from promomsg.console import campaign_looks
from promomsg.console.campaign_filter import CampaignFilter
from promomsg.console.campaign_looks import PAGE, CampaignLooks
from promomsg.console.console_types import CampaignPage, Listed
from promomsg.sandbox import Fault, FaultPlan, Sandbox

pytestmark = pytest.mark.asyncio


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two journals: `done.db`, and `halted.db`, that somebody has to resume."""
    folder = tmp_path_factory.mktemp("made")
    asyncio.run(campaign(folder / "done.db"))
    asyncio.run(_halted(folder / "halted.db"))
    return folder


async def _halted(path: Path) -> None:
    """Makes the journal of a campaign whose quota for the day was used up."""
    daily = FaultPlan([Fault(endpoint="singlesendmsg", kind="daily", after=1)])
    async with (
        Sandbox(faults=daily) as box,
        WeChatPromoter("wx1", "an-appsecret", base_url=box.url) as channel,
    ):
        people = [{"key": str(at), "id": str(at)} for at in range(1000, 1004)]
        report = await send(
            channel, WeChatMessage(1, {"title": "t"}, "p"), people, journal=path, name="autumn"
        )
    assert report.state == "halted"


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """The newest is `n119.db`; each third one has halted, and a damaged one is among them."""
    for at in range(120):
        path = tmp_path / f"{'Spring' if at % 40 == 0 else 'n'}{at:03}.db"
        shutil.copy(made / ("halted.db" if at % 3 == 0 else "done.db"), path)
        if at == 7:
            path.write_bytes(path.read_bytes()[:4096])
        os.utime(path, (1_700_000_000 + at, 1_700_000_000 + at))
    return tmp_path


async def every_page(looks: CampaignLooks, wanted: CampaignFilter) -> list[CampaignPage]:
    pages, after = [], None
    while True:
        pages.append(await looks.page(after, wanted))
        after = Listed.read(pages[-1].after)
        if after is None:
            return pages


def names(pages: list[CampaignPage]) -> list[str]:
    return [look.name for page in pages for look in page.looks]


async def test_each_that_stands_so_is_on_one_page(folder: Path) -> None:
    looks = CampaignLooks([folder])
    halted = names(await every_page(looks, CampaignFilter(standing="halted")))
    assert len(halted) == 40
    assert halted[:3] == ["n117.db", "n114.db", "n111.db"]
    pages = await every_page(looks, CampaignFilter(standing="ended"))
    assert [len(page.looks) for page in pages] == [PAGE, 29]
    assert sorted({*halted, *names(pages)}) == sorted(
        path.name for path in folder.glob("*.db") if path.name != "n007.db"
    )
    assert names(await every_page(looks, CampaignFilter(standing="unreadable"))) == ["n007.db"]
    assert names(await every_page(looks, CampaignFilter(standing="paused"))) == []


async def test_a_name_is_found_in_upper_and_lower_case(folder: Path) -> None:
    looks = CampaignLooks([folder])
    assert names(await every_page(looks, CampaignFilter(search="sPRING"))) == [
        "Spring080.db",
        "Spring040.db",
        "Spring000.db",
    ]
    found = await every_page(looks, CampaignFilter(standing="halted", search="n11"))
    assert names(found) == ["n117.db", "n114.db", "n111.db"]
    # The name of the campaign, which is not the one of its file.
    [first, *_] = await every_page(looks, CampaignFilter(search="autumn"))
    assert len(first.looks) == PAGE


async def test_so_many_are_looked_through_and_the_next_page_goes_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(campaign_looks, "_LOOKED_THROUGH", 50)
    looks = CampaignLooks([folder])
    pages = await every_page(looks, CampaignFilter(search="spring"))
    assert [len(page.looks) for page in pages] == [1, 1, 1]
    assert [page.is_first for page in pages] == [True, False, False]


async def test_links_keep_what_was_asked_for(folder: Path) -> None:
    async with serving(folder) as served:
        text = (await served.get("/?state=ended&search=n")).text
        links = [html.unescape(one) for one in re.findall('href="([^"]*)"', text)]
        live = html.unescape(re.findall('data-live="([^"]*)"', text)[0])
        assert live == "/live?state=ended&search=n"
        assert "/?state=paused&search=n" in links
        assert "/?search=n" in links
        [older] = [
            one for one in links if "after=" in one and one.startswith("/?state=ended&search=n")
        ]
        second = (await served.get(older)).text
        assert 'value="n"' in second
        assert html.escape("/live?state=ended&search=n&after=") in second
        assert "/language/zh?back=/%3Fstate%3Dended" in second
        nobody = (await served.get("/?state=running")).text
        assert "No campaign is like that" in nobody
        assert "promomsg send" not in nobody
        # A word that is none leaves nobody out.
        assert "n119.db" in (await served.get("/?state=nonsense")).text
