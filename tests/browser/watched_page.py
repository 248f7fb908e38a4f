"""A page of which everything is noted that a browser complains of."""

from __future__ import annotations

from typing import Any, Final, Self

from playwright.async_api import BrowserContext, ConsoleMessage, Dialog, Page, Response

__all__ = ["WatchedPage"]

_NOTE_VIOLATIONS: Final = """
document.addEventListener('securitypolicyviolation', e => console.error(
  'securitypolicyviolation ' + e.violatedDirective + ' ' + e.blockedURI + ' ' + e.sample));
"""


class WatchedPage:
    """A page, and what it complained of.

    Attributes:
        page: the page itself.
        complaints: errors and warnings of scripts, what the Content-Security-Policy refused, dialogs.
        allowed: beginnings of complaints that the test brings about on purpose.
        elsewhere: what was answered to it by another origin than where it went last.
    """

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.allowed: tuple[str, ...] = ()
        self.elsewhere: list[str] = []
        self._origin = ""
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on("dialog", self._asked)
        page.on("response", self._answered)

    @classmethod
    async def opened(cls, context: BrowserContext) -> Self:
        """A new page of a browser."""
        page = await context.new_page()
        watched = cls(page)
        await page.add_init_script(_NOTE_VIOLATIONS)
        return watched

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning", "assert"):
            self.complaints.append(f"{message.type}: {message.text}")

    async def _asked(self, dialog: Dialog) -> None:
        self.complaints.append(f"dialog: {dialog.message}")
        await dialog.dismiss()

    def _answered(self, response: Response) -> None:
        if not response.url.startswith((f"{self._origin}/", "data:")):
            self.elsewhere.append(response.url)

    async def go(self, url: str) -> Response:
        """Goes there; returns the answer."""
        self._origin = "/".join(url.split("/", 3)[:3])
        response = await self.page.goto(url)
        assert response is not None
        return response

    async def script(self, text: str, argument: Any = None) -> Any:
        """What a script comes to that is run in the page by the tests, which no policy forbids."""
        return await self.page.evaluate(text, argument)

    async def number(self, state: str) -> int:
        """What a campaign's page says of a state."""
        shown = await self.page.locator(f".tiles .{state} b").first.inner_text()
        return int(shown.replace(",", ""))

    async def rises_above(self, bound: int) -> int:
        """Waits until a campaign's page says that more were sent to; returns what it says."""
        await self.page.wait_for_function(
            "n => +document.querySelector('.tiles .sent b')?.textContent.replace(',', '') > n",
            arg=bound,
        )
        return await self.number("sent")

    def assert_clean(self) -> None:
        """Nothing was complained of."""
        left = [c for c in self.complaints if not c.startswith(self.allowed)]
        assert left == []
