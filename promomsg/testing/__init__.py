"""For tests of your own code: a pytest plugin, which pytest finds by itself (docs/testing.md).

Fixtures: `promomsg_sandbox` (the stand-in for both providers, on a real socket), `wechat` and
`alipay` (clients of it), `promomsg_ledger` (assertions on what was really delivered) and
`promomsg_clock` (time that a test moves). Markers: `promomsg_faults` and `promomsg_settings`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from promomsg.testing.fake_clock import FakeClock
    from promomsg.testing.ledger_checks import LedgerChecks
    from promomsg.testing.threaded_sandbox import ThreadedSandbox

__all__ = ["FakeClock", "LedgerChecks", "ThreadedSandbox"]

_NAMES = {
    "FakeClock": "fake_clock",
    "LedgerChecks": "ledger_checks",
    "ThreadedSandbox": "threaded_sandbox",
}


def __getattr__(name: str) -> Any:
    # Loaded when used: pytest finds the plugin in every project that has promomsg installed.
    from importlib import import_module

    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_NAMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
