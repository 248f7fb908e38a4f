"""What hooks are told: one value for each thing that happens, without anything of a recipient.

No key, no address, no text of a message, no token is in any of them. Seconds are seconds; `at` is the
Unix time at which it happened.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

__all__ = [
    "BreakerClosed",
    "BreakerOpened",
    "CallFinished",
    "CallKind",
    "CampaignEnded",
    "CampaignPlanned",
    "CampaignStarted",
    "HoldBegan",
    "HoldEnded",
    "HookEvent",
    "JournalCommitted",
    "OutcomesCounted",
    "PlanningBegan",
    "RunInfo",
    "Sampled",
    "TokenRefreshed",
]

CallKind: TypeAlias = Literal["single", "group", "poll", "read", "token"]
"""A single send, a group send, a look at a group send, another read, or a call for a token."""


class RunInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One run of a campaign in one process: all that happens in it has the same.

    Attributes:
        id: of this run alone, however many campaigns have its name.
        campaign: the campaign's name.
        kind: `"new"`, `"resume"`, `"retry"`, or `"part"`: what one worker of a fleet does of it at a
            time.
        channel: `"wechat"`, `"alipay"`.
        server: where its calls go, `https://api.weixin.qq.com`.
        carried: what `Hooks.carry` returned when it was planned, perhaps in another process.
    """

    id: str
    campaign: str
    kind: Literal["new", "resume", "retry", "part"]
    channel: str
    server: str
    carried: dict[str, str] = {}


class HookEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened.

    Attributes:
        at: Unix seconds.
        run: the run it happened in; None for a call outside a campaign.
    """

    at: float
    run: RunInfo | None


class PlanningBegan(HookEvent, frozen=True, kw_only=True):
    """`plan`, or entering the block: the first event of every run."""


class CampaignPlanned(HookEvent, frozen=True, kw_only=True):
    """The plan is complete.

    Attributes:
        singles, groups: calls to make.
        to_send: recipients that they are for.
        seconds: what planning took.
    """

    singles: int
    groups: int
    to_send: int
    seconds: float


class CampaignStarted(HookEvent, frozen=True, kw_only=True):
    """It begins to send, or goes on.

    Attributes:
        planned, pending: recipients.
    """

    planned: int
    pending: int


class CampaignEnded(HookEvent, frozen=True, kw_only=True):
    """The run is over: the last event of every run.

    Attributes:
        state: as in the report (`done`, `halted`, `paused`, …); `discarded` and `handed_over` for a
            plan that was not sent here; `failed`: an exception ended it.
        code: why it was halted (`45009`), or the exception's type; else empty.
        planned, sent, failed, unknown, skipped, cancelled, pending: recipients, as the report has
            them: of the whole campaign, whoever sent them.
        seconds: since the run's first event.
    """

    state: str
    code: str
    planned: int = 0
    sent: int = 0
    failed: int = 0
    unknown: int = 0
    skipped: int = 0
    cancelled: int = 0
    pending: int = 0
    seconds: float


class CallFinished(HookEvent, frozen=True, kw_only=True):
    """A call was answered, or failed. Each try is one.

    Attributes:
        kind: what for.
        channel: `"wechat"`, `"alipay"`.
        server: `https://api.weixin.qq.com`.
        method: `"POST"`.
        endpoint: its path, without the query in which WeChat has the token; empty where a channel of
            your own does not name it.
        status: the HTTP status; None when no answer came.
        verdict: the value of a `Verdict`: `SENT`, `ACCEPTED` (a group), `FAILED`, `REFUSED`, `UNKNOWN`,
            `RETRY`, `THROTTLED`, `HALT`; of a poll, another read or a token call that worked, `OK`.
        code: the provider's, or one of `Code`; empty for a plain success.
        recipients: whom a send was for: 1, or the members of a group; 0: not known (an audience), or
            no send.
        seconds: from its first byte to its answer; None: no byte left (no token, no connection).
    """

    kind: CallKind
    channel: str
    server: str
    method: str
    endpoint: str
    status: int | None
    verdict: str
    code: str
    recipients: int
    seconds: float | None


class OutcomesCounted(HookEvent, frozen=True, kw_only=True):
    """So many recipients more are final since the event before it, some times a second at the most.

    In a run of a whole campaign the sums are those of the report, for what happened in this run. In a
    part they are what this process has committed: the sums of all workers are the campaign's.

    Attributes:
        sent, failed, unknown, skipped, cancelled: recipients; below zero when some were taken back.
    """

    sent: int
    failed: int
    unknown: int
    skipped: int
    cancelled: int


class HoldBegan(HookEvent, frozen=True, kw_only=True):
    """The provider asked for fewer calls: nothing of the kind goes out.

    Attributes:
        kind: `"single"` or `"group"`: whose quota it is.
        seconds: how long, as far as it is known.
    """

    kind: Literal["single", "group"]
    seconds: float


class HoldEnded(HookEvent, frozen=True, kw_only=True):
    """Calls go out again.

    Attributes:
        kind: as it began.
        seconds: how long it took.
    """

    kind: Literal["single", "group"]
    seconds: float


class TokenRefreshed(HookEvent, frozen=True, kw_only=True):
    """A new access token of the account is in use.

    Attributes:
        expires_in: seconds for which it is used; None: until it fails.
    """

    expires_in: float | None


class BreakerOpened(HookEvent, frozen=True, kw_only=True):
    """The provider cannot be reached: one call at a time from now on.

    Attributes:
        code: of the last call.
    """

    code: str


class BreakerClosed(HookEvent, frozen=True, kw_only=True):
    """The provider answers again."""


class JournalCommitted(HookEvent, frozen=True, kw_only=True):
    """The journal has something durable.

    Attributes:
        what: `"intents"`: who is about to be called; `"results"`: what calls came to.
        rows: recipients; for a group send 1.
        seconds: what the run waited for it.
    """

    what: Literal["intents", "results"]
    rows: int
    seconds: float


class Sampled(HookEvent, frozen=True, kw_only=True):
    """Where a run stands, once a second.

    Attributes:
        in_flight: calls under way.
        pending: recipients that have no outcome yet.
        rate: single calls a second that the pace lets through now; None: no limit.
        used_today, limit_today: single calls of this China-time day, and how many it may have; None:
            there is no such limit.
    """

    in_flight: int
    pending: int
    rate: float | None
    used_today: int | None
    limit_today: int | None
