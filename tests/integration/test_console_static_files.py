"""The style and the script: kept by a browser for as long as they are the same, by nobody else."""

from __future__ import annotations

import re

import pytest
from console_serving import serving

from promomsg import Secret
from promomsg.console.static_files import static_files

pytestmark = pytest.mark.asyncio


async def test_a_browser_asks_for_each_of_them_once() -> None:
    async with serving() as served:
        page = await served.get("/")
        assert page.headers["Cache-Control"] == "no-store"
        addresses = re.findall('"(/static/[^"]+)"', page.text)
        assert sorted(addresses) == sorted(file.url for file in static_files().values())
        for address in addresses:
            found = await served.get(address)
            assert found.headers["Cache-Control"] == "private, max-age=31536000, immutable"
            assert found.headers["X-Content-Type-Options"] == "nosniff"
            assert found.headers["Cross-Origin-Resource-Policy"] == "same-origin"


async def test_another_version_is_not_kept() -> None:
    async with serving() as served:
        for address in ("/static/console.css", "/static/console.css?v=1", "/static/none?v=1"):
            assert (await served.get(address)).headers["Cache-Control"] == "no-store"


async def test_what_is_kept_has_nobodys_cookie() -> None:
    async with serving(reader_token=Secret("a reader's token 0123")) as served:
        found = await served.get(static_files()["console.css"].url)
        assert found.status == 200
        assert "Set-Cookie" not in found.headers
