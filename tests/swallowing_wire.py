"""A wire to a server that can lose what it carries without closing: as a load balancer does whose other
side has gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Literal

from waiting import real_time

Side = Literal["questions", "answers"]


class SwallowingWire:
    """Carries bytes between clients and the server's socket.

    Attributes:
        swallows: what is lost from now on; None: nothing.
        swallowed: set when something was lost.
        silent: how many connections there are on which something was lost.
        answers_take: seconds that each answer takes on its way.
    """

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self.swallows: Side | None = None
        self.swallowed = asyncio.Event()
        self.silent = 0
        self.answers_take = 0.0
        self._ends: list[asyncio.StreamWriter] = []
        self._clients: set[asyncio.Task[None] | None] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client."""
        client = asyncio.current_task()
        self._clients.add(client)
        server = await asyncio.open_unix_connection(str(self._socket))
        self._ends += writer, server[1]
        await asyncio.gather(
            self._carry(reader, server[1], "questions"), self._carry(server[0], writer, "answers")
        )
        self._clients.discard(client)

    async def close(self) -> None:
        """Cuts every connection."""
        for end in self._ends:
            end.close()
        for end in self._ends:
            with suppress(OSError):
                await end.wait_closed()
        if clients := [client for client in self._clients if client is not None]:
            await asyncio.wait(clients)

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, side: Side
    ) -> None:
        lost = False
        try:
            while data := await reader.read(65_536):
                if self.swallows == side:
                    self.swallowed.set()
                    self.silent += not lost
                    lost = True
                else:
                    if side == "answers" and self.answers_take:
                        await real_time(self.answers_take)
                    writer.write(data)
        except ConnectionError:
            pass
        self.silent -= lost
        writer.close()


@asynccontextmanager
async def swallowing(
    server: Path, folder: Path, database: str = "postgres"
) -> AsyncIterator[tuple[SwallowingWire, str]]:
    """A wire in `folder` to the PostgreSQL server whose socket is in `server`, and the URL."""
    wire = SwallowingWire(server / ".s.PGSQL.5432")
    listening = await asyncio.start_unix_server(wire.serve, str(folder / ".s.PGSQL.5432"))
    try:
        yield wire, f"postgresql://postgres@/{database}?host={folder}"
    finally:
        listening.close()
        await wire.close()
