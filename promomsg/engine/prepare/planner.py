"""Planning: recipients in, a complete and durable plan out, before anything is sent
(docs/design.md, "Planning").

A list is read once, as a stream:

1. Intake hands over batches of rows, each with its key, addresses, parameters and, where reading
   has shown one, its problem.
2. `Planner.read` turns each into a planned row: its address is checked, its message rendered (only
   to see that it can be, and which others get the same text), its user token put away encrypted.
   A row that cannot be sent is planned too, as failed and with the reason: every row has an outcome.
3. The journal writes the batch. It holds nothing in memory, and neither does the planner.
4. `Planner.exclude`, once the list is at its end, has the journal do what needs all of it, in SQL:
   rows that are there twice, the suppression list, a selection of keys.
5. `routing.make_groups` forms the groups.

All of this happens in a journal that has no name yet: it gets one when the plan is complete.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from itertools import chain, islice, repeat
from typing import Any, Final

import msgspec

from promomsg.channels.base import Channel, CompiledMessage
from promomsg.channels.rendered_columns import ColumnRenderer, RenderedColumns
from promomsg.clock import let_others_run
from promomsg.engine.prepare.plan import Sample
from promomsg.engine.prepare.routing import group_sizes
from promomsg.engine.prepare.row_places import RowPlaces
from promomsg.engine.recipient_tokens import RecipientTokens
from promomsg.engine.schedule.planned_cohorts import PlannedCohorts
from promomsg.engine.settings import Settings
from promomsg.errors import UsageError
from promomsg.intake.row_batch import RowBatch
from promomsg.intake.sources import ForeseesRows, Source
from promomsg.journal.contract import Handle
from promomsg.journal.planned_columns import PlannedColumns
from promomsg.journal.records import PlannedRow, fingerprint
from promomsg.model import GROUP_THRESHOLD, Code, Problem, State
from promomsg.placeholders import MissingParam
from promomsg.suggest import did_you_mean, quoted

__all__ = ["READ_SIZE", "Planner", "address_columns", "check_source"]

READ_SIZE: Final = 1_000
"""Rows of a list that are read, planned and written at a time."""
_FEW: Final = 5
"""Keys that an error names."""

_json = msgspec.json.Encoder()


def address_columns(channel: Channel) -> tuple[str, ...]:
    """The columns that say who somebody is: two rows with the same value are the same person.

    Only those that the channel sends to: in another one, all rows may have the same value.
    """
    return ("access_token",) if channel.needs_tokens else ("id", "openid", "unionid")


def check_source(source: Source, compiled: CompiledMessage, zone_column: str | None) -> None:
    """Looks at a list before it is read.

    Raises:
        UsageError: a column that the message, or `zone_column`, names is not there.
    """
    source.check(compiled.names, compiled.optional)
    if zone_column is None:
        return
    try:
        source.check(compiled.names | {zone_column}, compiled.optional)
    except UsageError:
        hint = did_you_mean(zone_column, source.parameters)
        raise UsageError(
            f"zone_column: no column of the list is called {zone_column!r}{hint}"
        ) from None


class Planner:
    """Writes one campaign's rows.

    Args:
        handle: the journal under construction.
        compiled: the compiled message.
        tokens: where `read` keeps the user tokens; None for a channel without them.
        cohorts: which cohort each row is in; None: all are in one.

    Attributes:
        rows: how many have been read.
        cohorts: as given.
    """

    def __init__(
        self,
        handle: Handle,
        channel: Channel,
        compiled: CompiledMessage,
        settings: Settings,
        tokens: RecipientTokens | None = None,
        cohorts: PlannedCohorts | None = None,
    ) -> None:
        self.cohorts = cohorts or PlannedCohorts(settings.times)
        self._handle = handle
        self._channel = channel
        self._compiled = compiled
        self._settings = settings
        self._tokens = tokens
        self._has_placeholders = compiled.has_placeholders
        self._renderer = ColumnRenderer(compiled) if compiled.has_placeholders else None
        self._pepper = bytes.fromhex(handle.record.run_id)
        self._digest = hashlib.blake2b(digest_size=16)
        self._only = None if settings.only is None else frozenset(settings.only)
        self._missing = set(self._only or ())
        self.rows = 0
        self._places = RowPlaces()
        self._guesses: Iterator[int] = iter(())
        self._longest: tuple[int, str, tuple[str, ...]] | None = None

    @property
    def digest(self) -> str:
        """Of every row's key, addresses and values, in order.

        The journal keeps it, and a resume compares: a file may have another name, encoding or order
        of columns by then and still be the same list. Row numbers tie tokens to recipients, so one
        row more at the top would send everybody's message with the next one's token.
        """
        return self.cohorts.digest_with(self._digest.hexdigest())

    @property
    def longest(self) -> Sample | None:
        """The longest rendered message read so far; None without placeholders."""
        if self._longest is None:
            return None
        _, key, values = self._longest
        return Sample(key, self._compiled.preview(values))

    async def read(
        self, batches: AsyncIterator[RowBatch], foresees: ForeseesRows | None = None
    ) -> None:
        """Reads a source to its end and writes its rows.

        Args:
            foresees: the source, when the rows' groups may be guessed by how many it most likely
                has.

        Raises:
            UsageError: it has no row.
        """
        async for batch in batches:
            if self.rows == 0 and foresees is not None:
                self._guesses = self._guess_groups(foresees.expected_rows)
            self._places.add(self.rows, batch.where)
            if self._missing:
                self._missing.difference_update(batch.keys)
            columns = self._columns(batch)
            if columns is not None:
                await self._handle.add_columns(columns)
            else:
                self._guesses = iter(())
                planned, tokens = self._convert(batch)
                self._digest.update(_digest_lines(planned))
                if self._tokens is not None and tokens:
                    await self._tokens.put(tokens)
                await self._handle.add_rows(planned)
            await let_others_run()
        if self.rows == 0:
            raise UsageError("the recipient list is empty: there is nobody to send to")

    async def read_tokens(
        self, batches: AsyncIterator[RowBatch], tokens: RecipientTokens | None
    ) -> None:
        """Reads a list that is planned already once more, for its user tokens; writes no row.

        The journal keeps no token, so a resume has to take them from the list. `digest` and `rows`
        say afterwards whether it is the list that was planned.

        Args:
            tokens: where the tokens are kept; None: only `digest` and `rows` are wanted.
        """
        async for batch in batches:
            if self._columns(batch) is None:
                planned, found = self._convert(batch)
                self._digest.update(_digest_lines(planned))
                if tokens is not None:
                    await tokens.put(found)
            await let_others_run()

    def _guess_groups(self, rows: int | None) -> Iterator[int]:
        """The group that each row will be in when there are so many, and all can be sent to."""
        settings = self._settings
        if (
            rows is None
            or rows < GROUP_THRESHOLD
            or not self._channel.groups
            or settings.route == "single"
            or settings.resolve
            or settings.only is not None
            or self._compiled.has_placeholders
            or not self.cohorts.is_one
        ):
            return iter(())
        sizes = group_sizes(rows, settings.max_group_size)
        return chain.from_iterable(repeat(no, size) for no, size in enumerate(sizes, 1))

    def _columns(self, batch: RowBatch) -> PlannedColumns | None:
        """A batch as columns of the journal, when a look at whole columns shows that each of its
        rows can be sent; None: they have to be looked at one by one.

        No column has a token: of a channel that needs them each row is looked at.
        """
        if batch.problems or self._channel.needs_tokens:
            return None
        addresses = (batch.ids, batch.openids, batch.unionids, batch.tokens, batch.request_ids)
        if not self._channel.are_addressed(*addresses):
            return None
        values: Sequence[str] | None = None
        digests: Sequence[bytes | None] | None = None
        rendered: RenderedColumns | None = None
        if self._renderer is not None:
            rendered = self._renderer.render(batch.params, batch.keys)
            if rendered is None:
                return None
            values, digests = rendered.values, rendered.digests
        numbers: Sequence[int] | None = None
        if self.cohorts.column is not None:
            numbers = self.cohorts.numbers(batch.params, len(batch))
            if numbers is None:
                return None
        if rendered is not None:
            place, longest, size = rendered.longest
            if self._longest is None or size > self._longest[0]:
                self._longest = (size, batch.keys[place], longest)
        ids, openids, unionids, _, request_ids = addresses
        written = (ids, openids, unionids, request_ids, values)
        lines = zip(batch.keys, *(column or repeat(None) for column in written), strict=False)
        self._digest.update(_json.encode_lines(list(lines)))
        guesses = list(islice(self._guesses, len(batch)))
        first = self.rows
        self.rows += len(batch)
        return PlannedColumns(
            range(first, self.rows),
            batch.keys,
            ids,
            openids,
            unionids,
            None,
            request_ids,
            values,
            digests,
            guesses if len(guesses) == len(batch) and ids is not None else None,
            numbers,
        )

    def _convert(self, batch: RowBatch) -> tuple[list[PlannedRow], list[tuple[int, str]]]:
        """Rows of the list made rows of the journal, and their user tokens by number.

        The two are different types on purpose: a `Row` has the token and the parameters in the
        clear, and nothing that is written down can have them. This is the innermost loop of planning,
        so values are passed by position and nothing is looked up twice.
        """
        check = self._channel.check_address
        needs_tokens = self._channel.needs_tokens
        number_of = None if self.cohorts.column is None else self.cohorts.number
        cohort = 0
        has_placeholders = self._has_placeholders
        planned: list[PlannedRow] = []
        tokens: list[tuple[int, str]] = []
        seq = self.rows
        pending = State.PENDING.value
        for key, id, openid, unionid, token, request_id, params, problem, where in batch:
            values: str | None = None
            message_digest: bytes | None = None
            mark: bytes | None = None
            if problem is None:
                problem = check(id, openid, unionid, token, request_id)
            if problem is None and has_placeholders:
                values, message_digest, problem = self._render(params, key)
            if number_of is not None:
                cohort, no_zone = number_of(params)
                problem = problem or no_zone
            if needs_tokens and token is not None and problem is None:
                mark = fingerprint(token, self._pepper)
                tokens.append((seq, token))
            if problem is None:
                planned.append(
                    PlannedRow(
                        seq, key, id, openid, unionid, mark, request_id, values, message_digest,
                        pending, "", "", cohort,
                    )
                )  # fmt: skip
            elif self._only is not None and key not in self._only:
                planned.append(
                    PlannedRow(
                        seq, key, id, openid, unionid, None, request_id, values, None,
                        State.SKIPPED.value, Code.NOT_SELECTED.value, "not selected",
                    )
                )  # fmt: skip
            else:
                detail = f"{where}: {problem.detail}" if where else problem.detail
                planned.append(
                    PlannedRow(
                        seq, key, id, openid, unionid, None, request_id, values, None,
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
        return _json.encode(values).decode(), self._compiled.message_digest(values), None

    async def exclude(self, *, suppress: bool) -> None:
        """Takes out what is suppressed, not selected, or there twice.

        Args:
            suppress: a suppression list was read.

        Raises:
            UsageError: a key to select is nobody's, or nobody selected can be sent to.
        """
        if self._missing:
            raise UsageError(
                f"no recipient has the key {quoted(sorted(self._missing), _FEW)}: nothing was sent. "
                "A key is the column of that name, else the openid, unionid or id"
            )
        addresses = address_columns(self._channel)
        dedupes = ("request_id",) if self._channel.idempotent else ()
        await self._handle.mark_duplicates((*addresses, *dedupes), self._places.known())
        if suppress:
            await self._handle.suppress(addresses)
        only = self._settings.only
        if only is not None and await self._handle.select(only) == 0:
            raise UsageError(
                f"none of the keys {quoted(only, _FEW)} is among the recipients that can be sent to"
            )


def _digest_lines(planned: Iterable[PlannedRow]) -> bytes:
    """What a list's digest is taken of: a line a row, so that the size of batches makes no difference."""
    return _json.encode_lines(
        [(r.key, r.id, r.openid, r.unionid, r.request_id, r.values) for r in planned]
    )
