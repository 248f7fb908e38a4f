"""axe-core, which looks for faults of accessibility in an open page."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import axe_playwright_python
from browser.watched_page import WatchedPage

__all__ = ["find_faults"]

_AXE: Final = Path(
    os.environ.get("PROMOMSG_AXE") or Path(axe_playwright_python.__file__).with_name("axe.min.js")
).read_text(encoding="utf-8")
"""axe-core, as npm has it: of a package of the index, or of a file that is named."""
_LEVELS: Final = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
_OF_COLOURS: Final = ["color-contrast", "link-in-text-block"]
_OF_WIDTH: Final = ["color-contrast", "target-size", "scrollable-region-focusable", "meta-viewport"]
_PHONE: Final = {"width": 360, "height": 740}
_DESK: Final = {"width": 1280, "height": 900}
_LOOKS: Final = [
    ("light", _DESK, {"type": "tag", "values": _LEVELS}),
    ("light", _PHONE, {"type": "rule", "values": _OF_WIDTH}),
    ("dark", _DESK, {"type": "rule", "values": _OF_COLOURS}),
]
"""All that axe knows, once; what depends on the colours or on the width, for others too."""
_AUDIT: Final = """
async (asked) => (await axe.run(document, { runOnly: asked, resultTypes: ['violations'] })).violations.map(
  (v) => `${v.id}: ${v.help}: ${v.nodes.map((n) => n.html + ' ' + n.failureSummary).join('; ')}`)
"""


async def find_faults(page: WatchedPage) -> list[str]:
    """What is wrong with the page that is open, in light, in dark and on a phone."""
    await page.script(_AXE)
    found = []
    for scheme, size, asked in _LOOKS:
        await page.page.set_viewport_size(size)
        # A colour on its way to another one is none to be judged.
        await page.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        faults = await page.script(_AUDIT, asked)
        found += [f"{page.page.url}, {scheme}, {size['width']}: {fault}" for fault in faults]
    return found
