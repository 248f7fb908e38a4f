"""Who takes part in `fanout`: the same message to the same people, the answer checked."""

from __future__ import annotations

from typing import Final, NamedTuple

from benchmarks.machine import installed

__all__ = ["CONTENDERS", "Contender", "missing"]


class Contender(NamedTuple):
    """One way to send.

    Attributes:
        title: for the table.
        module: whose `run(job)` sends.
        needs: modules that must be installed.
        share: of the messages; the slow ones send fewer, since their cost a message is level.
        loops: whether an event loop matters to it.
        journal: of the engine; empty elsewhere.
    """

    title: str
    module: str
    needs: tuple[str, ...] = ()
    share: float = 1.0
    loops: bool = True
    journal: str = ""


CONTENDERS: Final[dict[str, Contender]] = {
    "protocol": Contender("hand-written protocol", "asyncio_protocol"),
    "raw": Contender("raw sockets, a coroutine each (the floor)", "raw_sockets"),
    "aiohttp-tuned": Contender("aiohttp, tuned", "aiohttp_tuned", ("aiohttp",)),
    "aiohttp-usual": Contender("aiohttp, the usual way", "aiohttp_usual", ("aiohttp",)),
    "httpx": Contender("httpx", "httpx_workers", ("httpx",), share=0.1),
    "wechatpy": Contender(
        "wechatpy in threads", "wechatpy_threads", ("wechatpy",), share=0.2, loops=False
    ),
    "client": Contender("promomsg's client alone", "promomsg_client"),
    "memory": Contender("promomsg, memory journal", "promomsg_engine", journal="memory"),
    "process": Contender("promomsg, SQLite process", "promomsg_engine", journal="process"),
    "power": Contender("promomsg, SQLite power", "promomsg_engine", journal="power"),
}


def missing(contender: Contender) -> list[str]:
    """What would have to be installed for it to take part."""
    return [name for name in contender.needs if not installed(name)]
