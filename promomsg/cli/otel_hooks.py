"""OpenTelemetry in the terminal: on where its SDK runs in this process, as `opentelemetry-instrument` has it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from promomsg.telemetry.hooks import Hooks

__all__ = ["otel_hooks"]


def otel_hooks() -> Hooks | None:
    """The hooks that report what this process sends; None: no SDK is set up to take it."""
    # Whoever set it up (`opentelemetry-instrument promomsg send …`) has imported it before.
    tracing = sys.modules.get("opentelemetry.sdk.trace")
    metering = sys.modules.get("opentelemetry.sdk.metrics")
    if tracing is None and metering is None:
        return None
    from opentelemetry import metrics, trace

    traces = tracing is not None and isinstance(trace.get_tracer_provider(), tracing.TracerProvider)
    if not traces and not (
        metering is not None and isinstance(metrics.get_meter_provider(), metering.MeterProvider)
    ):
        return None
    from promomsg.telemetry.otel import OpenTelemetry

    return OpenTelemetry()
