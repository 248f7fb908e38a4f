"""A console in this process, and a client that asks it as a browser would."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import ClientSession, CookieJar
from waiting import until
from yarl import URL

from promomsg import PollPolicy, WeChatMessage, WeChatPromoter, send
from promomsg.cli.exit_status import TABLE
from promomsg.cli.language.page_languages import page_languages
from promomsg.console.console_server import serve_console
from promomsg.console.console_settings import ConsoleSettings
from promomsg.console.sender_processes import SenderProcesses
from promomsg.sandbox import Sandbox

__all__ = ["Asked", "Served", "campaign", "serving"]


class Asked:
    """What was answered: its status, headers, and text."""

    def __init__(self, answer: aiohttp.ClientResponse, text: str) -> None:
        self.status = answer.status
        self.headers = answer.headers
        self.text = text

    @property
    def place(self) -> str:
        """Where it sends to."""
        return self.headers.get("Location", "")


class Served:
    """A console that listens, and a browser's cookies.

    Attributes:
        url: of the console.
        session: a client with a jar of its own.
    """

    def __init__(self, url: str, session: ClientSession) -> None:
        self.url = url
        self.session = session

    async def get(self, path: str = "/", **headers: str) -> Asked:
        """Reads a page."""
        return await self.ask("GET", path, headers=headers)

    async def ask(self, method: str, path: str, **options: Any) -> Asked:
        """Asks for anything, and follows nowhere."""
        url = URL(self.url + path, encoded=True)
        async with self.session.request(
            method, url, allow_redirects=False, ssl=False, **options
        ) as answer:
            return Asked(answer, await answer.text())

    async def csrf(self, path: str, of: str | None = None) -> str:
        """The token of the form on a page that goes to a path, its own unless another is named."""
        text = (await self.get(path)).text
        form = text[text.index(f'action="{of or path}"') :]
        found = re.search(r'name="csrf" value="(\w+)"', form)
        assert found is not None
        return found[1]

    async def post(self, path: str, data: dict[str, str], **headers: str) -> Asked:
        """Sends a form, as from a page of the console unless the headers say otherwise."""
        headers = {"Origin": self.url, "Sec-Fetch-Site": "same-origin", **headers}
        return await self.ask(
            "POST", path, data=data, headers={k: v for k, v in headers.items() if v}
        )

    async def sign_in(self, token: str, back: str = "/") -> Asked:
        """Signs in on the page for it."""
        csrf = await self.csrf("/sign-in")
        return await self.post("/sign-in", {"token": token, "csrf": csrf, "back": back})


@asynccontextmanager
async def serving(*folders: Path, **settings: Any) -> AsyncIterator[Served]:
    """A console over folders, as long as the block runs."""
    urls: list[str] = []
    processes = SenderProcesses([sys.executable, "-P", "-m", "promomsg"], TABLE)
    serving = asyncio.create_task(
        serve_console(
            ConsoleSettings(folders=folders, **settings), page_languages(), processes, urls.append
        )
    )
    try:
        await until(lambda: urls or serving.done())
        if serving.done():
            await serving
        async with ClientSession(cookie_jar=CookieJar(unsafe=True)) as session:
            yield Served(urls[0], session)
    finally:
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
        processes.close()


async def campaign(path: Path, keys: Iterable[str] = ("a", "b", "c"), name: str = "autumn") -> None:
    """Makes the journal of a campaign that is over."""
    async with (
        Sandbox() as box,
        WeChatPromoter("wx1", "an-appsecret", base_url=box.url) as channel,
    ):
        await send(
            channel,
            WeChatMessage(1, {"title": "t"}, "p"),
            [{"key": key, "id": str(1000 + at)} for at, key in enumerate(keys)],
            journal=path,
            name=name,
            poll=PollPolicy(first_after=0.01, every=0.02),
        )
