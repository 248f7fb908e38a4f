"""The campaigns of a fleet's database in the console, beside those of a folder."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote

import pytest
from campaigning import MESSAGE, QUICK
from console_serving import campaign, serving
from fleet_working import new_fleet
from yarl import URL

from promomsg import Fleet, WeChatPromoter, send
from promomsg.sandbox import Sandbox

pytestmark = pytest.mark.asyncio


async def test_campaigns_of_a_database_stand_beside_those_of_a_folder(
    postgres: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("promomsg.console.campaign_looks.PAGE", 2)
    fleet = Fleet(postgres)
    await fleet.prepare()
    names = ("console autumn", "console/2026 é", "console spring")
    async with Sandbox() as box, WeChatPromoter("wx1", "s", base_url=box.url) as channel:
        for name in names:
            ids = [str(n) for n in range(1000, 1003)]
            await send(channel, MESSAGE, ids, journal=fleet.journal(name), **QUICK)
    await campaign(tmp_path / "folder.db")
    async with serving(tmp_path, fleet_url=postgres) as console:
        urls = [f"/campaigns/fleet/{quote(name, safe='')}" for name in names]
        expected = ["/campaigns/1/folder.db", *reversed(urls)]
        shown: list[str] = []
        after = ""
        while True:
            page = (await console.get(f"/?after={after}" if after else "/")).text
            on_page = re.findall(r'<h2><a href="([^"]+)"', page)
            assert len(on_page) <= 2
            shown += on_page
            after = page.partition('href="/?after=')[2].partition('"')[0]
            if not after:
                break
        assert len(shown) == len(set(shown))
        # Other tests have campaigns in this database too.
        assert [one for one in shown if one in expected] == expected
        for one in urls:
            assert "fleet:" in (await console.get(one)).text
        for part in ("recipients", "recipients/1", "rate", "groups", "cancel"):
            assert (await console.get(f"{urls[1]}/{part}")).status == 200
        assert (await console.get("/campaigns/fleet/nobody")).status == 404
        assert (await console.get("/workers")).status == 200


async def test_names_that_are_folders_elsewhere_have_pages_and_forms(
    postgres: str, tmp_path: Path
) -> None:
    """Browsers take `.` and `..` out of a path, quoted or not."""
    with new_fleet(postgres) as url:
        fleet = Fleet(url)
        await fleet.prepare()
        async with Sandbox() as box, WeChatPromoter("wx1", "s", base_url=box.url) as channel:
            for name in (".", "..", "~.", "a%_b"):
                await send(channel, MESSAGE, ["1000"], journal=fleet.journal(name), **QUICK)
        async with serving(tmp_path, fleet_url=url) as console:
            page = (await console.get()).text
            urls = re.findall(r'<h2><a href="([^"]+)"', page)
            assert len(set(urls)) == 4
            shown = []
            for one in urls:
                assert str(URL(console.url).join(URL(one, encoded=True))) == console.url + one
                text = (await console.get(one)).text
                shown += re.findall(r">fleet:([^ <]+) \(\d[^)]* [kM]?B\)<", text)
                assert (await console.get(f"{one}/recipients/0")).status == 200
                assert "it has ended" in (await console.get(f"{one}/cancel")).text
            assert sorted(shown) == [".", "..", "a%_b", "~."]
            assert "<dt>Size</dt>" in page
            assert (await console.get("/campaigns/fleet~/a")).status == 404


async def test_what_is_no_name_of_a_campaign_is_not_asked_of_the_database(
    postgres: str, tmp_path: Path
) -> None:
    await Fleet(postgres).prepare()
    async with serving(tmp_path, fleet_url=postgres) as console:
        for name in ("%00", "a%00b", "%ff", "%ed%a0%80", "%20", "a" * 4000, "%1b"):
            for rest in ("", "/live", "/recipients", "/pause"):
                assert (await console.get(f"/campaigns/fleet/{name}{rest}")).status == 404
            page = await console.get(f"/?after=1~fleet~{name}")
            assert page.status == 200
            assert 'class="error"' not in page.text


async def test_a_database_that_is_away_takes_no_folder_with_it(
    tmp_path: Path,
) -> None:
    await campaign(tmp_path / "spring.db")
    away = "postgresql://nobody@127.0.0.1:1/nowhere"
    async with serving(tmp_path, fleet_url=away) as console:
        page = await console.get()
        assert page.status == 200
        assert "spring.db" in page.text
        assert "cannot be reached" in page.text
        assert (await console.get("/campaigns/1/spring.db")).status == 200
        for path in ("/campaigns/fleet/autumn", "/workers"):
            assert (await console.get(path)).status == 503
