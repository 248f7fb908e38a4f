"""Promotional messages over the WeChat promoter API and to Alipay+ wallets: one truthful outcome
per recipient, nothing twice.

```python
async with promomsg.WeChatPromoter(appid="wx…", secret="…") as wechat:
    report = await promomsg.send(wechat, message, recipients)
```
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

# Every public name stands here twice, and a test holds the two equal: type checkers and editors read
# imports and nothing else (`X as X` says that X is public), and at run time nothing may be imported
# before it is asked for: a script that only reads a journal loads no HTTP client.
if TYPE_CHECKING:
    from promomsg.alipay.message import AlipayMessage as AlipayMessage
    from promomsg.alipay.models import ContentTemplate as ContentTemplate
    from promomsg.alipay.models import UserToken as UserToken
    from promomsg.alipay.models import UserTokens as UserTokens
    from promomsg.campaign_events import CampaignEvent as CampaignEvent
    from promomsg.channels.alipay import AlipayMiniProgram as AlipayMiniProgram
    from promomsg.channels.alipay_token_file import TokenDatabase as TokenDatabase
    from promomsg.channels.base import Channel as Channel
    from promomsg.channels.base import Message as Message
    from promomsg.channels.wechat import WeChatPromoter as WeChatPromoter
    from promomsg.delivery import PollPolicy as PollPolicy
    from promomsg.engine.campaign import Campaign as Campaign
    from promomsg.engine.campaign import send as send
    from promomsg.engine.following.reconcile import Match as Match
    from promomsg.engine.following.reconcile import reconcile as reconcile
    from promomsg.engine.opened_journal import open_journal as open_journal
    from promomsg.engine.prepare.plan import Plan as Plan
    from promomsg.engine.report import GroupProgress as GroupProgress
    from promomsg.engine.report import Progress as Progress
    from promomsg.engine.report import Report as Report
    from promomsg.engine.report import SomeFailed as SomeFailed
    from promomsg.engine.schedule.first_few import FirstProgress as FirstProgress
    from promomsg.engine.settings import Options as Options
    from promomsg.engine.settings import RetryPolicy as RetryPolicy
    from promomsg.engine.settings import Settings as Settings
    from promomsg.errors import Halted as Halted
    from promomsg.errors import JournalError as JournalError
    from promomsg.errors import NotFinished as NotFinished
    from promomsg.errors import NotSent as NotSent
    from promomsg.errors import OutcomeUnknown as OutcomeUnknown
    from promomsg.errors import PromoError as PromoError
    from promomsg.errors import ProviderError as ProviderError
    from promomsg.errors import TransportError as TransportError
    from promomsg.errors import UsageError as UsageError
    from promomsg.fleet.fleet import Fleet as Fleet
    from promomsg.fleet.fleet import FleetCampaign as FleetCampaign
    from promomsg.intake.arrow.frames import from_frame as from_frame
    from promomsg.intake.arrow.parquet import read_parquet as read_parquet
    from promomsg.intake.excel.excelfile import read_excel as read_excel
    from promomsg.intake.python.iterables import openids as openids
    from promomsg.intake.reported.failed_again import read_failures as read_failures
    from promomsg.intake.sources import Recipients as Recipients
    from promomsg.intake.text.csvfile import read_csv as read_csv
    from promomsg.intake.text.jsonl import read_jsonl as read_jsonl
    from promomsg.journal.contract import Journal as Journal
    from promomsg.journal.sqlite.journal import SqliteJournal as SqliteJournal
    from promomsg.journal.sqlite.memory import MemoryJournal as MemoryJournal
    from promomsg.model import Audience as Audience
    from promomsg.model import Code as Code
    from promomsg.model import Delivery as Delivery
    from promomsg.model import Everyone as Everyone
    from promomsg.model import Failure as Failure
    from promomsg.model import Outcome as Outcome
    from promomsg.model import Promoters as Promoters
    from promomsg.model import Recipient as Recipient
    from promomsg.model import Retailers as Retailers
    from promomsg.model import Roles as Roles
    from promomsg.model import Secret as Secret
    from promomsg.model import State as State
    from promomsg.model import Verdict as Verdict
    from promomsg.telemetry.hooks import Hooks as Hooks
    from promomsg.telemetry.otel import OpenTelemetry as OpenTelemetry
    from promomsg.transport.pace import Pace as Pace
    from promomsg.wechat.message import WeChatMessage as WeChatMessage
    from promomsg.wechat.models import Clicks as Clicks
    from promomsg.wechat.models import Promoter as Promoter
    from promomsg.wechat.models import Quota as Quota
    from promomsg.wechat.models import Role as Role
else:
    _NAMES_OF = {
        "promomsg.alipay.message": "AlipayMessage",
        "promomsg.alipay.models": "ContentTemplate UserToken UserTokens",
        "promomsg.campaign_events": "CampaignEvent",
        "promomsg.channels.alipay": "AlipayMiniProgram",
        "promomsg.channels.alipay_token_file": "TokenDatabase",
        "promomsg.channels.base": "Channel Message",
        "promomsg.channels.wechat": "WeChatPromoter",
        "promomsg.delivery": "PollPolicy",
        "promomsg.engine.campaign": "Campaign send",
        "promomsg.engine.following.reconcile": "Match reconcile",
        "promomsg.engine.opened_journal": "open_journal",
        "promomsg.engine.prepare.plan": "Plan",
        "promomsg.engine.report": "GroupProgress Progress Report SomeFailed",
        "promomsg.engine.schedule.first_few": "FirstProgress",
        "promomsg.engine.settings": "Options RetryPolicy Settings",
        "promomsg.errors": "Halted JournalError NotFinished NotSent OutcomeUnknown PromoError ProviderError TransportError UsageError",
        "promomsg.fleet.fleet": "Fleet FleetCampaign",
        "promomsg.intake.arrow.frames": "from_frame",
        "promomsg.intake.arrow.parquet": "read_parquet",
        "promomsg.intake.excel.excelfile": "read_excel",
        "promomsg.intake.python.iterables": "openids",
        "promomsg.intake.reported.failed_again": "read_failures",
        "promomsg.intake.sources": "Recipients",
        "promomsg.intake.text.csvfile": "read_csv",
        "promomsg.intake.text.jsonl": "read_jsonl",
        "promomsg.journal.contract": "Journal",
        "promomsg.journal.sqlite.memory": "MemoryJournal",
        "promomsg.journal.sqlite.journal": "SqliteJournal",
        "promomsg.model": "Audience Code Delivery Everyone Failure Outcome Promoters Recipient Retailers Roles Secret State Verdict",
        "promomsg.telemetry.hooks": "Hooks",
        "promomsg.telemetry.otel": "OpenTelemetry",
        "promomsg.transport.pace": "Pace",
        "promomsg.wechat.message": "WeChatMessage",
        "promomsg.wechat.models": "Clicks Promoter Quota Role",
    }
    _MODULE_OF = {name: module for module, names in _NAMES_OF.items() for name in names.split()}

    __all__ = sorted(_MODULE_OF)

    def __getattr__(name):
        """A public name, imported from its module when it is first used."""
        module = _MODULE_OF.get(name)
        if module is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(module), name)
        globals()[name] = value
        return value

    def __dir__():
        return sorted({*globals(), *__all__})
