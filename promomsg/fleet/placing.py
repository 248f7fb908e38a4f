"""Which worker gets which work: decided from what is wanted, who is there, and what waits already."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Final

from promomsg.fleet.jobs import SHIFT, Job, Wanted
from promomsg.fleet.worker_table import FleetWorker

__all__ = ["MOST_WAITING", "place_jobs"]

MOST_WAITING: Final = 32
"""Jobs that wait for one worker at the most; the rest is given out by later sweeps."""


def place_jobs(
    wanted: Sequence[Wanted],
    workers: Sequence[FleetWorker],
    queued: Collection[tuple[str, str]],
    *,
    without_account: Collection[str] = (),
) -> list[Job]:
    """The jobs that are missing.

    A shift goes to as many workers as may begin it and are not at it, other work to one. Whoever
    has least to do comes first; of campaigns, those that fewest are at.

    Args:
        wanted: the work there is.
        workers: those that take work.
        queued: (key, worker) of each job that waits.
        without_account: tasks that need no account.
    """
    waiting = Counter(worker for _, worker in queued)
    load = {one.name: len(one.doing) + waiting[one.name] for one in workers}
    keys = {key for key, _ in queued}
    at_work = Counter((one.task, one.campaign) for worker in workers for one in worker.doing)
    jobs: list[Job] = []
    for work in sorted(wanted, key=lambda one: at_work[one.task, one.campaign]):
        is_shift = work.task == SHIFT
        if not is_shift and (work.key in keys or at_work[work.task, work.campaign]):
            continue
        needs_account = work.task not in without_account
        able = [
            worker
            for worker in workers
            if worker.is_able(work.task, work.campaign, needs_account=needs_account)
            and not any(
                (one.task, one.campaign) == (work.task, work.campaign) for one in worker.doing
            )
        ]
        waits = sum(Job(work, worker.name).key in keys for worker in able) if is_shift else 0
        for worker in sorted(able, key=lambda one: load[one.name]):
            if waits >= work.workers:
                break
            job = Job(work, worker.name)
            if job.key in keys or waiting[worker.name] >= MOST_WAITING:
                continue
            jobs.append(job)
            keys.add(job.key)
            load[worker.name] += 1
            waiting[worker.name] += 1
            waits += 1
    return jobs
