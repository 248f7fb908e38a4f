"""The sandbox in a thread of its own: for tests of any kind, with an event loop or without one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self

from promomsg.sandbox import Sandbox

__all__ = ["ThreadedSandbox"]


class ThreadedSandbox(Sandbox):
    """A `Sandbox` for the time of a `with` block, which answers while the test waits or computes.

    Its arguments and attributes are those of `Sandbox`; what it counts may be read from the test's
    thread, and `faults`, `settings` and `clock` be set from there.

    Raises:
        UsageError: on entering: the port is taken or the address cannot be listened on.
    """

    _loop: asyncio.AbstractEventLoop
    _thread: threading.Thread

    def __enter__(self) -> Self:
        started: Future[None] = Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve_until_closed(started)), name="promomsg-sandbox"
        )
        self._thread.start()
        try:
            started.result()
        except BaseException:
            self._thread.join()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._loop.call_soon_threadsafe(self._closing.set)
        self._thread.join()

    async def _serve_until_closed(self, started: Future[None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._closing = asyncio.Event()
        try:
            await self.__aenter__()
        except BaseException as error:  # noqa: BLE001 - it is raised in the test's thread
            started.set_exception(error)
            return
        started.set_result(None)
        try:
            await self._closing.wait()
        finally:
            await self.__aexit__(None, None, None)

    async def start_listening(self) -> None:
        """As `Sandbox.start_listening`, from the test's event loop."""
        await self._there(super().start_listening())

    async def stop_listening(self, *, drop: bool = True) -> None:
        """As `Sandbox.stop_listening`, from the test's event loop."""
        await self._there(super().stop_listening(drop=drop))

    async def _there(self, work: Coroutine[Any, Any, None]) -> None:
        if asyncio.get_running_loop() is self._loop:
            await work
        else:
            await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))
