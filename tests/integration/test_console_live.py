"""Open pages are up to date by themselves, and cost nobody anything once they are closed."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from campaigning import MESSAGE, QUICK
from console_serving import Served, campaign, serving
from waiting import until
from yarl import URL

from promomsg import Campaign, Pace, WeChatPromoter
from promomsg.console import one_look
from promomsg.console.live import LiveStreams, Watched
from promomsg.model import Secret
from promomsg.sandbox import Sandbox

pytestmark = pytest.mark.asyncio

ONE = "/campaigns/1/autumn.db"
TOKEN = "an-operators-token-of-thirty-two"


@pytest.fixture(scope="module")
def journal_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The journal of a campaign that is over."""
    path = tmp_path_factory.mktemp("made") / "autumn.db"
    asyncio.run(campaign(path))
    return path


class Events:
    """What a stream has said so far: the content of elements, by their ids."""

    def __init__(self) -> None:
        self.parts: dict[str, str] = {}
        self.received = 0
        self.has_ended = False

    async def read(self, content: Any) -> None:
        async for line in content:
            if line.startswith(b"data: "):
                part = json.loads(line[6:])
                self.parts[part["id"]] = part["html"]
                self.received += 1
        self.has_ended = True


@asynccontextmanager
async def listening(console: Served, path: str) -> AsyncIterator[Events]:
    """Reads a stream while the block runs."""
    async with console.session.get(
        URL(console.url + path), headers={"Accept": "text/event-stream"}
    ) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        assert answer.headers["X-Accel-Buffering"] == "no"
        events = Events()
        reading = asyncio.create_task(events.read(answer.content))
        try:
            yield events
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


