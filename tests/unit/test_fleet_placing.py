"""Which worker gets which work."""

from __future__ import annotations

from typing import Any

import pytest

from promomsg.fleet.jobs import SHIFT, Wanted
from promomsg.fleet.placing import MOST_WAITING, place_jobs
from promomsg.fleet.sweep import FollowedGroups, UnsentCampaign, polls_of, work_of
from promomsg.fleet.worker_table import Doing, FleetWorker, Trouble


def worker(name: str, **changes: Any) -> FleetWorker:
    given: dict[str, Any] = {
        "name": name, "started_at": 0.0, "seen_at": 1.0, "alive": True, "answers": True, "draining": False,
        "concurrency": 64, "version": "1", "tasks": (SHIFT, "poll", "finish"), "doing": (), "trouble": (),
    }  # fmt: skip
    return FleetWorker(**{**given, **changes})


def shift(campaign: int = 7, workers: int = 1) -> Wanted:
    return Wanted(task=SHIFT, campaign=campaign, workers=workers)


def placed(wanted: list[Wanted], workers: list[FleetWorker], *queued: tuple[str, str]) -> list[Any]:
    jobs = place_jobs(wanted, workers, queued, without_account=["finish"])
    return [(job.wanted.task, job.wanted.campaign, job.worker) for job in jobs]


def test_a_campaign_is_sent_by_as_many_workers_as_it_has_chunks_for() -> None:
    workers = [worker(name) for name in "abc"]
    assert placed([shift(workers=2)], workers) == [(SHIFT, 7, "a"), (SHIFT, 7, "b")]
    assert len(placed([shift(workers=50)], workers)) == 3
    assert placed([shift(workers=2)], []) == []


def test_a_worker_that_is_at_it_gets_no_second_shift_of_it() -> None:
    at_it = worker("a", doing=(Doing(SHIFT, 7),))
    assert placed([shift(workers=5)], [at_it, worker("b")]) == [(SHIFT, 7, "b")]
    # Another campaign goes to whoever has less to do.
    assert placed([shift(8)], [at_it, worker("b")]) == [(SHIFT, 8, "b")]


def test_what_waits_already_is_not_queued_again() -> None:
    workers = [worker("a"), worker("b")]
    waits = (f"{SHIFT}:7@a", "a")
    assert placed([shift(workers=1)], workers, waits) == []
    assert placed([shift(workers=2)], workers, waits) == [(SHIFT, 7, "b")]
    poll = Wanted(task="poll", campaign=7)
    assert placed([poll], workers, ("poll:7", "b")) == []
    assert placed([poll], [worker("a", doing=(Doing("poll", 7),)), worker("b")]) == []
    assert placed([poll], workers) == [("poll", 7, "a")]


def test_a_worker_without_the_account_gets_nothing_of_it_but_what_needs_none() -> None:
    lacks = worker("a", trouble=(Trouble(7, "autumn", "no account"),))
    assert placed([shift(workers=2), Wanted(task="poll", campaign=7)], [lacks]) == []
    assert placed([shift(workers=2)], [lacks, worker("b")]) == [(SHIFT, 7, "b")]
    assert placed([shift(8)], [lacks]) == [(SHIFT, 8, "a")]
    assert placed([Wanted(task="finish", campaign=7)], [lacks]) == [("finish", 7, "a")]


def test_a_task_that_failed_keeps_its_worker_off_that_task_until_it_is_tried_again() -> None:
    failed = Trouble(7, "autumn", "the disk is full", SHIFT)
    work = [shift(), Wanted(task="poll", campaign=7)]
    assert placed(work, [worker("a", trouble=(failed,))]) == [("poll", 7, "a")]
    again = Trouble(7, "autumn", "the disk is full", SHIFT, keeps_off=False)
    assert len(placed(work, [worker("a", trouble=(again,))])) == 2


def test_an_older_worker_gets_no_task_that_it_does_not_know() -> None:
    older = worker("a", tasks=(SHIFT,))
    assert placed([Wanted(task="poll", campaign=7)], [older]) == []
    assert placed([Wanted(task="poll", campaign=7)], [older, worker("b")]) == [("poll", 7, "b")]


def test_work_is_shared_out_by_who_has_least_to_do_and_campaigns_nobody_is_at_come_first() -> None:
    busy = worker("a", doing=(Doing(SHIFT, 1), Doing(SHIFT, 2)))
    jobs = placed([shift(1, workers=2), shift(3), shift(4), shift(5)], [busy, worker("b")])
    assert jobs == [(SHIFT, 3, "b"), (SHIFT, 4, "b"), (SHIFT, 5, "a"), (SHIFT, 1, "b")]


def test_a_thousand_campaigns_do_not_flood_the_queue() -> None:
    workers = [worker("a"), worker("b")]
    jobs = placed([shift(number, workers=2) for number in range(1000)], workers)
    assert len(jobs) == 2 * MOST_WAITING
    assert len({campaign for _, campaign, _ in jobs}) >= MOST_WAITING


def test_work_of_one_campaign_with_different_arguments_is_different_work() -> None:
    days = [
        Wanted(task="poll", campaign=7, args={"day": day}) for day in ("2026-11-24", "2026-11-25")
    ]
    assert [work.key for work in days] == ["poll:7:day=2026-11-24", "poll:7:day=2026-11-25"]
    assert len(placed(days, [worker("a")])) == 2


@pytest.mark.parametrize(
    ("changes", "task"),
    [
        ({}, SHIFT),
        ({"free": 0}, None),  # others hold what is left
        ({"pending": False}, None),
        ({"requested": "pause"}, None),
        ({"requested": "something newer"}, None),
        ({"halted": True}, None),
        ({"parked": True}, None),
        ({"requested": "cancel"}, "finish"),
        ({"requested": "cancel", "halted": True, "parked": True}, "finish"),
        ({"requested": "cancel", "free": 0}, None),  # whoever holds it ends it
    ],
)
def test_what_a_campaign_that_is_not_sent_to_its_end_has_to_be_done(
    changes: dict[str, Any], task: str | None
) -> None:
    given = {"campaign": 7, "requested": "run", "halted": False, "parked": False, "free": 3, "pending": True}  # fmt: skip
    found = work_of(UnsentCampaign(**{**given, **changes}))
    assert (found and found.task) == task
    if task == SHIFT:
        assert found is not None
        assert found.workers == 3


@pytest.mark.parametrize(
    ("changes", "task"),
    [
        ({"requested": "pause"}, SHIFT),
        ({"parked": True}, SHIFT),
        ({"requested": "pause", "free": 0}, None),
        ({"requested": "pause", "halted": True}, None),
        ({"requested": "something newer"}, None),
        ({"requested": "cancel", "parked": True}, "finish"),
    ],
)
def test_one_worker_ends_a_campaign_that_stands_still_at_its_finish_by(
    changes: dict[str, Any], task: str | None
) -> None:
    given = {"campaign": 7, "requested": "run", "halted": False, "parked": False, "free": 3, "pending": True}  # fmt: skip
    found = work_of(UnsentCampaign(**{**given, **changes}), is_over=True)
    assert (found and found.task) == task
    if task == SHIFT:
        assert found is not None
        assert found.workers == 1


def test_groups_are_looked_at_when_it_is_time_and_not_while_the_campaign_is_halted() -> None:
    assert polls_of(FollowedGroups(7, halted=False, due=True)) == Wanted(task="poll", campaign=7)
    assert polls_of(FollowedGroups(7, halted=False, due=False)) is None
    assert polls_of(FollowedGroups(7, halted=True, due=True)) is None
