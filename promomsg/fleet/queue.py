"""The queue between the sweep and the workers: Procrastinate, in the journal's database.

Nothing depends on it for what is sent: a lease says who may send to whom, so that a job may be lost or
done twice. Each worker has a queue of its own, so that none takes a job that it cannot do. A job is over as
soon as its work has begun: none is "doing" for long, whatever becomes of its worker, and nothing of the
queue's own (heartbeats, stalled jobs, locks, notifications, retries) is needed.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from importlib import resources
from typing import Any, Final, LiteralString

import anyio

from promomsg.errors import JournalError, UsageError
from promomsg.fleet.jobs import Job, Wanted
from promomsg.journal.postgres.connections.lost_answers import AnsweringConnection
from promomsg.journal.postgres.database import Connection, connection_defaults
from promomsg.journal.postgres.schema import PREPARE, SCHEMA, changing_tables

try:
    import procrastinate
    from procrastinate.exceptions import AlreadyEnqueued, ConnectorException
    from procrastinate.jobs import Job as QueuedJob
    from procrastinate.manager import JobManager
    from procrastinate.schema import SchemaManager
    from procrastinate.sql import queries
except ImportError:
    raise UsageError(
        "a fleet's workers need Procrastinate: pip install 'promomsg[fleet]'"
    ) from None

__all__ = [
    "JobQueue",
    "check_queue",
    "clear_queue",
    "enqueue",
    "installed_migrations",
    "prepare_queue",
    "queue_refusal",
    "queued",
    "tidy_queue",
]

log = logging.getLogger("promomsg.fleet")

_POLLS: Final = 1.0
"""Seconds between two looks for a job. Notifications are not listened to: after a restart of the server
nobody would hear them."""
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 10.0
"""Seconds before the queue is asked again after it failed: twice as many each time, up to this."""
_ENDS_IN: Final = 10.0
"""Seconds for which its end is waited for."""
_ANSWERS_IN: Final = 10.0
"""Seconds that the server may take for an answer."""


def _queue_of(worker: str) -> str:
    return f"@{worker}"


# The tables.


def installed_migrations() -> list[str]:
    """The migrations that the installed Procrastinate has, in order."""
    folder = resources.files("procrastinate.sql") / "migrations"
    return sorted(file.name for file in folder.iterdir() if file.name.endswith(".sql"))


def queue_refusal(applied: Collection[str], installed: Collection[str], where: str) -> str | None:
    """Why a worker cannot work with the queue's tables, and what to do; None: it can.

    Args:
        applied: the migrations that they have.
        installed: those of the installed Procrastinate.
        where: the database, for the message.
    """
    if not applied:
        return f"{where}: it has no queue yet; make it with {PREPARE}"
    unknown = sorted(set(applied) - set(installed))
    if unknown:
        return (
            f"{where}: its queue is of a newer Procrastinate ({unknown[-1].removesuffix('.sql')}); "
            "update it: pip install -U procrastinate"
        )
    if set(installed) - set(applied):
        return f"{where}: its queue is of an older Procrastinate; bring it to this one's with {PREPARE}"
    return None


async def _applied(db: Connection) -> list[str]:
    rows = await (await db.execute(b"SELECT migration FROM queue_version")).fetchall()
    return [name for (name,) in rows]


async def check_queue(db: Connection, where: str) -> None:
    """Refuses a queue that the installed Procrastinate cannot work with.

    Raises:
        JournalError: what it is, and what to do.
    """
    refusal = queue_refusal(await _applied(db), installed_migrations(), where)
    if refusal is not None:
        raise JournalError(refusal)


async def prepare_queue(db: Connection, where: str) -> None:
    """Makes the queue's tables, or brings them to the installed Procrastinate's; nothing is done when
    they are of it.

    Args:
        db: in autocommit mode; whoever comes at the same time waits.
        where: the database, for messages.

    Raises:
        JournalError: they are of a newer one.
    """
    installed = installed_migrations()
    async with changing_tables(db):
        applied = await _applied(db)
        refusal = queue_refusal(applied, installed, where)
        if refusal is None:
            return
        if not applied:
            async with db.transaction():
                await db.execute(SchemaManager.get_schema().encode())
                await _note(db, installed)
            return
        if set(applied) - set(installed):
            raise JournalError(refusal)
        folder = resources.files("procrastinate.sql") / "migrations"
        # One transaction each: what one has added to a type, only the next can use.
        for name in installed:
            if name not in applied:
                async with db.transaction():
                    await db.execute(folder.joinpath(name).read_text("utf-8").encode())
                    await _note(db, [name])


async def _note(db: Connection, names: Sequence[str]) -> None:
    await db.execute(
        b"INSERT INTO queue_version (migration) SELECT unnest(%s::text[])", (list(names),)
    )


# Its rows.

# One that began long ago is over: only that could not be written down any more.
_QUEUED: Final = b"""
SELECT queueing_lock, queue_name FROM procrastinate_jobs AS job
WHERE status = 'todo' OR (status = 'doing' AND EXISTS (
    SELECT FROM procrastinate_events AS event
    WHERE event.job_id = job.id AND event.type = 'started' AND event.at > now() - interval '1 minute'))
