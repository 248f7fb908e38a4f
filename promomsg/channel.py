"""For a channel of your own: what its author implements, and what they can build on (docs/own-channel.md).

`Channel` is the whole interface. `HttpChannel` implements it for a provider that takes one POST for each
recipient, `WeChatChannel` for another endpoint of WeChat's; `CompiledJson` is a message that is sent as
one JSON object. `promomsg.testing.channel_contract` is the suite that a channel has to pass.
"""

from __future__ import annotations

from promomsg.answers import CodeMeaning, read_object, unknown_answer, unreadable_answer
from promomsg.channels.base import Advice, Channel, CompiledMessage, Probing
from promomsg.channels.client import ChannelBase
from promomsg.channels.from_file import FromCampaignFile, Section
from promomsg.channels.http_channel import ChannelOptions, HttpChannel, HttpRequest
from promomsg.channels.installed import ENTRY_POINTS
from promomsg.channels.single_call import failed_call, waiting_as_asked
from promomsg.channels.wechat_client import WeChatChannel
from promomsg.compiled_texts import ChannelMessage, CompiledJson, CompiledTexts
from promomsg.masking import Mask, printable
from promomsg.model import Answer, Code, Problem, Secret, SingleSend, Verdict
from promomsg.placeholders import MissingParam
from promomsg.transport.last_check import LastCheck, asks_last_check
from promomsg.transport.pace import Pace, Pacer
from promomsg.transport.session import HttpSession

__all__ = [
    "ENTRY_POINTS",
    "Advice",
    "Answer",
    "Channel",
    "ChannelBase",
    "ChannelMessage",
    "ChannelOptions",
    "Code",
    "CodeMeaning",
    "CompiledJson",
    "CompiledMessage",
    "CompiledTexts",
    "FromCampaignFile",
    "HttpChannel",
    "HttpRequest",
    "HttpSession",
    "LastCheck",
    "Mask",
    "MissingParam",
    "Pace",
    "Pacer",
    "Probing",
    "Problem",
    "Secret",
    "Section",
    "SingleSend",
    "Verdict",
    "WeChatChannel",
    "asks_last_check",
    "failed_call",
    "printable",
    "read_object",
    "unknown_answer",
    "unreadable_answer",
    "waiting_as_asked",
]
