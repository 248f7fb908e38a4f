"""promomsg, set up as its users would: the settings that are not named are their defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.contenders.sent_message import CONTENT, PAGE
from promomsg.channels.wechat import WeChatPromoter
from promomsg.fleet.fleet import Fleet
from promomsg.transport.pace import Pace
from promomsg.wechat.message import WeChatMessage

__all__ = ["journal", "message", "promoter"]


def promoter(base_url: str, pace: Pace | None = None, **options: Any) -> WeChatPromoter:
    """An account at the responder; without a pace, as fast as it goes."""
    pace = pace or Pace(unlimited=True)
    return WeChatPromoter("wx0123456789", "secret", base_url=base_url, pace=pace, **options)


def message(**content: str) -> WeChatMessage:
    """The message of every contender."""
    return WeChatMessage(msg_type=1, content={**CONTENT, **content}, path=PAGE)


def journal(kind: str, folder: str, database: str | None = None) -> dict[str, Any]:
    """The arguments of a campaign for a journal: `memory`, `process` or `power` (the default), or
    `postgres`, called like the folder, in a database."""
    if kind == "postgres":
        return {"journal": Fleet(database).journal(Path(folder).name)}
    if kind == "memory":
        from promomsg.journal.sqlite.memory import MemoryJournal

        return {"journal": MemoryJournal()}
    path = Path(folder) / "campaign.db"
    return {"journal": path} if kind == "power" else {"journal": path, "durability": "process"}
