"""A worker: it says that it is there, looks for what is to be done, and does its share of it."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from random import Random
from typing import Any, Final

import anyio
import psycopg
from anyio.abc import TaskGroup

from promomsg import __version__
from promomsg.errors import JournalError, PromoError, UsageError
from promomsg.fleet import worker_table
from promomsg.fleet.accounts import AccountMissing, Accounts
from promomsg.fleet.jobs import Wanted
from promomsg.fleet.prune import prune, prune_is_due
from promomsg.fleet.queue import JobQueue, check_queue
from promomsg.fleet.sweep import sweep
from promomsg.fleet.task_context import IT_GOES_ON, TaskContext, find_campaign
from promomsg.fleet.tasks import TASKS
from promomsg.fleet.worker_table import Doing, Trouble
from promomsg.journal.postgres.database import Connection, connect, explain, place
from promomsg.journal.postgres.journal import PostgresJournal
from promomsg.journal.postgres.sealed.fleet_keys import FleetKeys
from promomsg.shielded import run_shielded

__all__ = ["Worker"]

log = logging.getLogger("promomsg.fleet")

_LOOKS: Final = 2.0
"""Seconds between two looks at what is to be done; each says that the worker is there."""
_TOGETHER: Final = 0.2
"""Seconds before another look when something has begun or ended meanwhile."""
_ANSWERS_IN: Final = 10.0
"""Seconds that the server may take for an answer. A look asks two dozen questions: with half a second for
each it takes longer than that, and gives out work all the same."""
_AT_ONCE: Final = 16
"""Tasks at once; each has some connections to the database."""
_FIRST_PAUSE: Final = 1.0
_LONGEST_PAUSE: Final = 60.0
"""Seconds before a task that failed is tried again: twice as many each time, up to this."""
_NOT_TRIED: Final = 120.0
"""Seconds after which a failure that nobody has had tried again is forgotten: others have done the work,
or there is none any more."""
_MOST_TROUBLES: Final = 100
_MOST_CALLS: Final = 1000
_NO_ACCOUNT: Final = [name for name, task in TASKS.items() if not task.needs_account]
_START_AGAIN: Final = "start the worker again"
"""What to do, once the server can do it, when the worker could not begin."""


class _Failure:
    """What a task of a campaign failed with, and until when it is not tried again (monotonic)."""

    __slots__ = ("name", "pause", "text", "until")

    def __init__(self, name: str) -> None:
        self.name = name
        self.text = ""
        self.pause = 0.0
        self.until = 0.0

    def again(self, text: str, pause: float | None = None) -> bool:
        """Notes it; whether it is news."""
        is_news = pause is None or text != self.text
        self.text = text
        self.pause = pause or min(2 * self.pause or _FIRST_PAUSE, _LONGEST_PAUSE)
        self.until = anyio.current_time() + self.pause
        return is_news


def _forget(failures: dict[Any, _Failure], now: float) -> None:
    """Forgets those that nobody has had tried again."""
    for key in [key for key, one in failures.items() if one.until + _NOT_TRIED < now]:
        del failures[key]


class Worker:
    """Sends the campaigns of a database together with other workers, on this machine or others.

    Args:
        url: of the database.
        accounts: what it sends for; closed by the caller.
        concurrency: calls at once, of each campaign.
        name: in `Fleet.workers()`, leases and counts; None: this machine and process. One that another
            worker has gets a number.
        started: called with the name once the worker is there.

    Raises:
        UsageError: the concurrency is no number from 1 to 1,000, or `$PROMOMSG_FLEET_KEY` is no key.
    """

    def __init__(
        self,
        url: str,
        accounts: Accounts,
        *,
        concurrency: int,
        name: str | None = None,
        started: Callable[[str], None] | None = None,
    ) -> None:
        # A bool is an int too.
        if type(concurrency) is not int or not 1 <= concurrency <= _MOST_CALLS:
            raise UsageError(
                f"concurrency={concurrency!r}: give a whole number from 1 to {_MOST_CALLS:,}"
            )
        FleetKeys.from_environment()  # one that is none is said now, and not by each campaign
        self._url = url
        self._accounts = accounts
        self._concurrency = concurrency
        self.name = name or f"{socket.gethostname()}:{os.getpid()}"
        self._started = started
        self._row_since = 0.0
        self._rng = Random()  # noqa: S311 - shares out turns, guards nothing
        self._stop = anyio.Event()
        self._ended = anyio.Event()
        self._changed = anyio.Event()
        self._told = anyio.Event()
        """Set by the next look that begins: all that is being done now is in the table then."""
        self._doing: set[Doing] = set()
        self._missing: dict[int, _Failure] = {}
        """Campaigns whose account is not there."""
        self._failures: dict[Doing, _Failure] = {}
        self._room = anyio.Semaphore(_AT_ONCE)
        self._waiting = 0
        self._error: BaseException | None = None
        self._tasks: TaskGroup
        self._queue: JobQueue

    def stop(self) -> None:
        """Begins nothing new; calls in flight finish, and what is held goes back."""
        self._stop.set()
        self._changed.set()

    async def run(self) -> None:
        """Works until `stop`, until it is drained, or until it is cancelled: calls in flight finish.

        Raises:
            JournalError: at the start, the database cannot be reached or used.
        """
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._run)
            try:
                await self._ended.wait()
            finally:
                self.stop()
                await run_shielded(self._ended.wait)
        if self._error is not None:
            raise self._error

    async def _run(self) -> None:
        with anyio.CancelScope(shield=True):
            try:
                await self._work()
            except BaseException as error:  # noqa: BLE001 - raised by `run`
                self._error = error
            finally:
                self._ended.set()

    async def _work(self) -> None:
        db = await self._connect(_START_AGAIN)
        try:
            await check_queue(db, place(self._url))
            await self._register(db)
        except psycopg.Error as error:
            await db.close()
            raise explain(error, place(self._url), _START_AGAIN) from None
        except BaseException:
            await db.close()
            raise
        self._queue = JobQueue(self._url, self.name, list(TASKS), self._begin, at_once=_AT_ONCE)
        async with anyio.create_task_group() as self._tasks:
            self._tasks.start_soon(self._queue.run)
            if self._started is not None:
                self._started(self.name)
            await self._look_again_and_again(db)
            self._queue.stop()
        log.info("%s has ended", self.name)

    async def _connect(self, then: str = IT_GOES_ON) -> Connection:
        db = await connect(
            self._url,
            answers_in=_ANSWERS_IN,
            idle_in_transaction=_ANSWERS_IN / 2,
            then=then,
        )
        db.answers_within = _ANSWERS_IN
        return db

    def _explained(self, error: psycopg.Error) -> JournalError:
        return explain(error, place(self._url), IT_GOES_ON)

    async def _register(self, db: Connection) -> None:
        self.name, self._row_since = await worker_table.register(
            db, self.name, concurrency=self._concurrency, version=__version__, tasks=TASKS
        )

    # Looking.

    async def _look_again_and_again(self, db: Connection | None) -> None:
        """Until it is stopped and nothing is under way any more."""
        away, failed = False, ""
        while not self._stop.is_set() or self._doing:
            self._changed = anyio.Event()
            if self._stop.is_set():
                self._queue.stop()
            try:
                if db is None:
                    db = await self._connect()
                await self._look(db)
                if away:
                    log.info("the database is there again")
                away = False
            except (JournalError, psycopg.Error) as error:
                if not away:
                    log.warning("%s", self._line(error))
                away = True
                if db is not None:
                    await db.close()
                db = None
            except Exception as error:
                if str(error) != failed:
                    log.exception("the look for what is to be done failed")
                failed = str(error)
            await self._wait_for_next_look()
        await self._leave(db)

    async def _wait_for_next_look(self) -> None:
        """What has begun or ended is told soon, and many of them together; the last one at once."""
        with anyio.move_on_after(_LOOKS):
            await self._changed.wait()
            with anyio.move_on_after(_TOGETHER):
                await self._stop.wait()

    async def _look(self, db: Connection) -> None:
        told, self._told = self._told, anyio.Event()
        asked = await worker_table.beat(
            db,
            (self.name, self._row_since),
            sorted(self._doing, key=str),
            self._troubles(),
            ending=self._stop.is_set(),
        )
        told.set()
        if asked is None:
            await self._register(db)
            self._queue.rename(self.name)
        elif asked and not self._stop.is_set():
            log.info("asked to end")
            self.stop()
        if not self._stop.is_set():
            self._accounts.forget_old_paces()
            await sweep(db, by=self.name, without_account=_NO_ACCOUNT, rng=self._rng)
            if await prune_is_due(db):
                self._tasks.start_soon(self._prune)

    async def _prune(self) -> None:
        try:
            removed = await prune(self._url, stop=self._stop)
        except Exception as error:  # noqa: BLE001 - it is said, and done tomorrow
            log.warning("what nobody needs any more was not removed: %s", self._line(error))
        else:
            for name in removed.half_plans:
                log.info(
                    "%s: its plan was never completed and nothing was sent; it is removed", name
                )

    async def _leave(self, db: Connection | None) -> None:
        if db is None:
            return
        try:
            await worker_table.remove(db, (self.name, self._row_since))
        except psycopg.Error:
            log.warning("the database is away: the worker's row stays for now")
        finally:
            await db.close()

    def _troubles(self) -> list[Trouble]:
        now = anyio.current_time()
        _forget(self._missing, now)
        _forget(self._failures, now)
        found = [
            Trouble(campaign, one.name, one.text, keeps_off=one.until > now)
            for campaign, one in self._missing.items()
        ] + [
            Trouble(doing.campaign, one.name, one.text, doing.task, keeps_off=one.until > now)
            for doing, one in self._failures.items()
        ]
        return found[:_MOST_TROUBLES]

    def _line(self, error: BaseException) -> str:
        if isinstance(error, psycopg.Error):
            error = self._explained(error)
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        text = str(error) if isinstance(error, PromoError) else f"unexpected {error!r}"
        return " ".join(text.split())[:500]

    # Doing.

    async def _begin(self, wanted: Wanted) -> None:
        """Has a task begin, as soon as there is room for one more; returns once the others can know, so
        that no sweep finds the job gone and nobody at it."""
        self._waiting += 1
        try:
            await self._room.acquire()
        finally:
            self._waiting -= 1
        doing = Doing(wanted.task, wanted.campaign)
        if self._stop.is_set() or doing in self._doing:
            self._room.release()
            return
        self._doing.add(doing)
        self._tasks.start_soon(self._do, wanted, doing)
        with anyio.move_on_after(_LOOKS):
            await self._told.wait()

    async def _do(self, wanted: Wanted, doing: Doing) -> None:
        name = f"campaign {wanted.campaign}"
        self._changed.set()
        try:
            found = await self._find(wanted)
            if found is None:
                return
            name = found.journal.name
            await TASKS[wanted.task].run(found)
            self._failures.pop(doing, None)
            if TASKS[wanted.task].needs_account:
                self._missing.pop(wanted.campaign, None)
        except AccountMissing as error:
            missing = self._missing.setdefault(wanted.campaign, _Failure(name))
            if missing.again(self._line(error), _LONGEST_PAUSE):
                log.warning("%s", missing.text)
        except Exception as error:  # noqa: BLE001 - it is said, and tried again later
            failure = self._failures.setdefault(doing, _Failure(name))
            failure.again(self._line(error))
            log.warning("%s: %s; %s again in %.0f s", name, failure.text, doing.task, failure.pause)
        finally:
            self._doing.discard(doing)
            self._room.release()
            self._changed.set()

    async def _find(self, wanted: Wanted) -> TaskContext | None:
        """The campaign that a task is for; None: it is gone."""
        db = await self._connect()
        try:
            found = await find_campaign(db, wanted.campaign)
        except psycopg.Error as error:
            raise self._explained(error) from None
        finally:
            await db.close()
        if found is None:
            return None
        name, record = found
        return TaskContext(
            PostgresJournal(self._url, name, worker=self.name, then=IT_GOES_ON),
            wanted.campaign,
            record,
            wanted.args,
            accounts=self._accounts,
            concurrency=self._concurrency,
            stop=self._stop,
            others_wait=lambda: self._waiting > 0,
        )
