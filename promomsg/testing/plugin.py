"""The pytest plugin: fixtures and markers. It is loaded in every test run of a project that has
promomsg installed, and so imports nothing of promomsg before a fixture is used."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

try:
    from pytest_asyncio import fixture as async_fixture
except ImportError:  # anyio's plugin takes plain asynchronous fixtures
    async_fixture: Callable[..., Any] = pytest.fixture  # type: ignore[no-redef]

if TYPE_CHECKING:
    from promomsg.channels.alipay import AlipayMiniProgram
    from promomsg.channels.wechat import WeChatPromoter
    from promomsg.sandbox import FaultPlan, SandboxSettings
    from promomsg.testing.fake_clock import FakeClock
    from promomsg.testing.ledger_checks import LedgerChecks
    from promomsg.testing.threaded_sandbox import ThreadedSandbox

__all__ = ["alipay", "promomsg_clock", "promomsg_ledger", "promomsg_sandbox", "wechat"]

_FAULTS = "promomsg_faults"
_SETTINGS = "promomsg_settings"


def pytest_configure(config: pytest.Config) -> None:
    """Registers the markers."""
    config.addinivalue_line(
        "markers",
        f"{_FAULTS}(*faults, seed=0): what goes wrong at the sandbox: promomsg.sandbox.Fault(…), "
        "or one TOML fault plan as text or pathlib.Path",
    )
    config.addinivalue_line(
        "markers",
        f"{_SETTINGS}(**settings): how the sandbox behaves: fields of promomsg.sandbox.SandboxSettings",
    )


@pytest.fixture
def promomsg_sandbox(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ThreadedSandbox]:
    """The stand-in for both providers, on a free port of loopback, one for each test.

    It answers from a thread of its own, so that code with an event loop, without one, or in another
    process can call it. Meanwhile `PROMOMSG_STATE` names a temporary folder: a test spends nothing
    of an account's quota on this machine.
    """
    from promomsg.testing.threaded_sandbox import ThreadedSandbox

    plan, seed = _plan(request)
    with (
        pytest.MonkeyPatch.context() as environment,
        ThreadedSandbox(faults=plan, seed=seed, settings=_settings(request)) as sandbox,
    ):
        environment.setenv("PROMOMSG_STATE", str(tmp_path_factory.mktemp("promomsg-state")))
        yield sandbox


@pytest.fixture
def promomsg_ledger(promomsg_sandbox: ThreadedSandbox) -> LedgerChecks:
    """Assertions on what the sandbox really delivered."""
    from promomsg.testing.ledger_checks import LedgerChecks

    return LedgerChecks(promomsg_sandbox.ledger)


@pytest.fixture
def promomsg_clock() -> FakeClock:
    """A clock for `clock=` of whatever takes one. It jumps to whoever sleeps next when nobody has
    anything left to do, or is moved by `await clock.advance(seconds)`."""
    from promomsg.testing.fake_clock import FakeClock

    return FakeClock(auto=True, grace=0.02)


@async_fixture
async def wechat(promomsg_sandbox: ThreadedSandbox) -> AsyncIterator[WeChatPromoter]:
    """A `WeChatPromoter` of the sandbox, without a pace, closed after the test."""
    from promomsg.channels.wechat import WeChatPromoter
    from promomsg.transport.pace import Pace

    async with WeChatPromoter(
        "wx0000000000000000",
        "the-appsecret-of-the-sandbox",
        base_url=promomsg_sandbox.url,
        pace=Pace(unlimited=True),
    ) as client:
        yield client


@async_fixture
async def alipay(promomsg_sandbox: ThreadedSandbox) -> AsyncIterator[AlipayMiniProgram]:
    """An `AlipayMiniProgram` of the sandbox, without a pace, closed after the test. Its key is made
    once for a test run; the sandbox checks each request's signature with it."""
    from promomsg.channels.alipay import AlipayMiniProgram
    from promomsg.testing.wallet_key import private_key, public_key
    from promomsg.transport.pace import Pace

    if promomsg_sandbox.settings.client_public_key is None:
        promomsg_sandbox.settings.client_public_key = public_key()
    async with AlipayMiniProgram(
        "CLIENT0000000000",
        "P0000000000",
        private_key(),
        public_key=promomsg_sandbox.alipay_public_key,
        base_url=f"{promomsg_sandbox.url}/api",
        pace=Pace(unlimited=True),
    ) as client:
        yield client


def _plan(request: pytest.FixtureRequest) -> tuple[FaultPlan, int]:
    """The faults of the test's markers, those of the module first."""
    from promomsg.errors import UsageError
    from promomsg.sandbox import Fault, FaultPlan

    faults: list[Fault] = []
    seed = 0
    for marker in reversed(list(request.node.iter_markers(_FAULTS))):
        seed = marker.kwargs.get("seed", seed)
        unknown = [name for name in marker.kwargs if name != "seed"]
        if unknown:
            raise UsageError(f"@pytest.mark.{_FAULTS}: there is no {unknown[0]!r}; only seed=")
        for given in marker.args:
            if isinstance(given, Fault):
                faults.append(given)
            elif isinstance(given, os.PathLike):
                faults += FaultPlan.load(Path(given)).faults
            elif isinstance(given, str):
                faults += FaultPlan.parse(given, f"@pytest.mark.{_FAULTS}").faults
            else:
                raise UsageError(
                    f"@pytest.mark.{_FAULTS}({given!r}): give promomsg.sandbox.Fault(…), or a fault "
                    "plan as text or pathlib.Path"
                )
    return FaultPlan(faults), seed


def _settings(request: pytest.FixtureRequest) -> SandboxSettings:
    """The settings of the test's markers; those nearest to the test win."""
    from promomsg.sandbox import SandboxSettings

    settings = SandboxSettings()
    for marker in reversed(list(request.node.iter_markers(_SETTINGS))):
        settings = settings.updated(marker.kwargs, f"@pytest.mark.{_SETTINGS}")
    return settings
