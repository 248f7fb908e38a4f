"""A pooler before a PostgreSQL server, as PgBouncer is one: in transaction mode each transaction gets
whatever connection is free, in session mode a client keeps its own."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

_SSL, _GSS, _CANCEL = 80877103, 80877104, 80877102
_STARTUP: Final = b"user\0postgres\0database\0postgres\0\0"

Wire = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _message(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readexactly(5)
    (size,) = struct.unpack("!I", head[1:])
    return head[:1], head + await reader.readexactly(size - 4)


class Pooler:
    """Takes clients on a socket of its own, and hands their transactions to the server's."""

    def __init__(self, socket: Path, *, by_transaction: bool) -> None:
        self._socket = socket
        self._by_transaction = by_transaction
        self._free: list[Wire] = []
        self._all: list[Wire] = []
        self._greeting = b""

    async def _connected(self) -> Wire:
        if self._free:
            return self._free.pop()
        wire = await asyncio.open_unix_connection(str(self._socket))
        self._all.append(wire)
        wire[1].write(struct.pack("!II", len(_STARTUP) + 8, 196608) + _STARTUP)
        greeting = []
        kind = b""
        while kind != b"Z":
            kind, message = await _message(wire[0])
            if kind == b"K":  # the process and its secret: a pooler gives its own
                message = message[:5] + struct.pack("!II", 4711, 1)
            greeting.append(message)
        self._greeting = b"".join(greeting)
        return wire

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One client."""
        server: Wire | None = None
        try:
            while True:
                (size, code) = struct.unpack("!II", await reader.readexactly(8))
                if code not in (_SSL, _GSS):
                    break
                writer.write(b"N")
            await reader.readexactly(size - 8)
            if code == _CANCEL:
                return
            server = await self._connected()
            writer.write(self._greeting)
            while True:
                if self._by_transaction and server is not None:
                    self._free.append(server)
                    server = None
                kind, message = await _message(reader)
                if kind == b"X":
                    return
                server = server or await self._connected()
                await self._transaction((reader, writer), server, kind, message)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            if server is not None:
                self._free.append(server)
            writer.close()

    async def _transaction(self, client: Wire, server: Wire, kind: bytes, message: bytes) -> None:
        while True:
            server[1].write(message)
            while kind not in (b"S", b"Q"):
                kind, message = await _message(client[0])
                server[1].write(message)
            while kind != b"Z":
                kind, message = await _message(server[0])
                client[1].write(message)
            if message[-1:] == b"I":
                return
            kind, message = await _message(client[0])

    def close(self) -> None:
        """Lets go of the server's connections."""
        for _, writer in self._all:
            writer.close()


@asynccontextmanager
async def pooled(server: Path, folder: Path, *, by_transaction: bool) -> AsyncIterator[str]:
    """A pooler in `folder` before the server whose socket is in `server`: the URL."""
    pooler = Pooler(server / ".s.PGSQL.5432", by_transaction=by_transaction)
    listening = await asyncio.start_unix_server(pooler.serve, str(folder / ".s.PGSQL.5432"))
    try:
        yield f"postgresql://postgres@/postgres?host={folder}"
    finally:
        listening.close()
        pooler.close()
