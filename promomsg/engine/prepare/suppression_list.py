"""The suppression list of a campaign: whom not to send to, whatever the list was given as.

It is read in full into temporary tables of the journal before anything is sent or changed. The
journal matches it with the recipients; `SuppressionList.notices` says how much it left out.
"""

from __future__ import annotations

import math
import os
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final

from anyio import to_thread

from promomsg.addresses import whole_number
from promomsg.channels.base import Channel, CompiledMessage
from promomsg.clock import Clock, let_others_run
from promomsg.engine.opened_journal import OpenedJournal
from promomsg.engine.prepare.planner import READ_SIZE, Planner
from promomsg.engine.settings import Settings
from promomsg.engine.suppress_argument import (
    Suppress,
    check_suppress,
    is_journal,
    is_list,
    is_source,
)
from promomsg.errors import UsageError
from promomsg.intake.arrow.parquet import read_parquet
from promomsg.intake.by_suffix import read_file
from promomsg.intake.headings import column_of_heading
from promomsg.intake.sources import NAMELESS_KEY, Source
from promomsg.intake.suppression.earlier_journal import EarlierJournals
from promomsg.intake.suppression.journal_since import JournalSince, journal_since
from promomsg.intake.suppression.list_kind import kind_of_list
from promomsg.intake.suppression.listed_values import ListedValues, are_all_addresses
from promomsg.intake.suppression.suppression_file import SuppressionFile
from promomsg.journal.contract import Handle
from promomsg.journal.locate import is_in_fleet, journal_at, temporary_journal
from promomsg.journal.records import NEVER, CampaignRecord
from promomsg.model import Outcome, Recipient, Secret
from promomsg.plural import counted

__all__ = [
    "SUMMARY",
    "SuppressionList",
    "is_suppression_notice",
    "preview_suppression",
]

SUMMARY: Final = "suppression list: "
"""How every notice of a suppression list begins."""

_BATCH: Final = 2_000
_NAMED: Final = ("key", "id", "openid", "unionid", "access_token")


def is_suppression_notice(text: str) -> bool:
    """Whether a warning comes from an earlier reading of a suppression list."""
    return text.startswith(SUMMARY)


