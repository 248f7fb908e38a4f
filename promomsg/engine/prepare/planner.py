"""Planning: recipients in, a complete and durable plan out, before anything is sent (DESIGN §6).

Rows are read as a stream, checked, rendered and written in batches; what needs the whole list
(duplicates, suppression, sets of 50 or more) is done by the journal, so memory stays flat.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, Final

import anyio.lowlevel
import msgspec

from promomsg.channels.base import Channel, CompiledMessage
from promomsg.engine.prepare.row_places import RowPlaces
from promomsg.engine.recipient_tokens import RecipientTokens
from promomsg.engine.sending.decision import group_sizes
from promomsg.engine.settings import Settings
from promomsg.errors import UsageError
from promomsg.intake import Row
from promomsg.journal.contract import Handle
from promomsg.journal.records import PlannedRow, Tally, fingerprint
from promomsg.model import GROUP_THRESHOLD, Code, Problem, State
from promomsg.origins import origin
from promomsg.placeholders import MissingParam
from promomsg.states import GroupState
from promomsg.transport.rate_limit import Pace

__all__ = [
    "CHUNK",
    "READ_SIZE",
    "Plan",
    "Planner",
    "Sample",
    "address_columns",
    "chunk_size",
    "read_tokens",
]

CHUNK: Final = 512
"""Singles in one leased chunk at the most: a few hundred (DESIGN §8)."""
READ_SIZE: Final = 1_000
"""Rows of a list that are read and planned at a time."""
_BATCH: Final = 1_000
_SAMPLES: Final = 3

_lines = msgspec.json.Encoder()


class Sample(msgspec.Struct, frozen=True):
    """One message as its recipient will see it."""

    key: str
    fields: dict[str, str]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a campaign is about to do.

    Attributes:
        name, channel, account: whose campaign it is; host: where the calls go.
        rows: rows read; an unexpanded audience counts as its members.
        singles: single calls to make.
        groups: members of each group call.
        audience: the audience of one group call, when it is not a list of recipients.
        not_sent: rows that will not be sent, by code.
        samples: up to three rendered messages; longest: the longest one.
        seconds: estimated time of the calls at the pace; None when it is not limited.
        pace: the pace in words.
        notices: what each route gives up, encodings, quotas: worth knowing before saying yes.
    """

    name: str
    channel: str
    account: str
    host: str
    rows: int
    singles: int
    groups: tuple[int, ...]
    audience: str | None
    not_sent: dict[str, int]
    samples: tuple[Sample, ...]
    longest: Sample | None
    seconds: float | None
    pace: str
    notices: tuple[str, ...]

    @property
    def to_send(self) -> int:
        """Recipients that would be sent to."""
        return self.singles + sum(self.groups)


def address_columns(channel: Channel) -> tuple[str, ...]:
    """Only what a channel sends to is an address: another column may be one for all."""
    return ("access_token",) if channel.needs_tokens else ("id", "openid", "unionid")


def chunk_size(concurrency: int) -> int:
    """Singles a leased chunk: enough to keep every worker busy while the next one is taken."""
    return max(CHUNK, 4 * concurrency)


