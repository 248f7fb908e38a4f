"""What every journal keeps and promises: one contract, made for many machines from the start.

- A **lease** is the right to send one chunk of singles, or one whole group, for `lease_life`
  seconds by the journal's own clock. It carries an *epoch*: `take` raises it, and whoever holds an
  older one is refused (the method returns False and changes nothing). Where one process sends,
  nobody else takes a lease; where several do, this is what stops a sender that was given up for
  dead (docs/design.md, "Leases").
- **A journal that is away**: one on a server may not be reachable for a while. Its handle repeats what
  it was asked for until it is, for `lease_life` seconds at the most (`journal.unreachable`), and then
  raises `JournalUnreachable`. So that a repetition does nothing twice, `intend` and `settle` take a
  row that is as they would leave it, under the same epoch and with the same `at`, for done.
- A **state** changes only along `promomsg.states`; else `IllegalMove` is raised, and nothing changed.
- **Maybe sent**: an earlier attempt of a recipient who is pending again may have been delivered.
  Whatever would make them failed, skipped or cancelled makes them unknown instead, with the reason
  of that attempt.
- **Attempts**: `intend` counts a single's. A group's are its members' too, once it is over.
- **Times** are Unix seconds, passed in by the caller; only how long a lease lives is the journal's
  own clock's to say. `seq` is a row's number in the list, `group_no` a group's, from 1.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from promomsg.journal.answers_contract import ProviderAnswers
from promomsg.journal.plan_contract import PlanWriter, Replanning
from promomsg.journal.read_contract import CampaignView, Rows
from promomsg.journal.reasons import CANCELLED
from promomsg.journal.records import (
    NEVER,
    CampaignRecord,
    Control,
    ControlRow,
    Counts,
    FirstFew,
    GroupCounts,
    GroupRow,
    Lease,
    Outage,
    Reached,
    Reason,
    Recovered,
    SendResult,
)
from promomsg.model import Failure, Outcome, State
from promomsg.transport.token_store import TokenStore

if TYPE_CHECKING:
    from promomsg.transport.quota.store import QuotaStore

__all__ = ["FLEET", "CampaignView", "Handle", "Journal", "Rows"]

FLEET: Final = "fleet:"
"""How an address begins that is a campaign's name in a database (`Journal.address`)."""


