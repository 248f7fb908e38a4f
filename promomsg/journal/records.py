"""What a journal keeps and hands out: the records of its contract, as plain values."""

from __future__ import annotations

import hashlib
import math
from enum import StrEnum
from typing import Any, Final, Literal, NamedTuple

import msgspec

from promomsg.model import IDEMPOTENT_CHANNELS, ClickCount, SingleSend
from promomsg.states import GroupState

__all__ = [
    "IDEMPOTENT", "NEVER", "UNIQUE", "CampaignRecord", "ClickDay", "Control", "ControlRow",
    "Counts", "Durability", "FirstFew", "GroupCounts", "GroupRow", "InDoubt", "Lease", "Outage",
    "Place", "PlannedRow", "Reached", "Reason", "Recovered", "SendResult", "SharedMessage",
    "Standing", "fingerprint", "is_asked_again",
]  # fmt: skip

IDEMPOTENT: Final = "idempotent"
"""In a record's settings: its channel is another package's, and its provider deduplicates."""

Durability = Literal["power", "process"]
"""What a commit outlives: a power cut, or only the end of the process."""


class Control(StrEnum):
    """What another process, or the user's own code, asks of the sender."""

    RUN = "run"
    PAUSE = "pause"
    CANCEL = "cancel"


class FirstFew(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How far those got who are sent to first (`Cohort.first`), for every sender and every resume.

    Attributes:
        answered_at: Unix seconds since when each of them has an outcome; None: some have none.
        approved: the digest of the plan whose others may be sent to, by the bound or by a person's
            word; None: nobody has said so.
        by_person: whether it was a person's word.
        tried_again: some of them are sent to again at the user's word: they are looked at once all
            are answered.
    """

    answered_at: float | None = None
    approved: str | None = None
    by_person: bool = False
    tried_again: bool = False


class ControlRow(msgspec.Struct, frozen=True):
    """What every sender of a campaign heeds, as one look finds it.

    Attributes:
        requested: what the user asks for.
        halted: why a sender stopped it (`"45009: …"`); None: none did.
        parked_until: Unix seconds before which nobody sends; None: nobody waits.
        first_few: how far the first few got; None: nothing is known yet (`Handle.set_first_few`).
    """

    requested: Control
    halted: str | None = None
    parked_until: float | None = None
    first_few: FirstFew | None = None


class Outage(msgspec.Struct, frozen=True, kw_only=True):
    """A provider that was not there when it was last tried, though something may answer for it.

    Attributes:
        since: Unix seconds when that was found out.
        in_doubt: sends of all runs since then whose outcome nobody knows (a group counts once);
            bounded, however many runs try
            (docs/design.md, "A provider that cannot be reached").
    """

    since: float
    in_doubt: int = 0


class CampaignRecord(msgspec.Struct, kw_only=True):
    """The campaign a journal is of: one a file. No secret is in it.

    Attributes:
        name: the campaign's name.
        channel, account: `"wechat"` and the appid, say; a resume with another one is refused,
            but for an account of which nothing was ever taken (`Handle.untouched`).
        run_id: 32 random hex digits made at planning; idempotency keys are derived from it.
        message: `CompiledMessage.snapshot()`: the message as plain JSON values.
        settings: what resume needs again (route, max_group_size, concurrency, pace, …).
        source: where the recipients came from: `{"path", "sha256", "digest", "rows"}`, each
            optional.
        base_url: the URL it was started with; only compared with the one in use, never called.
        campaign_file: absolute path of the TOML file, when there is one.
        created_at: Unix seconds.
        planned_at: Unix seconds when the plan was complete; None while it is not, and then
            nothing may be sent.
        warnings: those of its runs so far, each once.
        halted: why the last run stopped before the end (`"45009: …"`); None when it did not.
        outage: the one whose end no run has seen yet (`Handle.keep_outage`); None for none.
        cohorts: who is in each cohort, by its number, as plain JSON values
            (`promomsg.engine.schedule.cohorts`); empty: all are in cohort 0.
    """

    name: str
    channel: str
    account: str
    run_id: str
    message: dict[str, Any]
    settings: dict[str, Any] = msgspec.field(default_factory=dict)
    source: dict[str, Any] = msgspec.field(default_factory=dict)
    base_url: str = ""
    campaign_file: str | None = None
    created_at: float
    planned_at: float | None = None
    warnings: list[str] = msgspec.field(default_factory=list)
    halted: str | None = None
    outage: Outage | None = None
    cohorts: list[dict[str, Any]] = msgspec.field(default_factory=list)


def is_asked_again(record: CampaignRecord) -> bool:
    """Whether the campaign's provider deduplicates on our key, so that who may have been called is
    called again. A channel that another package brings has said so when it was planned."""
    return record.channel in IDEMPOTENT_CHANNELS or record.settings.get(IDEMPOTENT) is True


def fingerprint(text: str, pepper: bytes) -> bytes:
    """What stands in a journal for an address that is not kept there, a user's access token: 16
    bytes. `pepper` is the campaign's run_id as bytes."""
    return hashlib.blake2b(
        text.encode("utf-8", "surrogatepass"), digest_size=16, key=pepper
    ).digest()


class Place(NamedTuple):
    """Where rows stand in their list, for messages: row `seq` at `unit number` (`line 2`), the rows
    after it at the next numbers, up to the next place."""

    seq: int
    unit: str
    number: int


class PlannedRow(NamedTuple):
    """One row read, as planning writes it. `state` is pending, failed or skipped.

    `values` is a JSON array of the message's values (None without placeholders), `message_digest` the
    16-byte digest of the rendered message (None without placeholders), `fingerprint` a keyed
    digest that stands for an address which must not be kept (a user's access token). `cohort` is the
    number of the cohort they are in.
    """

    seq: int
    key: str
    id: str | None
    openid: str | None
    unionid: str | None
    fingerprint: bytes | None
    request_id: str | None
    values: str | None
    message_digest: bytes | None
    state: str
    code: str
    detail: str
    cohort: int = 0


class SharedMessage(NamedTuple):
    """Pending singles with an id, of one cohort, who get the same rendered message.

    Attributes:
        message_digest: of the message; None for one without placeholders.
        members: how many they are.
        cohort: the cohort's number.
    """

    message_digest: bytes | None
    members: int
    cohort: int = 0


class Reason(NamedTuple):
    """Why a recipient, or a group send, is in its state.

    Attributes:
        code: the provider's code verbatim, or one of `promomsg.model.Code`; empty for a success.
        detail: text for a person, secrets masked.
        rid: the provider's request id, when it is an answer that led to the state.
    """

    code: str = ""
    detail: str = ""
    rid: str | None = None


class Reached(NamedTuple):
    """Somebody that a campaign sent to, or may have sent to: key and addresses."""

    key: str
    id: str | None
    openid: str | None
    unionid: str | None


class Lease(msgspec.Struct, frozen=True):
    """The right to send one chunk of singles, or one group.

    Attributes:
        chunk_no: the chunk's number.
        epoch: raised by every `take`; the fence.
        group_no: the group's number when the chunk is a group; None for singles.
        single_sends: the chunk's pending singles, in order of `seq`; empty for a group.
        cohort: the number of the cohort that all of it is in.
    """

    chunk_no: int
    epoch: int
    group_no: int | None = None
    single_sends: tuple[SingleSend, ...] = ()
    cohort: int = 0


class SendResult(NamedTuple):
    """What one intended single came to. `state` is sent, failed, unknown or pending.

    `maybe_sent` (with pending) keeps that an earlier attempt may have been delivered, so that a cancel
    makes it unknown, never cancelled. `called` False: no call was made after all, so the attempt
    that `intend` counted is taken back. `intended_at`: the `at` of its intent, by which a result that
    comes after the chunk was taken over finds its attempt; None: it finds none.
    """

    seq: int
    state: str
    code: str
    detail: str
    rid: str | None
    at: float
    maybe_sent: bool
    extra: str | None
    called: bool = True
    intended_at: float | None = None


class GroupCounts(NamedTuple):
    """How far a group send is, as the provider counts it; None for what it did not say.

    Attributes:
        percent: 0 to 100.
        send_cnt: people it was sent to, those who failed included.
        fail_cnt: people whom it did not reach.
    """

    percent: int | None = None
    send_cnt: int | None = None
    fail_cnt: int | None = None


class GroupRow(msgspec.Struct, kw_only=True):
    """One group send.

    Attributes:
        group_no: its number in the journal, from 1.
        state: see `promomsg.states.GROUP_MOVES`.
        planned: how many members it was planned for (an unexpanded audience: as counted).
        values: the message's values for this set; empty without placeholders.
        audience: None when the members are rows of the journal; else `{"roles": [1]}`,
            `{"retailers": ["x"]}` or `{"everyone": true}`: an audience that was not expanded.
        msg_id: the provider's, once accepted.
        percent, send_cnt, fail_cnt: the provider's, as last polled.
        attempts: calls made.
        sent_at: Unix seconds of the last call.
        next_poll_at: Unix seconds; None when there is nothing to poll.
        polls: polls made.
        polls_at_100: those that found it at 100.
        given_up: it is not polled any more until the campaign is resumed.
        warned_of_age: whether it was said that its result can be had for another day only.
        followed_since: Unix seconds since when it is polled: when it was accepted, or the campaign
            resumed.
        code, detail, rid: of the answer or the reason for its state.
    """

    group_no: int
    state: GroupState
    planned: int
    values: tuple[str, ...] = ()
    audience: dict[str, Any] | None = None
    msg_id: str | None = None
    percent: int | None = None
    send_cnt: int | None = None
    fail_cnt: int | None = None
    attempts: int = 0
    sent_at: float | None = None
    next_poll_at: float | None = None
    polls: int = 0
    polls_at_100: int = 0
    given_up: bool = False
    warned_of_age: bool = False
    followed_since: float | None = None
    code: str = ""
    detail: str = ""
    rid: str | None = None


class ClickDay(msgspec.Struct, frozen=True, kw_only=True):
    """What the provider counted for the sends of one day, when it was asked last.

    Attributes:
        day: the China-time day of the sends, `2026-11-24`.
        by_message: each group send of the campaign by itself; False: all that the account sent of the
            campaign's message type on that day, whoever sent it.
        asked_at: Unix seconds.
        counts: a message that nobody clicked may not be in it.
    """

    day: str
    by_message: bool
    asked_at: float
    counts: tuple[ClickCount, ...] = ()


class Counts(msgspec.Struct, kw_only=True):
    """The counts of a campaign: `planned` is always the sum of the others
    (docs/design.md, "The counts add up").

    Recipients that are intended count as pending. `by_code` counts what was not sent, by code:
    failed, unknown, skipped and cancelled.
    """

    planned: int = 0
    sent: int = 0
    failed: int = 0
    unknown: int = 0
    skipped: int = 0
    cancelled: int = 0
    pending: int = 0
    by_code: dict[str, int] = msgspec.field(default_factory=dict)


class InDoubt(NamedTuple):
    """Who may have been sent to by a sender that died, and has no result.

    Attributes:
        singles: single sends.
        groups: group sends.
        members: people of those groups.
    """

    singles: int
    groups: int
    members: int


class Standing(msgspec.Struct, frozen=True):
    """Where a campaign stands when it is looked at.

    Attributes:
        counts, groups: its own; whom a sender that died left intended is counted as a resume will
            take them.
        running: whether a sender is at work.
        in_doubt: who may have been sent to by a sender that died; None: nobody has to be taken over.
        asks_again: whether a resume asks for those singles again, with the same keys.
        warnings: what there is to say of how true the journal is.
    """

    counts: Counts
    groups: list[GroupRow]
    running: bool
    in_doubt: InDoubt | None = None
    asks_again: bool = False
    warnings: tuple[str, ...] = ()


class Recovered(msgspec.Struct, kw_only=True):
    """What `recover` found of an earlier process that did not end.

    Attributes:
        unknown: singles that were intended and are now unknown.
        again: singles of an idempotent channel that will be asked again with the same key.
        lost_groups: group sends whose answer was never journalled; their members are unknown.
        uncalled: singles that were intended and surely not called: pending again, uncounted.
        uncalled_groups: group sends of which the same is known.
        recent: times (Unix seconds) of the latest intents, newest last: the pace begins with them.
        singles_today: singles intended on the given China-time day.
    """

    unknown: int = 0
    again: int = 0
    lost_groups: int = 0
    uncalled: int = 0
    uncalled_groups: int = 0
    recent: tuple[float, ...] = ()
    singles_today: int = 0


NEVER: Final = -math.inf
"""A moment before all others, in Unix seconds: since then is whenever it was."""

UNIQUE: Final = ("id", "openid", "unionid", "access_token", "request_id")
"""Columns besides the key that can say that a row is there twice, in the order they are asked."""