class Planner:
    """Writes one campaign's rows.

    Args:
        handle: the journal under construction.
        letter: the compiled message.
        tokens: where user tokens wait; None for channels without them.
    """

    def __init__(
        self,
        handle: Handle,
        channel: Channel,
        compiled: CompiledMessage,
        settings: Settings,
        tokens: RecipientTokens | None,
    ) -> None:
        self._handle = handle
        self._channel = channel
        self._compiled = compiled
        self._settings = settings
        self._tokens = tokens
        self._has_placeholders = compiled.has_placeholders
        self._pepper = bytes.fromhex(handle.record.run_id)
        self._digest = hashlib.blake2b(digest_size=16)
        self._only = None if settings.only is None else frozenset(settings.only)
        self._missing = set(self._only or ())
        self.rows = 0
        self._places = RowPlaces()
        self._longest: tuple[int, str, tuple[str, ...]] | None = None

    @property
    def digest(self) -> str:
        """Of every row's key, addresses and values, in order: says whether a list is the same."""
        return self._digest.hexdigest()

    async def read(self, batches: AsyncIterator[list[Row]]) -> None:
        """Reads a source to its end.

        Raises:
            UsageError: it has no row.
        """
        async for batch in batches:
            self._places.add(self.rows, [row.where for row in batch])
            planned, tokens = self._convert(batch)
            self._digest.update(digest_lines(planned))
            if self._missing:
                self._missing.difference_update(row.key for row in planned)
            if self._tokens is not None and tokens:
                self._tokens.put(tokens)
            await self._handle.add_rows(planned)
            await anyio.lowlevel.checkpoint()
        if self.rows == 0:
            raise UsageError("the recipient list is empty: there is nobody to send to")

    def _convert(self, batch: list[Row]) -> tuple[list[PlannedRow], list[tuple[int, str]]]:
        check = self._channel.check_address
        needs_tokens = self._channel.needs_tokens
        has_placeholders = self._has_placeholders
        planned: list[PlannedRow] = []
        tokens: list[tuple[int, str]] = []
        seq = self.rows
        pending = State.PENDING.value
        for key, id, openid, unionid, token, request_id, params, problem, where in batch:
            values: str | None = None
            form: bytes | None = None
            mark: bytes | None = None
            if problem is None:
                problem = check(id, openid, unionid, token, request_id)
            if problem is None and has_placeholders:
                values, form, problem = self._render(params, key)
            # Where it is no address, a column that all share makes nobody a duplicate.
            if needs_tokens and token is not None and problem is None:
                mark = fingerprint(token, self._pepper)
                tokens.append((seq, token))
            if problem is None:
                planned.append(
                    PlannedRow(
                        seq, key, id, openid, unionid, mark, request_id, values, form,
                        pending, "", "",
                    )
                )  # fmt: skip
            elif self._only is not None and key not in self._only:
                planned.append(
                    PlannedRow(
                        seq, key, id, openid, unionid, None, request_id, None, None,
                        State.SKIPPED.value, Code.NOT_SELECTED.value, "not selected",
                    )
                )  # fmt: skip
            else:
                detail = f"{where}: {problem.detail}" if where else problem.detail
                planned.append(
                    PlannedRow(
                        seq, key, id, openid, unionid, None, request_id, None, None,
                        State.FAILED.value, problem.code.value, detail,
                    )
                )  # fmt: skip
            seq += 1
        self.rows = seq
        return planned, tokens

    def _render(self, params: Any, key: str) -> tuple[str | None, bytes | None, Problem | None]:
        try:
            values = self._compiled.values(params, key)
        except MissingParam as missing:
            name = missing.args[0]
            return None, None, Problem(Code.MISSING_PARAM, f"no value for {{{name}}}")
        problem = self._compiled.problem(values)
        if problem is not None:
            return None, None, problem
        size = sum(map(len, values))
        if self._longest is None or size > self._longest[0]:
            self._longest = (size, key, values)
        return _lines.encode(values).decode(), self._compiled.form(values), None

    async def exclude(self, *, suppress: bool) -> None:
        """Takes out what is suppressed, not selected, or there twice.

        Args:
            suppress: a suppression list was read.

        Raises:
            UsageError: a key to select is nobody's, or nobody selected can be sent to.
        """
        if self._missing:
            few = sorted(self._missing)
            said = ", ".join(map(repr, few[:5])) + (f" and {len(few) - 5} more" * (len(few) > 5))
            raise UsageError(
                f"no recipient has the key {said}: nothing was sent. A key is the column of that "
                "name, else the openid, unionid or id"
            )
        addresses = address_columns(self._channel)
        dedupes = ("request_id",) if self._channel.idempotent else ()
        await self._handle.mark_duplicates((*addresses, *dedupes), self._places.known())
        if suppress:
            await self._handle.suppress(addresses)
        only = self._settings.only
        if only is not None and await self._handle.select(only) == 0:
            raise UsageError(
                f"none of the keys {', '.join(map(repr, only[:5]))} is among the recipients that "
                "can be sent to"
            )

    async def route(self) -> None:
        """Decides between group and single sends, by the threshold of 50 (DESIGN §6).

        Raises:
            UsageError: `route="group"` for fewer than 50, or for rows without an id.
        """
        await route(self._handle, self._channel, self._settings)

    async def describe(self, *, name: str, notices: Sequence[str]) -> Plan:
        """The plan in words, for a person to say yes to."""
        handle = self._handle
        tally: Tally = await handle.tally()
        singles, _ = await handle.plan_counts()
        groups = [g for g in await handle.groups() if g.state is GroupState.PLANNED]
        audience = next((g.audience for g in groups if g.audience is not None), None)
        samples = tuple(
            Sample(key, self._compiled.preview(values))
            for key, _, values in await handle.sample(_SAMPLES)
        )
        if audience is not None:
            samples = (Sample("", self._compiled.preview(())),)
        longest = None
        if self._longest is not None:
            longest = Sample(self._longest[1], self._compiled.preview(self._longest[2]))
        pacer = self._channel.pacer
        return Plan(
            name=name,
            channel=self._channel.name,
            account=self._channel.account,
            host=origin(self._channel.base_url),
            rows=tally.planned,
            singles=singles,
            groups=tuple(g.planned for g in groups),
            audience=None if audience is None else _lines.encode(audience).decode(),
            not_sent=dict(tally.by_code),
            samples=samples,
            longest=longest,
            seconds=_seconds(singles, pacer.singles.rate, len(groups), pacer.groups.rate),
            pace=_in_words(pacer.pace, singles),
            notices=(*notices, *_gives_up(self._channel, singles, len(groups))),
        )


