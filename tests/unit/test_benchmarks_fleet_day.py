"""The simulated day of a fleet: everybody has one outcome, and what it costs is what the arithmetic says."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.fleet_day import COSTS, Day, main, simulate


@settings(max_examples=60, deadline=None)
@given(
    recipients=st.integers(1, 200_000),
    rate=st.one_of(st.none(), st.floats(50, 20_000)),
    workers=st.integers(1, 9),
    concurrency=st.integers(1, 1_000),
    kills=st.integers(0, 40),
    restarts=st.integers(0, 3),
    seed=st.integers(0, 1_000),
)
def test_everybody_has_one_outcome_and_few_are_unknown(
    recipients: int,
    rate: float | None,
    workers: int,
    concurrency: int,
    kills: int,
    restarts: int,
    seed: int,
) -> None:
    found = simulate(
        Day(
            recipients=recipients,
            rate=rate,
            workers=workers,
            concurrency=concurrency,
            kills=kills,
            restarts=restarts,
            hours=0.01,
            seed=seed,
        )
    )
    assert found.sent + found.unknown == recipients
    assert found.unknown <= found.in_doubt_at_most


def test_a_day_without_faults_takes_what_the_quota_says() -> None:
    found = simulate(Day(recipients=1_000_000, rate=1_000, kills=0, restarts=0))
    assert 1_000 <= found.seconds <= 1_003  # at the end one worker has the last chunk
    assert found.unknown == 0
    assert found.server_cores == pytest.approx(1_000 * COSTS.server_us / 1e6, rel=0.01)


def test_a_worker_that_is_killed_costs_time_and_its_calls_in_flight() -> None:
    calm = Day(recipients=1_000_000, workers=2, concurrency=64, kills=0, restarts=0, hours=0.05)
    rough = Day(recipients=1_000_000, workers=2, concurrency=64, kills=10, restarts=0, hours=0.05)
    assert simulate(rough).seconds > simulate(calm).seconds
    assert 0 < simulate(rough).unknown <= 10 * 64


def test_the_command_prints_the_day(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--recipients", "1000000", "--rate", "2000", "--kills", "0"]) == 0
    shown = capsys.readouterr().out
    assert "1,000,000" in shown
    assert "2,000 a second" in shown


def test_a_day_on_which_nobody_sends_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        simulate(Day(workers=0))