@pytest.fixture
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks that follow each other within hundredths of a second."""
    monkeypatch.setattr(LiveStreams.__init__, "__kwdefaults__", {"every": 0.02, "most": 3})
    monkeypatch.setattr("promomsg.console.live._SHARE", 0)
    monkeypatch.setattr("promomsg.console.look_cache._FRESH_FOR", 0.0)
    monkeypatch.setattr("promomsg.console.journal_folder._FRESH_FOR", 0.0)


@pytest.mark.usefixtures("quickly")
async def test_progress_comes_by_itself_to_the_page_and_to_the_list(tmp_path: Path) -> None:
    async with (
        Sandbox() as box,
        WeChatPromoter("wx1", "s", base_url=box.url, pace=Pace(singles_per_second=40)) as channel,
        serving(tmp_path) as console,
        listening(console, "/live") as of_list,
    ):
        await until(lambda: "names" in of_list.parts)
        nobody = of_list.parts["names"]
        async with Campaign(
            channel, MESSAGE, [str(n) for n in range(1000, 1040)], journal=tmp_path / "autumn.db",
            route="single", **QUICK,
        ) as run:  # fmt: skip
            await until(lambda: of_list.parts["names"] != nobody)
            async with listening(console, f"{ONE}/live") as events:
                await until(lambda: "sending" in events.parts.get("standing", ""))
                first = events.parts["counts"]
                await until(lambda: events.parts["counts"] != first)
                async for _ in run:
                    pass
                await until(lambda: "done" in events.parts["standing"])
                await until(lambda: "done" in of_list.parts["card-1-autumn.db"])


@pytest.mark.usefixtures("quickly")
async def test_the_page_of_a_journal_that_has_gone_is_not_live_any_more(
    tmp_path: Path, journal_file: Path
) -> None:
    shutil.copy(journal_file, tmp_path / "autumn.db")
    async with serving(tmp_path) as console, listening(console, f"{ONE}/live") as events:
        await until(lambda: "standing" in events.parts)
        (tmp_path / "autumn.db").rename(tmp_path.parent / "moved.db")
        await until(lambda: events.has_ended)
        assert (await console.get(f"{ONE}/live")).status == 404


@pytest.mark.usefixtures("quickly")
async def test_nothing_is_looked_at_while_no_page_is_open_and_one_look_is_for_all(
    tmp_path: Path, journal_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(journal_file, tmp_path)
    looks: list[str] = []
    real = one_look.look_at_file

    def counted(place: str, path: str, size: int) -> Any:
        looks.append(path)
        return real(place, path, size)

    monkeypatch.setattr("promomsg.console.folder_looks.look_at_file", counted)
    async with serving(tmp_path) as console:
        assert looks == []
        async with (
            listening(console, f"{ONE}/live") as one,
            listening(console, f"{ONE}/live") as two,
        ):
            await until(lambda: one.parts and two.parts)
            # It is over and does not change: it is read once, and said once.
            assert len(looks) == 1
            assert one.received == len(one.parts)
            assert one.parts == two.parts


@pytest.mark.usefixtures("quickly")
async def test_there_are_so_many_streams_and_a_reader_that_left_makes_room(
    tmp_path: Path, journal_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("promomsg.console.live._EVERY", 0.02)
    shutil.copy(journal_file, tmp_path)
    async with serving(tmp_path) as console:
        async with (
            listening(console, "/live"),
            listening(console, "/live"),
            listening(console, f"{ONE}/live"),
        ):
            refused = await console.get("/live")
            assert refused.status == 503
            assert "Retry-After" in refused.headers
            assert (await console.get(ONE)).status == 200  # pages are there all the same
        await room_for(console, "/live")


async def room_for(console: Served, path: str) -> None:
    """Asks until there is room for one more stream."""
    with anyio.fail_after(5):
        while True:
            async with console.session.get(console.url + path) as answer:
                if answer.status == 200:
                    return


@pytest.mark.usefixtures("quickly")
async def test_a_stream_ends_with_its_session(
    tmp_path: Path, journal_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("promomsg.console.live._EVERY", 0.02)
    shutil.copy(journal_file, tmp_path)
    async with serving(tmp_path, operator_token=Secret(TOKEN)) as console:
        await console.sign_in(TOKEN)
        async with listening(console, f"{ONE}/live") as events:
            await until(lambda: events.parts)
            csrf = await console.csrf("/", of="/sign-out")
            await console.post("/sign-out", {"csrf": csrf})
            await until(lambda: events.has_ended)


async def test_who_reads_slowly_gets_the_last_look_and_not_all_of_them() -> None:
    watched = Watched()
    rendered: list[int] = []

    async def render(seen: int) -> dict[str, str]:
        rendered.append(seen)
        return {"n": str(seen)}

    for look in range(1, 1000):
        watched.publish(look)
    assert await watched.newer(0, 0)
    assert await watched.parts("en", render) == {"n": "999"}
    assert await watched.parts("en", render) == {"n": "999"}
    assert rendered == [999]
    assert not await watched.newer(watched.version, 0)
    watched.publish(999)
    assert not await watched.newer(watched.version, 0)


async def test_a_reader_that_takes_nothing_is_let_go(
    tmp_path: Path, journal_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has its place among the streams for so long, and no longer."""
    monkeypatch.setattr("promomsg.console.live._WRITES_IN", 0.05)
    monkeypatch.setattr(LiveStreams.__init__, "__kwdefaults__", {"every": 0.01, "most": 1})

    def parts(self: Any, look: Any, visitor: Any, **more: Any) -> dict[str, str]:
        return {"standing": "x" * 20_000_000}  # more than the sockets on both sides take

    monkeypatch.setattr("promomsg.console.pages.Pages.campaign_parts", parts)
    shutil.copy(journal_file, tmp_path)
    async with serving(tmp_path) as console:
        at = URL(console.url)
        reader, writer = await asyncio.open_connection(at.host, at.port, limit=1)
        writer.write(f"GET {ONE}/live HTTP/1.1\r\nHost: {at.host}:{at.port}\r\n\r\n".encode())
        assert await reader.read(1)
        await room_for(console, "/live")
        writer.close()