async def route(handle: Handle, channel: Channel, settings: Settings) -> None:
    """Makes the groups of a plan (or of a retry): sets of 50 or more with an id, balanced."""
    if not channel.groups:
        if settings.route == "group":
            raise UsageError(f'route = "group": {channel.name} has no group send')
        return
    if settings.route == "single":
        return
    for form, members in await handle.forms(GROUP_THRESHOLD):
        await handle.make_groups(form, group_sizes(members, settings.max_group_size))
    if settings.route == "group":
        singles, _ = await handle.plan_counts()
        if singles:
            raise UsageError(
                f'route = "group": {singles} recipients have no promoter id or share their '
                f"rendered message with fewer than {GROUP_THRESHOLD}; a group send needs "
                f'{GROUP_THRESHOLD} or more: leave route out, or say route = "single"'
            )


def digest_lines(planned: Iterable[PlannedRow]) -> bytes:
    """What a list's digest is taken of; the batches it came in make no difference."""
    return _lines.encode_lines(
        [(r.key, r.id, r.openid, r.unionid, r.request_id, r.values) for r in planned]
    )


async def read_tokens(
    tokens: RecipientTokens, batches: AsyncIterator[list[Row]], planner: Planner
) -> str:
    """Reads a list again for its tokens alone; returns its digest (DESIGN, user tokens)."""
    digest = hashlib.blake2b(digest_size=16)
    async for batch in batches:
        planned, found = planner._convert(batch)
        digest.update(digest_lines(planned))
        tokens.put(found)
        await anyio.lowlevel.checkpoint()
    return digest.hexdigest()


def _seconds(
    singles: int, single_rate: float | None, groups: int, group_rate: float | None
) -> float | None:
    if (singles and single_rate is None) or (groups and group_rate is None):
        return None
    single_time = singles / single_rate if single_rate else 0.0
    group_time = groups / group_rate if group_rate else 0.0
    return max(single_time, group_time)


def _in_words(pace: Pace, singles: int) -> str:
    if not singles:
        return "group calls only"
    quotas = (
        (pace.singles_per_second, "second"),
        (pace.singles_per_minute, "minute"),
        (pace.singles_per_day, "China-time day"),
    )
    said = [f"{number:g} singles a {span}" for number, span in quotas if number is not None]
    return ", ".join(said) or "unlimited"


def _gives_up(channel: Channel, singles: int, groups: int) -> list[str]:
    """What each route cannot give, where there are two (seed, sections 1.2 and II)."""
    notes = []
    if singles and channel.groups:
        notes.append("single sends: no clicks per message, only per message type")
    if groups:
        notes.append("group sends: no immediate result; it is polled for some minutes")
    return notes
