"""The bars: what each ratio is to reach, in one table."""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["BARS", "Bar"]


class Bar(NamedTuple):
    """One bar: at least (`>=`) or at most (`<=`) `limit`, in `unit`; `aim` is what to hope for."""

    what: str
    sign: str
    limit: float
    unit: str = ""
    aim: float | None = None

    def met(self, value: float) -> bool:
        """Whether a measured median reaches it."""
        return value >= self.limit if self.sign == ">=" else value <= self.limit

    def text(self) -> str:
        """The bar as a table shows it."""
        sign = "≥" if self.sign == ">=" else "≤"
        bar = f"{sign} {self.limit:g}{' ' + self.unit if self.unit else ''}"
        return bar if self.aim is None else f"{bar}, aim {self.aim:g}"


_RATE: Final = "messages per CPU second"

BARS: Final[dict[str, Bar]] = {
    "tuned-all": Bar(
        f"engine, SQLite power, with planning and report ÷ aiohttp tuned, {_RATE}",
        ">=",
        0.75,
        "",
        1.0,
    ),
    "tuned-sending": Bar(
        f"engine, SQLite power, plan to last result ÷ aiohttp tuned, {_RATE}", ">=", 0.85, "", 1.0
    ),
    "usual": Bar(
        f"engine, SQLite power, with planning ÷ aiohttp the usual way, {_RATE}", ">=", 1.8
    ),
    "wechatpy": Bar(
        f"engine, SQLite power, with planning ÷ wechatpy in threads, {_RATE}", ">=", 5.0
    ),
    "httpx": Bar(f"engine, SQLite power, with planning ÷ httpx, {_RATE}", ">=", 15.0),
    "sock-calls": Bar(
        "CPU per message, engine, SQLite power, plan to last result ÷ asyncio's sock calls",
        "<=",
        6.0,
        "",
        3.0,
    ),
    "plan": Bar(
        "planning a shuffled CSV file, one text ÷ csv.reader + executemany + a sort check, CPU",
        "<=",
        1.7,
    ),
    "plan-named": Bar(
        "planning a CSV file of different names ÷ csv.reader + executemany + a sort check, CPU",
        "<=",
        2.5,
    ),
    "plan-parquet": Bar("peak memory, planning a Parquet file", "<=", 100.0, "MB"),
    "memory-growth": Bar("peak memory, 1,000,000 recipients − 100,000", "<=", 30.0, "MB"),
    "memory-all": Bar("peak memory, 1,000,000 recipients", "<=", 150.0, "MB"),
    "resume": Bar("resume of a 1,000,000-row journal to its first send", "<=", 1.5, "s"),
    "pace-over": Bar(
        "windows over the quota, counted at the server, worst round", "<=", 0.0, "windows"
    ),
    "pace-used": Bar("quota used when there is work, lowest rate", ">=", 0.95),
    "import": Bar("importing the main classes ÷ importing their packages alone", "<=", 1.2),
    "grow": Bar("CPU per recipient at 1,000,000 ÷ at 10,000", "<=", 1.1),
    "latency-tail": Bar("1% at 3 s: calls a second ÷ (concurrency ÷ mean latency)", ">=", 0.9),
    "latency-level": Bar("no slow ones: the same", ">=", 0.9),
    "latency-hang": Bar("1% at 30 s: the same", ">=", 0.9),
    "paced-500": Bar("CPU a message, 500 a second ÷ unpaced", "<=", 3.0),
    "paced-50": Bar("CPU a message, 50 a second ÷ unpaced", "<=", 6.0),
    "paced-syncs": Bar("disk syncs a second, at 50 a second", "<=", 12.0),
    "paced-over": Bar(
        "windows over the quota with slow handshakes, counted at the server",
        "<=",
        0.0,
        "windows",
    ),
    "wallet-cpu": Bar("CPU a wallet message ÷ one RSA signature's", "<=", 1.4),
    "wallet-rate": Bar(
        "wallet messages a second ÷ one core's signatures, a server on the other core", ">=", 0.75
    ),
    "wallet-cores": Bar("wallet on two cores ÷ openssl speed -multi 2 rsa2048", ">=", 0.5),
    "wallet-rest": Bar(
        "CPU, wallet without signing ÷ WeChat with tokens and a personal text", "<=", 2.0
    ),
    "campaigns-end": Bar("equal campaigns: the last end ÷ the median end", "<=", 1.1),
    "campaigns-unbegun": Bar(
        "equal campaigns that had sent nothing when half was sent", "<=", 0.0, "campaigns"
    ),
    "doubt": Bar(
        "kill -9: in doubt − calls at the server that were not recorded, worst kill",
        "<=",
        1.0,
        "a connection",
    ),
    "fleet-two": Bar("two workers ÷ one, calls a second", ">=", 1.9),
    "fleet-four": Bar("four workers ÷ one, calls a second", ">=", 3.6),
    "fleet-cpu": Bar(
        "CPU a message of the process, PostgreSQL ÷ SQLite power, instant answers", "<=", 1.0
    ),
    "fleet-commits": Bar(
        "PostgreSQL: commits a thousand messages, instant answers", "<=", 42.0, "commits"
    ),
    "fleet-commits-slow": Bar(
        "PostgreSQL: commits a thousand messages, 50 ms answers", "<=", 64.0, "commits"
    ),
}