class Handle(PlanWriter, Replanning, ProviderAnswers, Protocol):
    """One open campaign, its planning (`plan_contract`) and what the provider says of it later
    (`answers_contract`) included. Every method raises `JournalError` when the journal cannot do it.

    Writes of one moment are committed together (group commit); a method that writes returns when
    its write is durable, as the journal's durability setting says.
    """

    @property
    def record(self) -> CampaignRecord:
        """The campaign, as it was last read or saved here."""

    @property
    def path(self) -> str | None:
        """Where the journal is; None in memory."""

    @property
    def lease_life(self) -> float:
        """Seconds for which a lease is good, unless it is renewed."""

    @property
    def linger(self) -> float:
        """Seconds that a result nobody waits for is held back, so that more go into one commit."""

    # Sending.
    async def take(
        self,
        *,
        groups: bool,
        singles: bool,
        idempotent: bool,
        cohorts: Sequence[int] | None = None,
    ) -> Lease | None:
        """The next chunk with work that no lease holds; None when there is none.

        It is held for `lease_life` seconds, counted by the journal: then another may take it. In the
        same step whatever its last holder left intended is ended: singles are unknown
        (`INTERRUPTED`), or pending and maybe sent when the channel is idempotent; a group is lost.
        The `at` of a single stays that of its intent.

        Args:
            groups, singles: which kinds are wanted (groups first).
            idempotent: whether the channel's provider deduplicates on our key.
            cohorts: the cohorts that may be sent to now; None: all of them.
        """

    async def is_work_left(
        self, *, groups: bool, singles: bool, cohorts: Sequence[int] | None = None
    ) -> bool:
        """Whether chunks of these kinds are not done, whoever holds them: who has nothing to take and
        holds none waits meanwhile, since they may come back. Never where only one may send, unless it
        asks for some `cohorts` alone: for those that it may not take from now."""

    async def renew(self, leases: Sequence[Lease]) -> frozenset[int]:
        """Each lease for another `lease_life` seconds from now, all in one step; the numbers of the
        chunks that are still held. The others have moved on or were given back. One that has run out,
        and that nobody took meanwhile, is held again."""

    async def release(self, lease: Lease) -> None:
        """Gives it back; the chunk is done when nothing of it is pending. A lease that has moved on
        gives nothing back; nor does one of which something is intended: it is held on, to be given
        back once that is settled."""

    async def intend(self, lease: Lease, seqs: Sequence[int], at: float, day: str) -> bool:
        """pending → intended, durable. False, and nothing changed: the lease has moved on or run
        out, the campaign is paused or cancelled, or a row's message was refused meanwhile
        (`refuse_message`).

        `day` is the China-time day (`2026-11-24`) whose single count is raised. Rows that are
        intended already at this very `at`, under this epoch, count once, and need nothing more.

        Raises:
            IllegalMove: a row is not pending, or not of this chunk; nothing changed.
        """

    async def make_slots(self, most: int) -> None:
        """Prepares `mark_leaving` for `most` calls out at once (a call is out until its result is
        durable): one for each permit, group calls too.

        For every run, before its first intent: from then on a later process's `recover` takes who is
        intended and not marked for not called; without it all of them are in doubt there. A second
        call does nothing."""

    def mark_leaving(self, lease: Lease, seq: int | None = None) -> None:
        """Says that the first byte of the call of this row (None: of the lease's group) is about to
        be handed over: right before that, in every call. It is kept until the row's, or group's,
        result is durable. A store into memory that never raises: what cannot be marked puts all
        who are intended in doubt."""

    async def settle(self, lease: Lease, results: Sequence[SendResult]) -> bool:
        """intended → the given states, durable. Rows that have the given state already at this
        very `at`, under this epoch, are left as they are.

        False: the lease moved on, and nothing changed but this: who is unknown (`INTERRUPTED`)
        since the chunk was taken over, for the same attempt (`SendResult.intended_at`), becomes sent
        or failed, as it really came to. Whom the user has asked for again since (`reopen`) stays.

        Raises:
            IllegalMove: a row is not intended, or the state is not one of the four; nothing changed.
        """

    async def refuse_message(self, seq: int, reason: Reason, at: float) -> int:
        """The message of row `seq` was refused for everybody: every other *pending* single and
        every planned group with the same rendered message fails; returns how many recipients."""

    # A group's call. False, and nothing changed: the lease moved on. IllegalMove: not intended.
    async def intend_group(self, lease: Lease, at: float) -> bool:
        """planned → intended, durable; the attempt is counted. False also when it is paused or
        cancelled, or its message was refused meanwhile."""

    async def group_members(self, group_no: int) -> list[str]:
        """The promoter ids of a group's members, in order of seq."""

    async def accept_group(
        self, lease: Lease, msg_id: str, rid: str | None, at: float, next_poll_at: float
    ) -> bool:
        """Taken: intended → accepted; its members stay pending until it is complete."""

    async def return_group(self, lease: Lease, reason: Reason, called: bool = True) -> bool:
        """Not sent: intended → planned. `called` False: the attempt is not counted."""

    async def refuse_group(
        self, lease: Lease, reason: Reason, at: float, *, everybody: bool = True
    ) -> bool:
        """Refused: its members fail. `everybody`: the message is refused, so the planned groups
        and pending singles with the same rendered message fail too."""

    async def lose_group(self, lease: Lease, reason: Reason, at: float) -> bool:
        """The answer was lost: all its members are unknown."""

    # Following.
    async def groups(self) -> list[GroupRow]:
        """Every group. A campaign may have thousands: for one of them there is `group`."""

    async def group(self, group_no: int) -> GroupRow:
        """One group. Raises JournalError: there is none of that number."""

    async def poll_group(
        self,
        group_no: int,
        counts: GroupCounts,
        next_poll_at: float,
        *,
        polls: int | None = None,
        at_100: bool = False,
        given_up: bool = False,
        warned_of_age: bool = False,
    ) -> bool:
        """What a poll said that did not end it. False, and nothing changed: the group is not
        accepted any more, or somebody else has polled it meanwhile.

        Args:
            polls: `GroupRow.polls` as the caller knows it; None: whatever it is by now.
            at_100: this poll found it at 100 (`GroupRow.polls_at_100`).
            given_up: no more polls for now (`GroupRow.given_up`).
            warned_of_age: it was said that its result can be had for another day only.
        """

    async def complete_group(
        self,
        group_no: int,
        counts: GroupCounts,
        *,
        failures: Sequence[Failure],
        unnamed: int,
        at: float,
        warnings: Sequence[str] = (),
    ) -> list[str] | None:
        """accepted → done, and all its members with it, in one commit. None, and nothing changed: it
        is over already, by somebody else who polled it.

        Members named in `failures` fail with their code; the others are sent when `unnamed` (how
        many failures have no name) is 0, else unknown (`UNNAMED`). Who is named and no member, or
        named twice, changes nobody. Of an audience: named ones become failed rows, the unnamed
        failures count as failed, the rest as sent, and `planned` is corrected to `send_cnt`.

        Returns:
            Warnings of its own (strangers named, a corrected count), kept beside `warnings`.

        Raises:
            IllegalMove: it was never accepted; nothing changed.
        """

    async def expire_group(self, group_no: int, at: float) -> bool:
        """Its result cannot be had any more: members still pending are unknown (`EXPIRED`). False,
        and IllegalMove: as `complete_group`."""

    async def adopt_group(self, group_no: int, msg_id: str, at: float, next_poll_at: float) -> None:
        """At the user's request: an unknown group was found to be `msg_id`; its unknown members are
        pending again, and polled. Their attempt is kept in the history and no longer counted."""

    # Recovery after a process has ended, and what the user asks for.
    async def recover(self, *, idempotent: bool, at: float, day: str, recent: int) -> Recovered:
        """What an earlier process left intended becomes unknown (`INTERRUPTED`), or pending and
        maybe sent when the channel is idempotent; an intended group is lost. Every lease is taken
        back.

        Whoever was surely not called (`make_slots`) is pending, and their group planned, as if never
        intended.

        Args:
            day: the China-time day whose singles are counted (`Recovered.singles_today`).
            recent: how many of the latest intents are wanted (`Recovered.recent`).
        """

    async def cancel_pending(self, at: float, reason: Reason = CANCELLED) -> int:
        """Pending singles and planned groups are cancelled; groups that are out are followed on. Returns
        how many people are not sent to any more."""

    async def set_control(self, control: Control) -> None:
        """Writes what is asked of the senders; see `Journal.request`."""

    async def control(self) -> ControlRow:
        """What is asked of the senders now, and whether one of them has stopped or parked the
        campaign, in one look."""

    async def set_first_few(self, found: FirstFew | None, *, instead_of: FirstFew | None) -> bool:
        """Keeps how far the first few got; every sender has it with `control`. False, and nothing
        changed: what was kept is not `instead_of` (any more)."""

    async def halt(self, code: str, detail: str) -> None:
        """Stops the campaign for every sender, each at its next look at `control`. The first halt
        stays (`CampaignRecord.halted`) until `resume`."""

    async def halt_by_first(self, code: str, detail: str, *, seen: FirstFew | None) -> bool:
        """The same for how the first few came out, as far as `seen` keeps it. False, and nothing changed:
        something else is kept by now, such as a person's word that the others follow."""

    async def park(self, until: float) -> None:
        """Nobody sends before that moment (Unix seconds): a new day, its start, its next hours."""

    async def resume(self, at: float) -> None:
        """At the user's request, before a campaign goes on: it is neither halted nor parked any more,
        and groups that were given up are followed again, from `at` on."""

    async def missing(self) -> str | None:
        """Why nothing more may be sent from it, in one line: its file or its lock is not where it
        was; None while all is well."""

    async def save(self, record: CampaignRecord) -> None:
        """Replaces the campaign's record, but for its `outage`."""

    async def keep_outage(self, outage: Outage | None) -> None:
        """Keeps the outage that is going on for the runs to come; None: it is over."""

    async def warn(self, text: str) -> None:
        """Keeps a warning, once."""

    # Reading.
    async def counts(self) -> Counts:
        """How many are in each state."""

    async def cohort_counts(self, cohorts: Sequence[int] | None = None) -> dict[int, Counts]:
        """How many rows of each of these cohorts (None: of all) are in each state. It looks at all of
        them; the people of an audience that was not expanded are not in it."""

    async def untouched(self) -> bool:
        """Whether a message has surely reached nobody: no recipient is, or was, intended, sent,
        unknown or maybe sent, and no group send was taken or lost."""

    async def outcomes(
        self, *, after: tuple[int, int] = (-1, 0), limit: int = 500
    ) -> tuple[list[Outcome], tuple[int, int]]:
        """Outcomes in the order in which they became final, from a cursor on; the next cursor.

        What planning left final comes first. An outcome that was taken back (`reopen`, `adopt_group`)
        is left out: it comes again when it is final again."""

    async def outcomes_end(self) -> tuple[int, int]:
        """The cursor behind everything that is final now: for those who want only what comes."""

    def rows(self, states: Iterable[State] | None = None) -> AsyncIterator[list[Outcome]]:
        """Every row (or those in `states`) in order of seq, in pages: for reports."""

    async def close(self) -> None:
        """Writes what is queued and lets go of the journal; half a plan is thrown away."""


