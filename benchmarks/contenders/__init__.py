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
        tls: whether it calls the responder by https, its handshakes in the clock.
        personal: whether each recipient has a token of their own and a text with their name.
    """

    title: str
    module: str
    needs: tuple[str, ...] = ()
    share: float = 1.0
    loops: bool = True
    journal: str = ""
    tls: bool = False
    personal: bool = False


CONTENDERS: Final[dict[str, Contender]] = {
    "callbacks": Contender("asyncio.Protocol, callbacks alone", "protocol_callbacks"),
    "futures": Contender("asyncio.Protocol, one future a message", "protocol_futures"),
    "sock-calls": Contender("asyncio's sock calls, a coroutine each", "sock_calls"),
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
    "personal": Contender(
        "promomsg, SQLite power, each a token and a name",
        "promomsg_engine",
        journal="power",
        personal=True,
    ),
    "aiohttp-tls": Contender("aiohttp, tuned, TLS", "aiohttp_tuned", ("aiohttp",), tls=True),
    "client-tls": Contender("promomsg's client alone, TLS", "promomsg_client", tls=True),
    "power-tls": Contender(
        "promomsg, SQLite power, TLS", "promomsg_engine", journal="power", tls=True
    ),
}


def missing(contender: Contender) -> list[str]:
    """What would have to be installed for it to take part."""
    return [name for name in contender.needs if not installed(name)]
