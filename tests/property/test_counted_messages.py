"""Messages per person, counted over any campaigns: both kinds of journal find what a plain count finds."""

from __future__ import annotations

import asyncio
import secrets
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from journal_rows import DAY, NOW, everybody, record, result, row, take

from promomsg.clock import DAY as DAY_SECONDS
from promomsg.journal.contract import Handle, Journal
from promomsg.journal.frequency.cap_contract import MessageCap
from promomsg.journal.postgres.journal import PostgresJournal
from promomsg.journal.records import Control, PlannedRow
from promomsg.journal.sqlite.journal import SqliteJournal
from promomsg.model import Code, State

SINCE = NOW + 5 * DAY_SECONDS
SHAPES = ("key and id", "id", "key and openid")


class Listed(NamedTuple):
    """A person in a list, and how the list names them."""

    person: int
    shape: str

    @property
    def fields(self) -> dict[str, Any]:
        id, openid = str(1000 + self.person), f"o{self.person}"
        return {
            "key and id": {"key": f"k{self.person}", "id": id},
            "id": {"key": id, "id": id},
            "key and openid": {"key": f"k{self.person}", "id": None, "openid": openid},
        }[self.shape]

    @property
    def values(self) -> set[str]:
        return {value for value in self.fields.values() if value is not None}

    def row(self, seq: int) -> PlannedRow:
        return row(seq, **self.fields)


class Earlier(NamedTuple):
    """Another campaign: what became of each row, and on which day (`p`, `i`, `s`, `u`, `f` as `states`)."""

    rows: list[tuple[Listed, str, int]]
    retried: bool
    cancelled: bool
    ours: bool

    def messages(self, values: set[str]) -> int:
        """Those that somebody with one of these keys and addresses had since then, or will have."""
        count = 0
        for listed, state, day in self.rows if self.ours else ():
            if not values & listed.values:
                continue
            late = NOW + day * DAY_SECONDS >= SINCE
            if state == "p":
                count += not self.cancelled
            elif state in "su" or state == "i":
                count += late
            if state in "ui" and self.retried:
                count += 1  # pending again, and maybe sent before
        return count


a_person = st.integers(0, 4)
a_listed = st.builds(Listed, a_person, st.sampled_from(SHAPES))
some_rows = st.lists(
    st.tuples(a_listed, st.sampled_from("pisuf"), st.integers(0, 9)),
    min_size=1, max_size=5, unique_by=lambda one: one[0].person,
)  # fmt: skip
an_earlier = st.builds(
    Earlier, some_rows, st.booleans(), st.booleans(), st.integers(0, 5).map(bool)
)


async def write(journal: Journal, account: str, earlier: Earlier) -> None:
    """Makes that campaign, by what a sender does."""
    account = account if earlier.ours else f"{account}-other"
    handle = await planned(journal, account, [listed for listed, _, _ in earlier.rows])
    await handle.seal(record(account=account, planned_at=NOW), chunk_size=100)
    lease = await take(handle)
    for seq, (_, state, day) in enumerate(earlier.rows):
        at = NOW + day * DAY_SECONDS
        if state != "p":
            assert await handle.intend(lease, [seq], at, DAY)
        if state in "suf" or (state == "i" and earlier.retried):
            word = {"s": "sent", "f": "failed"}.get(state, "unknown")
            assert await handle.settle(
                lease, [result(seq, word, at=at, code="" if word == "sent" else "X")]
            )
    if earlier.retried:
        await handle.release(lease)
        await handle.reopen(State.UNKNOWN, include_unnamed=False, at=NOW)
        await handle.seal_retry(chunk_size=100)
    await handle.close()
    if earlier.cancelled:
        await journal.request(Control.CANCEL)


async def planned(journal: Journal, account: str, people: list[Listed]) -> Handle:
    handle = await journal.create(record(account=account))
    await handle.add_rows([listed.row(seq) for seq, listed in enumerate(people)])
    return handle


def expected(people: list[Listed], others: list[Earlier], most: int) -> set[int]:
    """The rows that are over the cap, by a plain count; those that are there twice left out."""
    first = without_repeats(people)
    over = set()
    for seq in first:
        values = set(people[seq].values)
        for at, listed in enumerate(people):
            if at not in first and listed.values & people[seq].values:
                values |= listed.values
        if sum(one.messages(values) for one in others) >= most:
            over.add(seq)
    return over


def without_repeats(people: list[Listed]) -> list[int]:
    """The rows that are left when the same keys, then the same addresses, were taken for the same people."""
    left = list(range(len(people)))
    for name in ("key", "id", "openid"):
        seen: set[str] = set()
        rows, left = left, []
        for seq in rows:
            value = people[seq].fields.get(name)
            if value not in seen:
                left.append(seq)
            seen |= {value} if value is not None else set()
    return left


def over(outcomes: list[Any]) -> set[int]:
    return {seq for seq, o in enumerate(outcomes) if o.code == Code.MAX_PER_PERSON}


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_a_count_over_the_journals_of_a_folder_is_the_plain_one(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(compare(_maker("file", Path(folder), ""), data))


@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_count_over_the_campaigns_of_a_database_is_the_plain_one(
    postgres: str, data: st.DataObject
) -> None:
    asyncio.run(compare(_maker("fleet", Path(), postgres), data))


def _maker(kind: str, folder: Path, database: str) -> Callable[[str], Journal]:
    if kind == "file":
        return lambda name: SqliteJournal(folder / f"{name}.db", durability="process")
    run = secrets.token_hex(6)
    return lambda name: PostgresJournal(database, f"{run}-{name}")


async def compare(make: Callable[[str], Journal], data: st.DataObject) -> None:
    others = data.draw(st.lists(an_earlier, max_size=3))
    people = data.draw(st.lists(a_listed, min_size=1, max_size=6))
    most = data.draw(st.integers(1, 3))
    account = secrets.token_hex(6)
    for number, earlier in enumerate(others):
        await write(make(f"other{number}"), account, earlier)
    cap = MessageCap(most, SINCE, f"{most} in 5d")
    wanted = expected(people, others, most)
    handle = await planned(make("own"), account, people)
    await handle.mark_duplicates(("id", "openid", "unionid"))
    found = await handle.skip_over_cap(cap, smallest_group=50, at=NOW)
    assert over(await everybody(handle)) == wanted
    assert found.skipped == len(wanted) == (await handle.counts()).by_code.get("MAX_PER_PERSON", 0)
    await handle.close()
    # Once the plan is complete: the same, and whoever is left is sent to.
    handle = await planned(make("complete"), account, people)
    await handle.mark_duplicates(("id", "openid", "unionid"))
    await handle.seal(record(account=account, planned_at=NOW), chunk_size=2)
    assert await handle.hold_cap()
    assert (await handle.skip_over_cap(cap, smallest_group=50, at=NOW)).skipped == len(wanted)
    await handle.release_cap()
    assert over(await everybody(handle)) == wanted
    pending = {seq for seq, o in enumerate(await everybody(handle)) if o.state is State.PENDING}
    taken = set()
    while lease := await handle.take(groups=False, singles=True, idempotent=False):
        taken |= {one.seq for one in lease.single_sends}
    assert taken == pending
    await handle.close()
