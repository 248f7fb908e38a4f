"""What every journal promises while a plan is made in it: the first part of a campaign's handle."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, Protocol

from promomsg.journal.frequency.cap_contract import CapCounter
from promomsg.journal.planned_columns import PlannedColumns
from promomsg.journal.records import UNIQUE, CampaignRecord, Place, PlannedRow, SharedMessage
from promomsg.model import Secret, State

__all__ = ["KeptTokens", "PlanWriter", "RecipientTokens", "Replanning"]


class RecipientTokens(Protocol):
    """The user tokens of one campaign, by the recipient's number."""

    async def put(self, tokens: Iterable[tuple[int, str]]) -> None:
        """Keeps tokens; most recipients of a call have consecutive numbers."""
        ...

    async def get_many(self, numbers: Sequence[int]) -> list[Secret | None]:
        """The token of each; None for who has none."""
        ...

    def close(self) -> None:
        """Lets go of the tokens; those that only this process has are gone."""
        ...


class KeptTokens(RecipientTokens, Protocol):
    """Those that the journal keeps, encrypted, until their recipients are final: whoever has the key
    sends the campaign without its list."""

    async def has_all(self) -> bool:
        """Whether everybody who is still to be sent to has one: who is asked for again after the end
        (`Handle.reopen`) has none any more."""
        ...


class PlanWriter(CapCounter, Protocol):
    """A plan in the making.

    Rows are added in batches, then come the set-based steps, then `seal`. Nothing can be taken
    before `seal`; planning that did not reach it is thrown away when the handle is closed.
    """

    async def add_rows(self, rows: Sequence[PlannedRow]) -> None:
        """Adds a batch of rows as they were read, in order of seq."""

    async def add_columns(self, rows: PlannedColumns) -> None:
        """Adds a batch of pending rows, in order of seq, given as columns. Its guesses of groups
        are confirmed or taken back by `shared_messages` and `make_groups`."""

    async def assign_ids(self, found: Sequence[tuple[str | None, str | None, str]]) -> int:
        """Gives pending rows without an id the promoter id that was found for their openid or
        unionid: (openid, unionid, id) each; returns how many rows got one. Before `seal` only."""

    async def list_suppressed(
        self,
        values: Sequence[str],
        spellings: Sequence[str] = (),
        doubtful: Sequence[tuple[str, str, str | None, bool]] = (),
        *,
        first: bool = False,
        secret: bool = False,
    ) -> int:
        """Adds a batch to the suppression list of this run; returns how many values are new.

        Args:
            values: keys and addresses.
            spellings: other ways in which the same are written; not counted.
            doubtful: value, what to say, what is inside of it, whether from a key column. Nothing
                inside: refused unless the campaign has just that key. Else: refused if what is
                inside is a key (or an address, unless from a key column) of the campaign and the
                value itself is none.
            first: the list begins anew.
            secret: any of the values may be a user token: they are kept and compared by their
                fingerprints, with those of the tokens too. The same for every batch.
        """

    async def absent_key(self) -> str | None:
        """What to say of the first of the `doubtful` values that is to be refused; None: none is."""

    async def suppress(self, columns: Collection[str] = UNIQUE) -> int:
        """Skips (`SUPPRESSED`) pending rows of everybody whose key or address is on the list.

        It holds for the person: a row that shares its key, or one of these columns, with one that
        is named, whatever the state of that one, is skipped too."""

    async def left_out(self) -> int:
        """How many rows the list that was looked at last has left out (`SUPPRESSED`)."""

    async def select(self, keys: Iterable[str]) -> int:
        """Skips (`NOT_SELECTED`) pending rows whose key is not in `keys`; returns how many stay."""

    async def mark_duplicates(
        self, columns: Collection[str] = UNIQUE, places: Sequence[Place] = ()
    ) -> int:
        """Skips pending rows whose key, then whose value of one of these columns, an earlier
        pending row has; returns how many.

        Their code is `DUPLICATE_KEY`, `DUPLICATE_ADDRESS` or `DUPLICATE_REQUEST_ID`; the detail
        names the earlier row's key and, by `places` (in order of seq), where it stands. Access
        tokens are compared by their fingerprints."""

    async def pending_keys(self, after: int, limit: int) -> list[tuple[int, str, int]]:
        """(seq, key, cohort) of the next pending rows whose seq is above `after`, in order of seq."""

    async def set_cohort(self, seqs: Sequence[int], cohort: int) -> None:
        """Puts these rows into another cohort. Before any group is made."""

    async def shared_messages(self, at_least: int) -> list[SharedMessage]:
        """Each rendered message that at least so many pending singles with an id, of one cohort,
        share: by digest and cohort. The digest is None for a message without placeholders, which
        comes first."""

    async def make_groups(
        self, message_digest: bytes | None, sizes: Sequence[int], cohort: int = 0
    ) -> None:
        """Puts those of a cohort who share that message, in order of seq, into new groups of these
        sizes.

        Raises:
            JournalError: there are fewer of them, or a size is below 1.
        """

    async def add_audience_group(self, audience: Mapping[str, Any], planned: int) -> None:
        """A group of `planned` people who are not rows; see `GroupRow.audience`."""

    async def recipient_tokens(self, *, make: bool = False) -> KeptTokens | None:
        """The user tokens that this journal keeps; None: it keeps none, and each process needs its
        own.

        Args:
            make: begins to keep them, where the journal can.

        Raises:
            JournalError: they are encrypted with a key that is not here.
            UsageError: the key cannot be read.
        """

    async def seal(self, record: CampaignRecord, *, chunk_size: int) -> None:
        """Cuts the singles of each cohort into chunks, keeps `record` and makes the plan durable, at
        once."""

    async def sample(self, limit: int) -> list[tuple[str, str, tuple[str, ...]]]:
        """The first pending rows: (key, address, values)."""

    async def plan_counts(self) -> tuple[int, int]:
        """(singles, groups) that are pending: calls to make."""


class Replanning(Protocol):
    """A plan that is complete, and is changed between two runs."""

    async def reopen(self, state: State, *, include_unnamed: bool, at: float) -> int:
        """`retry`: failed (or unknown) recipients are pending again; returns how many.

        Their attempt is kept in the history, and they leave their group: the caller makes new ones
        (`shared_messages`, `make_groups`), then calls `seal_retry`. Failed ones get a new
        generation of their idempotency key; unknown ones keep it, and are maybe sent from then on.
        Rows that planning refused stay; those with the code `UNNAMED` too, without
        `include_unnamed`.

        Raises:
            JournalError: singles are intended, or `state` is neither failed nor unknown.
        """

    async def seal_retry(self, *, chunk_size: int) -> None:
        """Cuts what `reopen` made pending into chunks, and makes it durable."""

    async def suppress_pending(
        self,
        columns: Collection[str] = UNIQUE,
        *,
        smallest_group: int,
        at: float,
    ) -> int:
        """`suppress` for a plan that is complete; returns how many are not sent to any more.

        Who is in a planned group leaves it; a group that would have fewer than `smallest_group`
        then is cancelled, and its others become singles. Groups that are out keep theirs.

        Raises:
            JournalError: singles are intended.
        """