class SuppressionList:
    """Whom a campaign must not reach.

    Args:
        given: see `Suppress`.
        channel: where people are reached by user tokens, any value may be one.
        clock: from which the ages of journals are counted.
        own: the address of the campaign's own journal, which is no list for it.

    Attributes:
        values: how many different keys and addresses there are, once it has been read.
        again_of: the `run_id` of each campaign in it whose failures are sent to again.
    """

    def __init__(
        self, given: Suppress, channel: Channel, clock: Clock, own: str | None = None
    ) -> None:
        check_suppress(given)
        self._clock = clock
        self._given = given
        self._secret = channel.needs_tokens
        self._own = own
        self._notices: list[str] = []
        self._items = 0
        self._earlier: list[str] = []
        self._has_others = False
        self.values = 0
        self.again_of: list[str] = []

    async def read(self, handle: Handle) -> None:
        """Reads all of it into the journal's temporary tables; nobody is left out yet.

        Raises:
            UsageError: something in it cannot be understood in full; the text says where.
            JournalError: a journal in it cannot be read.
        """
        await handle.list_suppressed([], first=True, secret=self._secret)
        async for batch in self._batches(self._given):
            self.values += await handle.list_suppressed(
                batch.values, batch.spellings, batch.doubtful, secret=self._secret
            )
            await let_others_run()

    async def check_keys(self, handle: Handle) -> None:
        """Once the recipients are known: keys that a spreadsheet may have made must be theirs, and
        none may have somebody of them hidden in it.

        Raises:
            UsageError: one is not.
        """
        absent = await handle.absent_key()
        if absent is not None:
            raise UsageError(absent)

    def notices(self, rows: int) -> list[str]:
        """What a plan and the documents say of it; the first one counts.

        Args:
            rows: how many rows it left out.
        """
        notices = [
            f"{SUMMARY}{counted(self.values, 'value')}, {counted(rows, 'row')} of this list left out"
        ]
        if self._earlier:
            notices.append(
                f"{SUMMARY}whom {' or '.join(self._earlier)} reached by now, may have reached, or has still "
                "to send to is on it"
            )
        if self._has_others and not self.values:
            notices.append(f"{SUMMARY}it is empty, so nobody is left out")
        elif self._has_others and not rows and not self._earlier:
            # (Of those who failed before it left out the others then.)
            notices.append(
                f"{SUMMARY}nobody on it is among these recipients, which is how a wrong list looks: "
                "compare its values with their keys and addresses"
            )
        return [*notices, *(SUMMARY + notice for notice in self._notices)]

    async def _batches(self, given: Any) -> AsyncIterator[ListedValues]:
        if isinstance(given, EarlierJournals):
            for one in given.journals:
                self._earlier.append(str(one.journal.address))
                self.again_of.append(one.run_id)
                async for batch in _from_thread(self._earlier_people(one.journal)):
                    yield batch
            self._notices += given.notices
            return
        self._has_others |= not (isinstance(given, tuple) and _are_earlier(given))
        if isinstance(given, str):
            given = await to_thread.run_sync(journal_since, given) or given
        if isinstance(given, JournalSince):
            journal = await to_thread.run_sync(_aged_journal, given)
            since = self._clock.time() - given.age
            async for batch in _from_thread(self._journal(journal, since)):
                yield batch
        elif isinstance(given, (str, os.PathLike)):
            async for batch in self._file(given):
                yield batch
        elif is_journal(given):
            async for batch in _from_thread(self._journal(given)):
                yield batch
        elif is_source(given):
            async for batch in self._source(given):
                yield batch
        else:
            async for batch in self._iterable(given):
                yield batch

    async def _file(self, path: str | os.PathLike[str]) -> AsyncIterator[ListedValues]:
        in_fleet = isinstance(path, str) and is_in_fleet(path)
        kind = "journal" if in_fleet else await to_thread.run_sync(kind_of_list, path)
        if kind == "journal":
            async for batch in _from_thread(self._journal(journal_at(path))):
                yield batch
        elif kind == "table":
            is_excel = os.fspath(path).lower().endswith((".xlsx", ".xlsm"))
            async for batch in self._source(read_file(path) if is_excel else read_parquet(path)):
                yield batch
        else:
            file = SuppressionFile(path, secret=self._secret)
            async for batch in _from_thread(file.batches()):
                yield batch
            self._notices += file.notices

    def _journal(self, journal: Any, since: float = NEVER) -> Iterator[ListedValues]:
        """Everybody that a campaign sent to, or may have, since then."""
        if isinstance(journal, OpenedJournal):
            journal = journal.journal
        where = journal.address
        if where is not None and where == self._own:
            raise UsageError(
                f"suppress: {where} is this campaign's own journal, which sends to nobody twice by "
                "itself; leave it out"
            )
        where = where or "the journal"
        for page in journal.reached(since):
            batch = ListedValues(secret=self._secret)
            for key, *addresses in page:
                there = [address for address in addresses if address is not None]
                if not there and NAMELESS_KEY.fullmatch(key):
                    raise UsageError(
                        f"{where}: {key} was sent to and has neither key nor address in it, so who "
                        "is meant cannot be told; give a campaign's recipients a key"
                    )
                batch.values += [key, *there]
                if key != (bare := key.strip(" ")):
                    batch.spellings.append(bare)
            yield batch
        if journal.address is not None and journal.is_being_sent():
            self._notices.append(
                f"{where} is being sent just now: whom it reaches from here on is not on the list"
            )

    def _earlier_people(self, journal: Any) -> Iterator[ListedValues]:
        """Everybody whom a campaign reached, may have, or has still to send to. Who has neither key nor address
        is in no report that could be sent again."""
        for page in journal.reached(pending=True):
            batch = ListedValues(secret=self._secret)
            for key, *addresses in page:
                batch.values += [address for address in addresses if address is not None]
                if not NAMELESS_KEY.fullmatch(key):
                    batch.values.append(key)
                    if key != (bare := key.strip(" ")):
                        batch.spellings.append(bare)
            yield batch

    async def _source(self, source: Source) -> AsyncIterator[ListedValues]:
        """`read_csv(…)` and its kin: every key and address of its rows."""
        await to_thread.run_sync(source.check, frozenset())
        file = (await to_thread.run_sync(source.describe)).get("path")
        of = "suppress:" if file is None else f"suppress: {file}"
        async for rows in source.batches(frozenset(), 1_000):
            batch = ListedValues(secret=self._secret)
            for row in rows:
                token = row.token if self._secret else None
                if row.problem is not None:
                    raise UsageError(
                        f"{of} {row.where} cannot be read, so who is meant is lost"
                        + ("" if self._secret else f": {row.problem.detail}")
                    )
                there = [a for a in (row.id, row.openid, row.unionid, token) if a is not None]
                if row.key not in there and not (NAMELESS_KEY.fullmatch(row.key) and there):
                    if NAMELESS_KEY.fullmatch(row.key):
                        raise UsageError(
                            f"{of} {row.where} has neither key nor address, so who is meant "
                            "is lost; fill it in or take the row out"
                        )
                    batch.add_key(row.key, f"{of} {row.where}")
                batch.values += there
            yield batch
        self._notices += await to_thread.run_sync(lambda: source.notices)

    async def _iterable(self, items: Iterable[Any]) -> AsyncIterator[ListedValues]:
        rest = iter(items)
        while chunk := list(islice(rest, _BATCH)):
            batch = ListedValues(secret=self._secret)
            if all(type(item) is str and item for item in chunk) and are_all_addresses(chunk):
                batch.add_addresses(chunk)
                self._items += len(chunk)
                yield batch
                continue
            for item in chunk:
                if is_list(item):
                    async for other in self._batches(item):
                        yield other
                    continue
                self._items += 1
                self._take(item, f"suppress: item {self._items}", batch)
            if batch.values:
                yield batch

    def _take(self, item: Any, where: str, batch: ListedValues) -> None:
        """One key, address or recipient."""
        if isinstance(item, str):
            if not batch.add_any(str.__str__(item), where):  # an Enum says another thing in str()
                raise UsageError(f"{where} is empty, so who is meant is lost; take it out")
            return
        if isinstance(item, Outcome):
            item = item.recipient
        if isinstance(item, Recipient):
            item = {name: getattr(item, name) for name in _NAMED}
        if isinstance(item, Mapping):
            self._take_mapping(item, where, batch)
            return
        batch.add_any(_as_text(item, where), where)

    def _take_mapping(self, item: Mapping[Any, Any], where: str, batch: ListedValues) -> None:
        found = False
        for name, value in item.items():
            column = column_of_heading(name) if isinstance(name, str) else None
            if (
                column not in _NAMED
                or value is None
                or (column == "access_token" and not self._secret)
            ):
                continue
            text = _as_text(value, where)
            if column == "key":
                found |= batch.add_key(text, where)
            else:
                found |= batch.add_address(column, text, where)
        if not found:
            raise UsageError(
                f"{where} has no key, id, openid or unionid, so who is meant is lost; give one"
            )


