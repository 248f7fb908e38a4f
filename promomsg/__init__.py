"""Promotional messages over the WeChat promoter API and to Alipay+ wallets: one truthful outcome
per recipient, nothing twice.

```python
async with promomsg.WeChatPromoter(appid="wx…", secret="…") as wechat:
    report = await promomsg.send(wechat, message, recipients)
```
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from promomsg.alipay.message import AlipayMessage
    from promomsg.alipay.models import ContentTemplate, UserToken, UserTokens
    from promomsg.channels.alipay import AlipayMiniProgram
    from promomsg.channels.alipay_token_file import TokenDatabase
    from promomsg.channels.base import (
        Channel,
        Message,
    )
    from promomsg.channels.wechat import WeChatPromoter
    from promomsg.delivery import PollPolicy
    from promomsg.engine.campaign import Campaign, send
    from promomsg.engine.following.reconcile import Match, reconcile
    from promomsg.engine.opened_journal import open_journal
    from promomsg.engine.prepare.plan import Plan
    from promomsg.engine.report import (
        Report,
        SomeFailed,
    )
    from promomsg.engine.settings import (
        Options,
        RetryPolicy,
        Settings,
    )
    from promomsg.errors import (
        Halted,
        JournalError,
        NotFinished,
        NotSent,
        OutcomeUnknown,
        PromoError,
        ProviderError,
        TransportError,
        UsageError,
    )
    from promomsg.intake import (
        Recipients,
        from_frame,
        openids,
        read_csv,
        read_excel,
        read_jsonl,
        read_parquet,
    )
    from promomsg.journal.contract import Journal
    from promomsg.journal.memory import MemoryJournal
    from promomsg.journal.sqlite.journal import SqliteJournal
    from promomsg.model import (
        Audience,
        Code,
        Delivery,
        Everyone,
        Failure,
        Outcome,
        Promoters,
        Recipient,
        Retailers,
        Roles,
        Secret,
        State,
        Verdict,
    )
    from promomsg.transport.rate_limit import Pace
    from promomsg.wechat.message import WeChatMessage
    from promomsg.wechat.models import Clicks, Promoter, Quota, Role

__version__ = "0.1.0"

__all__ = [
    "AlipayMessage",
    "AlipayMiniProgram",
    "Audience",
    "Campaign",
    "Channel",
    "Clicks",
    "Code",
    "ContentTemplate",
    "Delivery",
    "Everyone",
    "Failure",
    "Halted",
    "Journal",
    "JournalError",
    "Match",
    "MemoryJournal",
    "Message",
    "NotFinished",
    "NotSent",
    "Options",
    "Outcome",
    "OutcomeUnknown",
    "Pace",
    "Plan",
    "PollPolicy",
    "PromoError",
    "Promoter",
    "Promoters",
    "ProviderError",
    "Quota",
    "Recipient",
    "Recipients",
    "Report",
    "Retailers",
    "RetryPolicy",
    "Role",
    "Roles",
    "Secret",
    "Settings",
    "SomeFailed",
    "SqliteJournal",
    "State",
    "TokenDatabase",
    "TransportError",
    "UsageError",
    "UserToken",
    "UserTokens",
    "Verdict",
    "WeChatMessage",
    "WeChatPromoter",
    "from_frame",
    "open_journal",
    "openids",
    "read_csv",
    "read_excel",
    "read_jsonl",
    "read_parquet",
    "reconcile",
    "send",
]

_HOMES: Final = {
    "promomsg.journal.contract": ("Journal",),
    "promomsg.channels.base": (
        "Channel",
        "Message",
    ),
    "promomsg.alipay.message": ("AlipayMessage",),
    "promomsg.alipay.models": (
        "ContentTemplate",
        "UserToken",
        "UserTokens",
    ),
    "promomsg.channels.alipay": ("AlipayMiniProgram",),
    "promomsg.channels.wechat": ("WeChatPromoter",),
    "promomsg.delivery": ("PollPolicy",),
    "promomsg.engine.campaign": (
        "Campaign",
        "send",
    ),
    "promomsg.engine.opened_journal": ("open_journal",),
    "promomsg.engine.prepare.plan": ("Plan",),
    "promomsg.engine.following.reconcile": (
        "Match",
        "reconcile",
    ),
    "promomsg.engine.report": (
        "Report",
        "SomeFailed",
    ),
    "promomsg.engine.settings": (
        "Options",
        "RetryPolicy",
        "Settings",
    ),
    "promomsg.errors": (
        "Halted",
        "JournalError",
        "NotFinished",
        "NotSent",
        "OutcomeUnknown",
        "PromoError",
        "ProviderError",
        "TransportError",
        "UsageError",
    ),
    "promomsg.intake": (
        "Recipients",
        "from_frame",
        "openids",
        "read_csv",
        "read_excel",
        "read_jsonl",
        "read_parquet",
    ),
    "promomsg.journal.memory": ("MemoryJournal",),
    "promomsg.journal.sqlite.journal": ("SqliteJournal",),
    "promomsg.model": (
        "Audience",
        "Code",
        "Delivery",
        "Everyone",
        "Failure",
        "Outcome",
        "Promoters",
        "Recipient",
        "Retailers",
        "Roles",
        "Secret",
        "State",
        "Verdict",
    ),
    "promomsg.transport.rate_limit": ("Pace",),
    "promomsg.channels.alipay_token_file": ("TokenDatabase",),
    "promomsg.wechat.message": ("WeChatMessage",),
    "promomsg.wechat.models": (
        "Clicks",
        "Promoter",
        "Quota",
        "Role",
    ),
}
_HOME_OF: Final = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """A public name, from its module: a script that only reads a journal loads no HTTP client."""
    module = _HOME_OF.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
