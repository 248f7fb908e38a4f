"""Hooks are called beside the work: whatever they do, nobody waits for them and nothing breaks."""

from __future__ import annotations

import inspect
import logging
import threading
from contextvars import ContextVar
from typing import Any

import pytest

from promomsg import Hooks, UsageError, WeChatPromoter
from promomsg.engine.observing.observed_handle import ObservedHandle
from promomsg.journal.contract import Handle
from promomsg.telemetry import hook_thread, observers
from promomsg.telemetry.hook_events import BreakerClosed, CallFinished, RunInfo, TokenRefreshed
from promomsg.telemetry.hooks import METHODS, as_hooks
from promomsg.telemetry.observers import Observers

pytestmark = pytest.mark.asyncio

RUN = RunInfo(id="1", campaign="autumn", kind="new", channel="wechat", server="https://x.example")


async def test_one_that_raises_is_logged_once_and_counted_and_the_others_are_told(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told: list[float | None] = []

    class Broken(Hooks):
        def token_refreshed(self, event: TokenRefreshed) -> None:
            raise ValueError("no such counter")

    class Whole(Hooks):
        def token_refreshed(self, event: TokenRefreshed) -> None:
            told.append(event.expires_in)

    broken, whole = Broken(), Whole()
    them = Observers([broken, whole], RUN)
    with caplog.at_level(logging.ERROR, "promomsg.telemetry"):
        for number in range(3):
            them.token_refreshed(float(number))
        await them.drained()
    assert told == [0.0, 1.0, 2.0]
    assert (broken.hooks_failed, whole.hooks_failed) == (3, 0)
    assert [record.getMessage() for record in caplog.records] == [
        "Broken.token_refreshed raised ValueError"
    ]


async def test_nobody_waits_for_a_slow_one(monkeypatch: pytest.MonkeyPatch) -> None:
    let_go = threading.Event()
    told: list[str] = []

    class Slow(Hooks):
        def breaker_opened(self, event: Any) -> None:
            let_go.wait(30)
            told.append(event.code)

    monkeypatch.setattr(observers, "_LONGEST_END", 0.05)
    monkeypatch.setattr(hook_thread, "_MOST", 3)
    slow = Slow()
    them = Observers([slow], RUN)
    for _ in range(50):
        them.breaker_opened("NOT_SENT")
    await them.drained()  # gives up after its time
    assert slow.hooks_dropped >= 46
    let_go.set()
    monkeypatch.setattr(observers, "_LONGEST_END", 10)
    await them.drained()
    assert len(told) == 50 - slow.hooks_dropped


@pytest.mark.parametrize("carried", [{"span": object()}, {"span": "\ud800"}, {1: "a"}, ["a"], None])
async def test_what_cannot_be_kept_in_a_journal_is_not_carried(carried: Any) -> None:
    """No campaign fails at its start for what somebody wants to know of it."""

    class Carrying(Hooks):
        def __init__(self, carried: Any) -> None:
            self.carried = carried

        def carry(self, run: RunInfo) -> dict[str, str]:
            return self.carried  # type: ignore[no-any-return]

    them = Observers([Carrying(carried), Carrying({"ticket": "T-1"})], RUN)
    assert await them.carried() == {"ticket": "T-1"}


async def test_methods_are_called_in_the_context_of_the_campaign_in_a_thread_of_their_own() -> None:
    request = ContextVar("request", default="none")
    told: list[tuple[str, bool]] = []

    class Asks(Hooks):
        def breaker_closed(self, event: BreakerClosed) -> None:
            told.append((request.get(), threading.current_thread() is threading.main_thread()))

    hooks = Asks()
    request.set("r-1")
    first = Observers([hooks], RUN)
    request.set("r-2")
    second = Observers([hooks, hooks], RUN)
    first.breaker_closed()
    second.breaker_closed()
    await second.drained()
    assert told == [("r-1", False), ("r-2", False)]  # and one that is given twice is told once


async def test_what_nobody_wants_to_know_is_not_made() -> None:
    class Alarm(Hooks):
        def breaker_opened(self, event: Any) -> None: ...

    them = Observers([Alarm()], RUN)
    assert not them.want(CallFinished)

    async def deliver() -> None: ...

    channel = WeChatPromoter("wx1", "a-secret-of-nobody")
    assert them.observe_calls(deliver, "single", channel) is deliver
    assert them.time_call("read", "wechat", "https://x.example", "/a", "POST") is None


async def test_what_is_no_hooks_object_is_refused_by_name() -> None:
    class Async(Hooks):
        async def campaign_ended(self, event: Any) -> None: ...  # type: ignore[override]

    with pytest.raises(UsageError, match=r"Async\.campaign_ended is async"):
        as_hooks(Async())
    with pytest.raises(
        UsageError, match=r"Hooks is not a promomsg\.Hooks object: make a class of it"
    ):
        as_hooks([Hooks])
    with pytest.raises(UsageError, match="function is not"):
        WeChatPromoter("wx1", "a-secret-of-nobody", hooks=lambda event: None)  # type: ignore[arg-type]
    assert as_hooks(None) == ()
    assert len(as_hooks([Hooks(), Hooks()])) == 2


async def test_every_event_has_a_method() -> None:
    methods = {name for name in vars(Hooks) if not name.startswith("_")} - {
        "carry", "hooks_dropped", "hooks_failed"
    }  # fmt: skip
    assert methods == set(METHODS.values())
    for event, name in METHODS.items():
        assert vars(Hooks)[name].__annotations__["event"] == event.__name__


async def test_an_observed_journal_takes_what_every_journal_takes() -> None:
    observed = {
        name: inspect.signature(method)
        for name, method in vars(ObservedHandle).items()
        if inspect.iscoroutinefunction(method) and not name.startswith("_")
    }
    assert {"intend", "settle", "intend_group", "complete_group"} <= set(observed)
    assert observed == {name: inspect.signature(getattr(Handle, name)) for name in observed}