async def preview_suppression(
    suppress: Suppress,
    channel: Channel,
    compiled: CompiledMessage,
    recipients: Source | None,
    *,
    clock: Clock,
    run_id: str,
) -> list[str]:
    """For `doctor`: what a plan would say of this list; nothing is planned or kept.

    Args:
        suppress: the list.
        compiled: the compiled message.
        recipients: the list of recipients, checked; None: an audience, or it cannot be read.
        run_id: 32 random hex digits.

    Raises:
        UsageError, JournalError: it cannot be read in full.
    """
    journal = temporary_journal(durability="process")
    record = CampaignRecord(
        name="doctor",
        channel=channel.name,
        account=channel.account,
        run_id=run_id,
        message=compiled.snapshot(),
        created_at=clock.time(),
    )
    handle = await journal.create(record)
    try:
        suppressed = SuppressionList(suppress, channel, clock)
        await suppressed.read(handle)
        if recipients is None:
            return [f"suppression list: {counted(suppressed.values, 'value')}"]
        planner = Planner(handle, channel, compiled, Settings())
        await planner.read(recipients.batches(compiled.names, READ_SIZE))
        await suppressed.check_keys(handle)
        await planner.exclude(suppress=True)
        return suppressed.notices(await handle.left_out())
    finally:
        await handle.close()


def _aged_journal(given: JournalSince) -> Any:
    """The journal that is meant.

    Raises:
        UsageError: it is not there, or a list, whose values have no times.
    """
    place = given.journal
    if isinstance(place, str) and is_in_fleet(place):
        return journal_at(place)
    if isinstance(place, (str, os.PathLike)):
        if kind_of_list(place) != "journal":
            raise UsageError(
                f"suppress = {given.text!r}: {os.fspath(place)} is a list, which does not say when somebody "
                "was sent to; an age goes with a campaign's journal"
            )
        return journal_at(place)
    return place


def _are_earlier(given: tuple[Any, ...]) -> bool:
    """Whether there is nothing in it but the journals of a campaign whose failures are sent to again."""
    return bool(given) and all(isinstance(one, EarlierJournals) for one in given)


async def _from_thread(batches: Iterator[ListedValues]) -> AsyncIterator[ListedValues]:
    """Each step in a thread: a long list must not stop the calls of other campaigns."""
    while (batch := await to_thread.run_sync(next, batches, None)) is not None:
        yield batch


def _as_text(value: Any, where: str) -> str:
    """A number or a secret as text.

    Raises:
        UsageError: it is neither.
    """
    if isinstance(value, Secret):
        return value.reveal()
    if hasattr(value, "as_py"):  # one of pyarrow's
        value = value.as_py()
    if isinstance(value, str):
        return str.__str__(value)
    if (digits := whole_number(value)) is not None:
        return digits
    is_nan = isinstance(value, float) and math.isnan(value)
    raise UsageError(
        f"{where} is {'NaN' if is_nan else f'a {type(value).__name__}'}, so who is meant is lost; "
        "give keys and addresses as text or whole numbers"
    )
