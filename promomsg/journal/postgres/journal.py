"""The PostgreSQL journal: one campaign of a database, which its name finds.

Its plan is written to a table of its own and becomes the campaign in one transaction, `seal`. Who
makes it holds an advisory lock until then; a plan whose maker has died is thrown away by the next.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Final

import psycopg

from promomsg.errors import JournalError, UsageError
from promomsg.journal.contract import FLEET
from promomsg.journal.postgres import campaign_tables
from promomsg.journal.postgres.access import CampaignAccess
from promomsg.journal.postgres.account_quota.quota_rows import QuotaRows
from promomsg.journal.postgres.connections.lost_answers import watched
from promomsg.journal.postgres.database import (
    ASK_AGAIN,
    Connection,
    connect,
    connect_now,
    explain,
    is_at_work,
    place,
    standby_warning,
)
from promomsg.journal.postgres.handle import PostgresHandle
from promomsg.journal.postgres.planning.reached import reached_pages
from promomsg.journal.postgres.reader import PostgresRows, PostgresView
from promomsg.journal.postgres.schema import prepare_schema
from promomsg.journal.postgres.sealed.account_tokens import TOKEN_PURPOSE, AccountTokens
from promomsg.journal.postgres.sealed.fleet_keys import FleetKeys
from promomsg.journal.postgres.statements.campaign_row import read_record
from promomsg.journal.postgres.statements.transaction import CampaignReads
from promomsg.journal.records import NEVER, CampaignRecord, Control, Reached
from promomsg.suggest import did_you_mean
from promomsg.transport.token_store import TokenStore

__all__ = ["PostgresJournal"]

_LONGEST_NAME: Final = 200


class PostgresJournal:
    """A campaign in a PostgreSQL database, which many processes on many machines may send.

    Args:
        url: of the database, as libpq takes it (`"postgresql://host/fleet"`); parts that it leaves
            out come from libpq's environment variables and password file.
        name: the campaign's name there, up to 200 characters.
        worker: who writes, in the leases and the tally; None: this machine and process.
        then: what an error of the server tells people to do once it can do it again.
    """

    def __init__(
        self, url: str, name: str, *, worker: str | None = None, then: str = "resume"
    ) -> None:
        if not isinstance(url, str) or not isinstance(name, str) or not name.strip():
            raise UsageError("a PostgresJournal takes the URL of a database and a campaign's name")
        if len(name) > _LONGEST_NAME or not name.isprintable():
            raise UsageError(
                f"journal {name!r}: a name is up to {_LONGEST_NAME} printable characters"
            )
        self._where = place(url)
        self.url = url
        self.name = name
        self._shown = f"{FLEET}{name}"
        self.worker = worker or f"{socket.gethostname()}:{os.getpid()}"
        self._then = then

    def __repr__(self) -> str:
        return f"PostgresJournal({self._where}, {self.name!r})"

    def __str__(self) -> str:
        return self._shown

    @property
    def path(self) -> str | None:
        """None: it is no file."""
        return None

    @property
    def address(self) -> str:
        """See `Journal.address`."""
        return self._shown

    @classmethod
    async def prepare(cls, url: str) -> None:
        """Makes the tables in a database, in a schema `promomsg`, or brings them to this version's.

        Raises:
            JournalError: it cannot be reached, its schema `promomsg` is somebody else's, or its
                tables are of a newer version.
        """
        db = await connect(url, check=False, then=ASK_AGAIN)
        try:
            await prepare_schema(db, place(url))
        except psycopg.Error as error:
            raise explain(error, place(url), ASK_AGAIN) from None
        finally:
            await db.close()

    async def create(self, record: CampaignRecord) -> PostgresHandle:
        """A new campaign.

        Raises:
            JournalError: there is one of that name already, somebody is making one, or the database
                cannot be used.
        """
        db = await connect(self.url, then=self._then)
        try:
            with self._watched(db):
                campaign = await self._create(db, record)
        except psycopg.Error as error:
            await db.close()
            raise explain(error, self._where, self._then) from None
        except BaseException:
            await db.close()
            raise
        access = self._access(campaign, session=db, writes=True)
        handle = PostgresHandle(record, access, planning=True)
        await self._begin(handle, access, db)
        return handle

    async def _create(self, db: Connection, record: CampaignRecord) -> int:
        while True:
            campaign = await campaign_tables.add_tables(db, self.name, record)
            if campaign is not None:
                return campaign
            found = await self._find(db)
            if found is None:
                continue
            campaign, is_planned = found
            if is_planned:
                raise JournalError(
                    f"{self._shown}: there is a campaign already; resume it, or give another name"
                )
            key = campaign_tables.planning_key(campaign)
            cursor = await db.execute(f"SELECT pg_try_advisory_lock({key})".encode())
            if not (await cursor.fetchone() or (False,))[0]:
                raise JournalError(
                    f"{self._shown}: somebody is planning it; wait for it to end, or give another name"
                )
            await campaign_tables.remove_half_plan(db, campaign)

    async def _find(self, db: Connection) -> tuple[int, bool] | None:
        """(number, whether its plan is complete) of the campaign; None: there is none."""
        row = await (await db.execute(campaign_tables.find, (self.name,))).fetchone()
        return None if row is None else (int(row[0]), row[1] is not None)

    def _access(
        self,
        campaign: int,
        *,
        session: Connection | None = None,
        idle: Connection | None = None,
        writes: bool,
    ) -> CampaignAccess:
        return CampaignAccess(
            self.url,
            self._shown,
            campaign,
            worker=self.worker,
            session=session,
            idle=idle,
            writes=writes,
            then=self._then,
        )

    async def open(self, *, write: bool = False, after_lost_wal: bool = False) -> PostgresHandle:
        """See `Journal.open`. Any number of processes may have it open with `write`."""
        db = await connect(
            self.url, idle_in_transaction=CampaignAccess.lease_life / 3, then=self._then
        )
        try:
            with self._watched(db):
                found = await self._is_planned(db)
                record = await read_record(CampaignReads(db, found))
            if record is None:
                raise JournalError(f"{self._shown}: there is no such campaign any more")
        except psycopg.Error as error:
            await db.close()
            raise explain(error, self._where, self._then) from None
        except BaseException:
            await db.close()
            raise
        access = self._access(found, idle=db, writes=write)
        handle = PostgresHandle(record, access)
        if write:
            await self._begin(handle, access, db)
        return handle

    async def _begin(self, handle: PostgresHandle, access: CampaignAccess, db: Connection) -> None:
        """Says that a sender is at work; what there is to say of the server is a warning."""
        try:
            with self._watched(db):
                await access.announce(db)
                warning = await standby_warning(db)
        except psycopg.Error as error:
            await handle.close()
            raise explain(error, self._where, self._then) from None
        if warning is not None:
            await handle.warn(warning)

    def _watched(self, db: Connection) -> AbstractContextManager[None]:
        """As `CampaignAccess.watched`, before there is one, and where none is needed."""
        return watched(
            db, lambda: is_at_work(self.url, db.process), every=CampaignAccess.lease_life / 5
        )

    async def _is_planned(self, db: Connection) -> int:
        found = await self._find(db)
        names = [] if found else await (await db.execute(campaign_tables.names)).fetchall()
        return self._number(found, names)

    def _is_planned_now(self, db: psycopg.Connection[tuple[Any, ...]]) -> int:
        found = self._find_now(db)
        return self._number(found, [] if found else db.execute(campaign_tables.names).fetchall())

    def _number(self, found: tuple[int, bool] | None, names: Sequence[tuple[Any, ...]]) -> int:
        if found is None:
            hint = did_you_mean(self.name, [name for (name,) in names]) or "; check the name"
            raise JournalError(f"{self._shown}: there is no such campaign in {self._where}{hint}")
        campaign, is_planned = found
        if not is_planned:
            raise JournalError(
                f"{self._shown}: its plan is not complete and nothing was sent; wait for whoever makes it, or send it anew"
            )
        return campaign

    async def request(self, control: Control) -> None:
        """Writes the control row; senders see it at their next intent."""
        db = await connect(self.url, then=ASK_AGAIN)
        try:
            with self._watched(db):
                campaign = await self._is_planned(db)
                await db.execute(
                    b"UPDATE control SET requested = %s WHERE campaign = %s",
                    (control.value, campaign),
                )
        except psycopg.Error as error:
            raise explain(error, self._where, ASK_AGAIN) from None
        finally:
            await db.close()

    def _find_now(self, db: psycopg.Connection[tuple[Any, ...]]) -> tuple[int, bool] | None:
        row = db.execute(campaign_tables.find, (self.name,)).fetchone()
        return None if row is None else (int(row[0]), row[1] is not None)

    def reached(self, since: float = NEVER, *, pending: bool = False) -> Iterator[list[Reached]]:
        """See `Journal.reached`: by short reads, while senders run and after."""
        try:
            with connect_now(self.url) as db:
                campaign = self._is_planned_now(db)
                yield from reached_pages(db, campaign, self._shown, since, pending=pending)
        except psycopg.Error as error:
            raise explain(error, self._where, ASK_AGAIN) from None

    def rows_later(self) -> PostgresRows:
        """See `Journal.rows_later`."""
        return PostgresRows(self.reader)

    def reader(self) -> PostgresView:
        """See `Journal.reader`."""
        db = connect_now(self.url)
        try:
            return PostgresView(db, self._is_planned_now(db), self._shown)
        except psycopg.Error as error:
            db.close()
            raise explain(error, self._where, ASK_AGAIN) from None
        except BaseException:
            db.close()
            raise

    def is_being_sent(self) -> bool:
        """See `Journal.is_being_sent`. One that has just died is at work for as long as its leases
        live: nobody takes them over before."""
        try:
            view = self.reader()
        except JournalError:
            return False
        try:
            return view.standing().running
        finally:
            view.close()

    def senders(self) -> list[str]:
        """See `Journal.senders`."""
        view = self.reader()
        try:
            return view.senders()
        finally:
            view.close()

    def token_store(self, channel: str, origin: str, account: str) -> TokenStore | None:
        """See `Journal.token_store`: where there is a key of the fleet."""
        keys = FleetKeys.from_environment()
        if keys is None:
            return None
        key = {"channel": channel, "origin": origin, "account": account}
        return AccountTokens(self.url, keys.sealer(TOKEN_PURPOSE), key)

    def exists(self) -> bool:
        """See `Journal.exists`."""
        try:
            with connect_now(self.url) as db:
                return (self._find_now(db) or (0, False))[1]
        except psycopg.Error as error:
            raise explain(error, self._where, ASK_AGAIN) from None

    def quota_store(self, channel: str, origin: str, account: str) -> QuotaRows:
        """See `Journal.quota_store`: every sender with a campaign in this database shares it."""
        return QuotaRows(self.url, channel, origin, account)

    async def remove_if_ended(self, last_before: float | None = None) -> bool:
        """Removes the campaign, unless somebody in it is pending or a sender is at work on it: nobody can
        change it while it is looked at for the last time. Whether it did.

        Args:
            last_before: only when the last thing happened before this Unix time.
        """
        db = await connect(self.url, then=ASK_AGAIN)
        try:
            with self._watched(db):
                return await campaign_tables.remove_ended(db, self.name, last_before)
        except psycopg.Error as error:
            raise explain(error, self._where, ASK_AGAIN) from None
        finally:
            await db.close()

    def discard(self) -> None:
        """Removes the campaign, also half a plan; nothing to do when there is none."""
        try:
            with connect_now(self.url) as db:
                found = self._find_now(db)
                if found is not None:
                    campaign_tables.remove_now(db, found[0])
        except psycopg.Error as error:
            raise explain(error, self._where, ASK_AGAIN) from None
