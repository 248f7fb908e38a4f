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
    "floor": Bar(
        "CPU per message, engine, SQLite power, plan to last result ÷ raw sockets",
        "<=",
        6.0,
        "",
        3.0,
    ),
    "plan": Bar("planning a CSV file ÷ csv.reader + executemany of its rows", "<=", 4.0),
    "memory-growth": Bar("peak memory, 1,000,000 recipients − 100,000", "<=", 30.0, "MB"),
    "memory-all": Bar("peak memory, 1,000,000 recipients", "<=", 150.0, "MB"),
    "resume": Bar("resume of a 1,000,000-row journal to its first send", "<=", 1.5, "s"),
    "pace-over": Bar(
        "windows over the quota, counted at the server, worst round", "<=", 0.0, "windows"
    ),
    "pace-used": Bar("quota used when there is work, lowest rate", ">=", 0.95),
    "import": Bar("importing the main classes ÷ importing the packages they need", "<=", 1.2),
    "grow": Bar("CPU per recipient at 1,000,000 ÷ at 10,000", "<=", 1.1),
}
