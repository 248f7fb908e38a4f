"""Tokens of both roles, and how somebody signs in with one."""

from __future__ import annotations

from typing import Final

from browser.console_process import ConsoleProcess
from browser.watched_page import WatchedPage

__all__ = ["ENVIRONMENT", "OPERATOR", "READER", "ROLES", "sign_in"]

READER: Final = "a-readers-token-of-thirty-two-characters"
OPERATOR: Final = "an-operators-token-of-thirty-two-characters"
ENVIRONMENT: Final = {"READER_TOKEN": READER, "OPERATOR_TOKEN": OPERATOR}
ROLES: Final = (
    "--reader-token", "env:READER_TOKEN", "--operator-token", "env:OPERATOR_TOKEN",
)  # fmt: skip
"""A console's options for both, with this environment."""


async def sign_in(page: WatchedPage, console: ConsoleProcess, token: str) -> None:
    """Gives a token on the page that asks for it."""
    await page.go(f"{console.url}/sign-in")
    await page.page.locator("input[name=token]").fill(token)
    await page.page.locator("input[name=token]").press("Enter")
