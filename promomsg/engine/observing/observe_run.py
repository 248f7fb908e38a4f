"""Whether a run is observed: what does it is loaded for a run with hooks only."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from promomsg.clock import Clock
    from promomsg.engine.observing.run_observer import RunObserver
    from promomsg.engine.prepare.campaign_start import RunContext

__all__ = ["observe_run"]


def observe_run(context: RunContext, clock: Clock) -> RunObserver | None:
    """What tells the hooks what a run does; None: it has none. From here on the context's handle is
    observed too."""
    if context.observers is None:
        return None
    from promomsg.engine.observing.run_observer import RunObserver

    return RunObserver(context, clock, context.observed_since)
