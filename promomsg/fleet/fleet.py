"""The database that several machines send from: its tables, its campaigns, and a journal in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from anyio import to_thread

from promomsg.engine.report import Report
from promomsg.errors import UsageError
from promomsg.fleet.fleet_campaign import FleetCampaign, looking, workers_now
from promomsg.journal.contract import Journal
from promomsg.journal.locate import fleet_journal, fleet_url

if TYPE_CHECKING:
    from promomsg.channels.base import Channel
    from promomsg.fleet.prune import Pruned
    from promomsg.fleet.worker_table import FleetWorker

__all__ = ["Fleet", "FleetCampaign"]


class Fleet:
    """Campaigns in one PostgreSQL database, which processes on many machines send together.

    ```python
    fleet = promomsg.Fleet("postgresql://db.example/fleet")
    await fleet.prepare()  # once: makes the tables
    await promomsg.send(wechat, message, recipients, journal=fleet.journal("autumn"))
    ```

    Args:
        url: of the database, as libpq takes it; parts that it leaves out come from libpq's environment
            variables and password file. None: `$PROMOMSG_FLEET`.

    Raises:
        UsageError: there is no URL, it cannot be read, or the extra `fleet` is not installed.
    """

    def __init__(self, url: str | None = None) -> None:
        if url is not None and not isinstance(url, str):
            raise UsageError(
                f"Fleet: the URL of a database is text, not a {type(url).__name__}: "
                "postgresql://host/database"
            )
        self._url = fleet_url(url, "Fleet")
        # What needs psycopg is loaded where it is used: without it the name `promomsg.Fleet` is there.
        from promomsg.journal.postgres.database import place

        self.place = place(self._url)
        """The database without user and password, for people."""

    def __repr__(self) -> str:
        return f"Fleet({self.place})"

    async def prepare(self) -> None:
        """Makes the tables, in a schema `promomsg`, or brings those of an earlier version to this one's.

        Raises:
            JournalError: the database cannot be reached, its schema `promomsg` is somebody else's, or
                its tables are of a newer version.
            UsageError: Procrastinate is not installed.
        """
        from promomsg.fleet.prepare import prepare

        await prepare(self._url)

    def journal(self, name: str) -> Journal:
        """The journal of one campaign, whether it is there already or not; nothing is opened.

        Args:
            name: the campaign's name in the database, up to 200 printable characters.

        Raises:
            UsageError: it is no name.
        """
        return fleet_journal(name, self._url)

    async def campaigns(self) -> list[FleetCampaign]:
        """Every campaign of the database, in the order in which they were begun.

        Raises:
            JournalError: it cannot be reached, or has no tables of this version.
        """
        from promomsg.journal.postgres.overview import overview

        look = looking(self._url, await self.workers())
        return [one.campaign for one in await to_thread.run_sync(overview, self._url, look)]

    # Workers.

    async def work(
        self, *channels: Channel, concurrency: int = 64, name: str | None = None
    ) -> None:
        """Sends the campaigns of the database, together with other workers, until it is cancelled or
        drained: then calls in flight finish, and what is held goes back to the others.

        ```python
        async with promomsg.WeChatPromoter("wx…", secret) as wechat:
            await promomsg.Fleet(url).work(wechat)
        ```

        Args:
            channels: the accounts to send for, one channel each; closed by the caller. A campaign of
                another account is left to other workers.
            concurrency: calls at once, of each campaign; those of one account together make 100 at the
                most, or as many as this where it is more.
            name: in `workers()`; None: this machine and process.

        Raises:
            UsageError: there is no channel, two are of one account, or Procrastinate is missing.
            JournalError: at the start, the database cannot be reached or used. Later it is waited for.
        """
        from promomsg.fleet.accounts import GivenChannels
        from promomsg.fleet.worker import Worker

        await Worker(self._url, GivenChannels(*channels), concurrency=concurrency, name=name).run()

    async def workers(self) -> list[FleetWorker]:
        """Every worker of the database, by name; one that was killed is there for a day, not `alive`.

        Raises:
            JournalError: it cannot be reached, or has no tables of this version.
        """
        return await to_thread.run_sync(workers_now, self._url)

    async def wait(self, name: str) -> Report:
        """The report of a campaign, once everybody in it has an outcome, or once it stands still until a
        person goes on with it (`halted`, `paused`). A database that is away is waited for.

        Args:
            name: the campaign's name in the database.

        Raises:
            JournalError: there is no such campaign.
        """
        from promomsg.fleet.wait_for_end import wait_for_end

        return await wait_for_end(self.journal(name))

    async def drain(self, *workers: str) -> None:
        """Asks workers to end: they take no more work, calls in flight finish, and they are gone from
        `workers()`. A worker that is started anew works again.

        Args:
            workers: their names; none: all that there are.

        Raises:
            JournalError: the database cannot be reached, or has no tables of this version.
        """
        from promomsg.fleet.prune import drain_workers

        await drain_workers(self._url, workers)

    async def prune(self, *, ended_before: float | None = None) -> Pruned:
        """Removes what nobody needs any more: the rows and the jobs of workers that are not alive, plans
        whose maker is gone, access tokens that have expired, and campaigns that ended before a moment, with
        everything in them. A worker does the same once a day, but for the campaigns.

        Args:
            ended_before: Unix seconds; None: all campaigns stay.

        Returns:
            What was removed. A campaign that somebody has gone on with meanwhile stays.

        Raises:
            JournalError: the database cannot be reached, or has no tables of this version.
        """
        from promomsg.fleet.prune import prune

        ended: list[str] = []
        if ended_before is not None:
            ended = [
                one.name
                for one in await self.campaigns()
                if one.ended_at is not None and one.ended_at < ended_before
            ]
        return await prune(self._url, ended)
