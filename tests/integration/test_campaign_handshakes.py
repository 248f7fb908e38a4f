"""Slow handshakes: they come before the intent and the gate, and let no quota be passed."""

from __future__ import annotations

import asyncio
from asyncio.sslproto import _SSLProtocolTransport
from bisect import bisect_left
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from campaigning import MESSAGE, ids
from raw_server import RawServer, Reader, Writer, certificate, read_request, reply, serve
from waiting import real_time, until

from promomsg import Campaign, Pace, WeChatPromoter
from promomsg.journal.sqlite.journal import JournalReader
from promomsg.transport.rate_limit import GUARD

pytestmark = pytest.mark.asyncio

HANDSHAKE = 0.6


class SlowHandshakes:
    """A provider with TLS behind a box that takes its time before it lets a connection through.

    Attributes:
        port: the provider's own.
        arrived: sends so far.
        greeted: connections so far.
        open: set: they are let through after `HANDSHAKE` seconds; else they wait.
    """

    def __init__(self) -> None:
        self.port = 0
        self.arrived = 0
        self.greeted = 0
        self.open = asyncio.Event()

    async def answer(self, reader: Reader, writer: Writer, server: RawServer) -> None:
        while await read_request(reader, server):
            self.arrived += 1
            writer.write(reply(b'{"errcode":0}'))

    async def let_through(self, reader: Reader, writer: Writer, server: RawServer) -> None:
        self.greeted += 1
        await self.open.wait()
        await real_time(HANDSHAKE)
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            await asyncio.gather(_copy(reader, inner_writer), _copy(inner_reader, writer))
        finally:
            inner_writer.close()


async def _copy(reader: Reader, writer: Writer) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
    writer.close()


class Departures:
    """When the first byte of each send was handed to its TLS connection: what a server sees without
    the delays of a loop that is busy with handshakes of its own.

    Attributes:
        times: by the loop's clock.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.times: list[float] = []
        write = _SSLProtocolTransport.write

        def recorded(transport: _SSLProtocolTransport, data: bytes) -> None:
            if data[:5] == b"POST ":
                self.times.append(asyncio.get_running_loop().time())
            write(transport, data)

        monkeypatch.setattr(_SSLProtocolTransport, "write", recorded)

    def most_within(self, seconds: float) -> int:
        """The most sends of any so many seconds."""
        times = self.times
        return max(bisect_left(times, at + seconds) - n for n, at in enumerate(times))


@asynccontextmanager
async def slow_handshakes(
    folder: Path, pace: Pace, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[SlowHandshakes, WeChatPromoter]]:
    tls, trusted = certificate(folder)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    provider = SlowHandshakes()

    async def token(stale: str | None) -> str:
        return "t"

    async with (
        serve(provider.answer, tls) as inner,
        serve(provider.let_through) as server,
        WeChatPromoter(
            "wx0001",
            token=token,
            base_url=f"https://127.0.0.1:{server.port}",
            pace=pace,
        ) as client,
    ):
        provider.port = inner.port
        yield provider, client


@pytest.mark.parametrize("quota", [50, 500])
async def test_a_quota_holds_in_every_second_while_connections_are_made(
    quota: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gate before the handshake would let all go that were let through meanwhile at once."""
    departures = Departures(monkeypatch)
    async with slow_handshakes(tmp_path, Pace(singles_per_second=quota), monkeypatch) as (
        provider,
        client,
    ):
        provider.open.set()
        async with Campaign(
            client, MESSAGE, ids(quota * 2), journal=tmp_path / "c.db", route="single"
        ) as run:
            report = await run.wait()
        assert report.sent == provider.arrived == len(departures.times) == quota * 2
        assert departures.most_within(1.0 + GUARD / 2) <= quota


async def test_nobody_is_intended_before_there_is_a_connection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with slow_handshakes(tmp_path, Pace(unlimited=True), monkeypatch) as (provider, client):
        path = tmp_path / "c.db"
        campaign = Campaign(client, MESSAGE, ids(300), journal=path, route="single")
        async with campaign as run:
            await until(lambda: provider.greeted > 0)
            await real_time(0.1)
            with JournalReader(path) as reader:
                intended = reader._db.execute(
                    "SELECT count(*) FROM recipient WHERE state = 1"
                ).fetchone()
            assert intended == (0,)
            provider.open.set()
            assert (await run.wait()).sent == 300