class Journal(Protocol):
    """A place that keeps one campaign."""

    def reader(self) -> CampaignView:
        """The campaign to look at.

        Raises:
            JournalError: there is none, it is another version's, or it cannot be read.
        """

    def is_being_sent(self) -> bool:
        """Whether a sender is at work on it now, in whatever process."""

    def senders(self) -> list[str]:
        """Who is, as far as it is known: `process 12`, or `host:12` of one on any machine. Who died on
        another machine is named until its leases end."""

    def reached(self, since: float = NEVER, *, pending: bool = False) -> Iterator[list[Reached]]:
        """Everybody that this campaign sent to or may have since then (Unix seconds), in pages: who is,
        or before a retry was, sent, unknown or intended, or is maybe sent; members of taken groups.

        Args:
            pending: also who is still to be sent to; and of an audience that was sent to as one group, those
                whom it names (its failures: no other can be in a report).

        Raises:
            JournalError: there is no journal, or it cannot be read; or it sent to an audience as
                one group, whose members it does not name (unless `pending`).
        """

    @property
    def path(self) -> str | None:
        """Where it is; None in memory, and where it is no file."""

    @property
    def address(self) -> str | None:
        """What `journal=` finds it by: a file's path, or `fleet:NAME`; None in memory."""

    def exists(self) -> bool:
        """Whether there is a campaign, or in a file's place anything else; half a plan is none."""

    def rows_later(self) -> Rows:
        """What a report reads single outcomes from, from now on."""

    def discard(self) -> None:
        """Removes the campaign and everything beside it."""

    async def create(self, record: CampaignRecord) -> Handle:
        """A new campaign, as its sender. Raises JournalError when there is one already."""

    async def open(self, *, write: bool = False, after_lost_wal: bool = False) -> Handle:
        """The campaign that is there. `write` takes the sender's lock, which dies with its process.
        `after_lost_wal`: go on although commits may be lost: whoever may have been sent to since is left
        intended, for `recover`.

        Raises:
            JournalError: there is none, it is another version's, it cannot be read or is damaged,
                commits of it may be lost (only with `write`), or another process is sending it.
        """

    def token_store(self, channel: str, origin: str, account: str) -> TokenStore | None:
        """Where the account's access token is, for everybody who sends for it through this journal;
        None: each process has its own. Nothing is opened; the arguments are those of `quota_store`.

        Raises:
            UsageError: the key that it is encrypted with cannot be read.
        """

    def quota_store(self, channel: str, origin: str, account: str) -> QuotaStore | None:
        """Where the senders of an account share its quota, whatever machine they are on; nothing is opened.
        None: they share what each machine has for itself.

        Args:
            channel: its name, `wechat` say.
            origin: the provider's server, as `promomsg.url_origins.origin` has it.
            account: as `Channel.account`.
        """

    async def request(self, control: Control) -> None:
        """From any process: asks the sender to pause, go on or cancel (a control row)."""
