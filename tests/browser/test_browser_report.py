"""The HTML report as a file in a browser: on a phone, and on paper."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser.sample_campaigns import Samples
from browser.watched_page import WatchedPage
from integration.cli_campaigns import promomsg

pytestmark = pytest.mark.asyncio(loop_scope="session")

_WIDTH = "() => document.documentElement.scrollWidth"


@pytest.mark.parametrize("name", ["done", "hostile"])
async def test_a_report_fits_on_a_phone_and_on_a_sheet(
    name: str, samples: Samples, page: WatchedPage, tmp_path: Path
) -> None:
    report = tmp_path / "report.html"
    journal = samples.folder / getattr(samples, name)
    assert promomsg("report", journal, "--format", "html", "--output", report) == 0
    await page.page.goto(report.as_uri())
    await page.page.set_viewport_size({"width": 320, "height": 640})
    assert await page.script(_WIDTH) <= 320
    # Nothing is behind an edge that one would have to drag.
    wide = "() => [...document.querySelectorAll('.scroll > table')].filter(t => t.scrollWidth > 320).length"
    assert await page.script(wide) == 0
    await page.page.emulate_media(media="print")
    await page.page.set_viewport_size({"width": 680, "height": 1000})  # A4 between its margins
    assert await page.script(_WIDTH) <= 680