"""
_TIDY: Final = (
    b"DELETE FROM procrastinate_jobs WHERE queue_name LIKE '@%%' AND queue_name <> ALL(%s::text[])"
)
_CLEAR: Final = b"DELETE FROM procrastinate_jobs WHERE queue_name = %s AND status <> 'todo'"


async def queued(db: Connection) -> list[tuple[str, str]]:
    """(key, worker) of each job whose work has not begun."""
    rows = await (await db.execute(_QUEUED)).fetchall()
    return [(key or "", queue.removeprefix("@")) for key, queue in rows]


async def tidy_queue(db: Connection, workers: Sequence[str]) -> int:
    """Removes the jobs of all but these workers: they have ended, or take no more; returns how many."""
    return (await db.execute(_TIDY, ([_queue_of(name) for name in workers],))).rowcount


async def clear_queue(db: Connection, worker: str) -> None:
    """Removes jobs of a worker that had begun when its queue failed."""
    await db.execute(_CLEAR, (_queue_of(worker),))


async def enqueue(db: Connection, jobs: Sequence[Job]) -> None:
    """Queues jobs, all in one statement; none of them when one waits already: the next sweep sees that."""
    if not jobs:
        return
    rows = [
        QueuedJob(
            id=None,
            queue=_queue_of(job.worker),
            lock=None,
            queueing_lock=job.key,
            task_name=job.wanted.task,
            task_kwargs={"campaign": job.wanted.campaign, **job.wanted.args},
        )
        for job in jobs
    ]
    # Its connector is not opened: the connection is given.
    manager = JobManager(procrastinate.PsycopgConnector())
    try:
        async with db.transaction():
            await manager.batch_defer_jobs_async(rows, connection=db)
    except AlreadyEnqueued:
        return
    except ConnectorException as error:
        # What the server said is behind Procrastinate's "Database error.".
        raise (error.__cause__ or error) from None


class _Connector(procrastinate.PsycopgConnector):
    """The queue's connections. A job that is over and cannot be noted as such (its row is gone, the server
    is away) is no error: its work has begun, and what is left of it goes with the next `clear_queue`."""

    async def execute_query_async(self, query: LiteralString, **arguments: Any) -> None:
        """See `procrastinate.PsycopgConnector`."""
        try:
            await super().execute_query_async(query, **arguments)
        except procrastinate.exceptions.ConnectorException as error:
            if query != queries["finish_job"]:
                raise
            log.debug("a job that has begun cannot be removed: %s", error.__cause__)


class JobQueue:
    """Takes the jobs of one worker, until it is stopped; a server that is away, or whatever else
    goes wrong with the queue, it outlives.

    Args:
        url: of the database.
        worker: the worker's name.
        tasks: what it knows how to do.
        begin: has a job's work begun, and returns once that is known to all.
        at_once: for how many jobs that is waited for at once.
    """

    def __init__(
        self,
        url: str,
        worker: str,
        tasks: Collection[str],
        begin: Callable[[Wanted], Awaitable[None]],
        *,
        at_once: int,
    ) -> None:
        self._url = url
        self._worker = worker
        self._tasks = tasks
        self._begin = begin
        self._at_once = at_once
        self._stopped = anyio.Event()
        self._changed = anyio.Event()

    def stop(self) -> None:
        """Takes no more jobs."""
        self._stopped.set()
        self._changed.set()

    def rename(self, worker: str) -> None:
        """Takes the jobs of the worker of that name from now on."""
        self._worker = worker
        self._changed.set()

    async def run(self) -> None:
        """Takes jobs; returns after `stop`."""
        pause = _FIRST_PAUSE
        while not self._stopped.is_set():
            began = anyio.current_time()
            self._changed = anyio.Event()
            error = await self._serve_until_it_fails()
            if self._changed.is_set():
                continue
            if anyio.current_time() - began > 60:
                pause = _FIRST_PAUSE
            # What the server said is behind Procrastinate's "Database error.".
            told = error and (error.__cause__ or error)
            text = " ".join(str(told or "it ended by itself").split())
            level = logging.WARNING if pause == _FIRST_PAUSE else logging.DEBUG
            log.log(level, "the queue failed (%s); it is asked again in %.1f s", text[:200], pause)
            with anyio.move_on_after(pause):
                await self._stopped.wait()
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _serve_until_it_fails(self) -> BaseException | None:
        # Tasks of asyncio: Procrastinate ends its own in several steps, which one cancellation begins and
        # a second one, as anyio's scopes give it, would break off.
        serving = asyncio.create_task(self._serve())
        changed = asyncio.create_task(self._changed.wait())
        try:
            await asyncio.wait({serving, changed}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            changed.cancel()
            if not serving.done():
                serving.cancel()
                await asyncio.wait({serving}, timeout=_ENDS_IN)
        if not serving.done() or serving.cancelled():
            return None
        return serving.exception()

    async def _serve(self) -> None:
        connector = _Connector(
            conninfo=self._url,
            connection_class=AnsweringConnection,
            kwargs=connection_defaults(self._url),
            configure=_configure,
            min_size=1,
            max_size=2,
            timeout=_ENDS_IN,
            name="promomsg-queue",
        )
        app = procrastinate.App(connector=connector)
        for name in self._tasks:
            app.task(name=name)(self._task(name))
        try:
            await app.open_async()
            async with connector.pool.connection() as db:
                await clear_queue(db, self._worker)  # type: ignore[arg-type]
            await app.run_worker_async(
                queues=[_queue_of(self._worker)],
                name=self._worker,
                concurrency=self._at_once,
                fetch_job_polling_interval=_POLLS,
                listen_notify=False,
                delete_jobs="always",
                install_signal_handlers=False,
                shutdown_graceful_timeout=0,
            )
        finally:
            await app.close_async()

    def _task(self, name: str) -> Callable[..., Awaitable[None]]:
        async def begin(campaign: int, **args: Any) -> None:
            await self._begin(Wanted(task=name, campaign=campaign, args=args))

        return begin


async def _configure(db: AnsweringConnection[Mapping[str, Any]]) -> None:
    # What stands between us and the server may lose an answer and say nothing: the queue would wait for it
    # for ever, while the worker says that it is there and is given work.
    db.answers_within = _ANSWERS_IN
    await db.execute(f"SET search_path = {SCHEMA}, pg_temp".encode())
    await db.commit()
