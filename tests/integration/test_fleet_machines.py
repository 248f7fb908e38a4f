"""Machines that send together and are killed or frozen, and a database that crashes, in the middle of it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from chaos.child_campaign import AREA
from chaos.fleet_machines import Machine, Machines, passed
from chaos.fleet_trial import Kind, check_campaign, hand_over
from cli_campaigns import campaign, started
from fleet_working import new_fleet, rows
from postgres_server import PostgresServer
from waiting import wait_for

from promomsg import Fleet, State, open_journal
from promomsg.sandbox import Fault, FaultPlan, Sandbox

CONCURRENCY = 8


@pytest.fixture
def fleet(postgres: str) -> Iterator[str]:
    """A database of the test's own with the tables: its URL."""
    with new_fleet(postgres) as url:
        asyncio.run(Fleet(url).prepare())
        yield url


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    """What starts machines; whatever is left of them is killed."""
    with Machines(tmp_path) as machines:
        yield machines


def slow(box: Sandbox) -> None:
    """Calls take long enough for something to happen meanwhile."""
    box.faults = FaultPlan([Fault(endpoint="singlesendmsg", kind="slow", seconds=0.05)])


def plan(fleet: str, box: Sandbox, kind: Kind, count: int) -> None:
    """Plans the campaign that the machines send."""
    asyncio.run(
        hand_over(Fleet(fleet).journal("autumn"), box, kind, count, concurrency=CONCURRENCY)
    )


def wait_for_its_end(fleet: str, machines: Machines) -> None:
    try:
        wait_for(lambda: not rows(fleet, "SELECT 1 FROM recipient WHERE state <= 1 LIMIT 1"), 60)
    except AssertionError:
        raise AssertionError(machines.said()) from None


def there(machine: Machine) -> None:
    wait_for(lambda: "ready" in machine.said(), 30)


def test_a_machine_that_wakes_after_its_leases_are_over_calls_nobody(
    fleet: str, served: Sandbox, machines: Machines
) -> None:
    slow(served)
    first = machines.start(database=fleet, provider=served.url, concurrency=CONCURRENCY)
    plan(fleet, served, "singles", 700)
    wait_for(lambda: served.ledger.singles > 50, 30)
    second = machines.start(database=fleet, provider=served.url, concurrency=CONCURRENCY)
    there(second)
    first.freeze()
    passed(fleet, first)
    wait_for_its_end(fleet, machines)
    calls = served.calls["singlesendmsg"]
    first.go_on()
    first.end()
    assert first.wait() == 0
    assert served.calls["singlesendmsg"] == calls
    counts = Counter(
        row.state for row in check_campaign(Fleet(fleet).journal("autumn"), served, "singles", 700)
    )
    assert counts[State.UNKNOWN] <= 2 * CONCURRENCY
    assert counts[State.SENT] + counts[State.UNKNOWN] == 700


def test_a_database_that_crashes_twice_costs_nobody(served: Sandbox, machines: Machines) -> None:
    slow(served)
    server = PostgresServer()
    try:
        server.start()
        fleet = server.url()
        asyncio.run(Fleet(fleet).prepare())
        # The leases live as long as they do for users: nobody takes over from who is only cut off.
        both = [
            machines.start(database=fleet, provider=served.url, concurrency=CONCURRENCY, life=15.0)
            for _ in range(2)
        ]
        for machine in both:
            there(machine)
        plan(fleet, served, "singles", 700)
        for sent in (100, 350):
            wait_for(lambda sent=sent: served.ledger.singles > sent, 60)
            server.stop("immediate")
            server.start()
        wait_for_its_end(fleet, machines)
        found = check_campaign(Fleet(fleet).journal("autumn"), served, "singles", 700)
        assert Counter(row.state for row in found) == {State.SENT: 700}
        for machine in both:
            machine.end()
        assert [machine.wait() for machine in both] == [0, 0]
    finally:
        server.close()


def test_groups_are_followed_to_their_end_by_whoever_is_left(
    fleet: str, served: Sandbox, machines: Machines
) -> None:
    count = 3 * AREA
    served.settings.poll_steps = (40,)
    served.settings.group_fail_fraction = 0.2
    first = machines.start(database=fleet, provider=served.url)
    there(first)
    plan(fleet, served, "groups", count)
    wait_for(lambda: served.calls["getmsg"] >= 3, 30)
    second = machines.start(database=fleet, provider=served.url)
    there(second)
    first.kill()
    passed(fleet, first)
    served.settings.poll_steps = (100,)
    wait_for_its_end(fleet, machines)
    assert served.calls["sendmsg"] == 3
    failed = {who for group in served.ledger.groups for who in group.failed}
    assert 0 < len(failed) < count
    for row in check_campaign(Fleet(fleet).journal("autumn"), served, "groups", count):
        assert row.state is (State.FAILED if row.recipient.id in failed else State.SENT)


def test_whoever_hands_a_campaign_over_may_be_killed_at_once(
    fleet: str, served: Sandbox, machines: Machines, tmp_path: Path
) -> None:
    file = campaign(tmp_path, served.url, 200, title="{name}")
    machine = machines.start(
        database=fleet, provider=served.url, account="wx0123456789abcdef", concurrency=2
    )
    there(machine)
    coordinator = started("send", file, "--yes", "--fleet", fleet)
    journal = Fleet(fleet).journal("autumn")
    wait_for(journal.exists, 30)
    coordinator.kill()
    coordinator.communicate()
    wait_for_its_end(fleet, machines)
    with open_journal(journal) as opened:
        assert (opened.report().state, opened.report().sent) == ("done", 200)
    assert served.ledger.twice() == []
