"""Hooks that give OpenTelemetry spans and metrics, through its API alone.

Names are those of the semantic conventions 1.44.0 for messaging (in development) and for HTTP clients
(stable); what they have no name for begins with `promomsg.`. `url.full` is left out, since WeChat's URLs
have the access token in them: `url.template` is the path alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from promomsg.errors import UsageError
from promomsg.telemetry.hook_events import (
    BreakerClosed,
    BreakerOpened,
    CallFinished,
    CampaignEnded,
    CampaignPlanned,
    CampaignStarted,
    HoldBegan,
    HoldEnded,
    HookEvent,
    JournalCommitted,
    OutcomesCounted,
    PlanningBegan,
    RunInfo,
    Sampled,
    TokenRefreshed,
)
from promomsg.telemetry.hooks import Hooks
from promomsg.telemetry.otel_attributes import (
    GOOD,
    CallAttributes,
    attributes_of,
    operation_name,
    system_and_server,
)

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import Span, TracerProvider

__all__ = ["OpenTelemetry"]

_SCHEMA: Final = "https://opentelemetry.io/schemas/1.44.0"
_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""Bounds that both conventions give for durations."""
_HOLD_SECONDS: Final = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600)
_COMMIT_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
_FIRST_SPANS: Final = 100
"""Single sends of a run that have a span before a share of the others has."""
_BAD_SPANS: Final = 1_000
"""Single sends of a run that did not end in SENT and have a span whatever `single_spans` is."""
_COUNTS: Final = ("planned", "sent", "failed", "unknown", "skipped", "cancelled", "pending")


class OpenTelemetry(Hooks):
    """Spans and metrics of campaigns and clients: `hooks=promomsg.OpenTelemetry()`.

    The run of a campaign is one span, a child of the span that is current where it is planned or its
    block is entered; `plan`, each call and each poll are its children. A part that a worker of a fleet
    does, a resume and a retry have a span of their own, with a link to the span it was planned under.

    Args:
        tracer_provider, meter_provider: None: the global ones. Without an SDK they do nothing, and cost
            nothing that could be noticed.
        single_spans: the share of single sends that have a span, 0 to 1, behind the first 100 of a run,
            which all have one, as have the first 1,000 that did not end in `sent`. Metrics count all.

    Raises:
        UsageError: `single_spans` is no such number, or opentelemetry-api is not installed.
    """

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        single_spans: float = 0.01,
    ) -> None:
        if isinstance(single_spans, bool) or not isinstance(single_spans, (int, float)):
            raise UsageError(f"OpenTelemetry(single_spans={single_spans!r}): a share from 0 to 1")
        if not 0 <= single_spans <= 1:
            raise UsageError(f"OpenTelemetry(single_spans={single_spans!r}): a share from 0 to 1")
        try:
            from opentelemetry import metrics, trace
        except ImportError:
            raise UsageError("OpenTelemetry: pip install 'promomsg[otel]'") from None
        self._trace = trace
        self._tracer = trace.get_tracer("promomsg", None, tracer_provider, _SCHEMA)
        self._instruments = _Instruments(metrics.get_meter("promomsg", "", meter_provider, _SCHEMA))
        self._single_spans = float(single_spans)
        self._runs: dict[str, _RunSpan] = {}

    def carry(self, run: RunInfo) -> dict[str, str]:
        known = self._runs.get(run.id)
        context = None if known is None else known.span.get_span_context()
        if context is None or not context.is_valid:
            return {}
        flags = int(context.trace_flags)
        return {"traceparent": f"00-{context.trace_id:032x}-{context.span_id:016x}-{flags:02x}"}

    # The campaign.

    def planning_began(self, event: PlanningBegan) -> None:
        run = event.run
        assert run is not None
        span = self._tracer.start_span(
            "campaign part" if run.kind == "part" else "campaign",
            attributes={
                "promomsg.campaign.name": run.campaign,
                "promomsg.campaign.run": run.kind,
                **system_and_server(run.channel, run.server),
            },
            links=self._links(run.carried),
            start_time=_nanoseconds(event.at),
        )
        self._runs[run.id] = _RunSpan(span, self._trace.set_span_in_context(span))

    def _links(self, carried: Mapping[str, str]) -> list[Any]:
        """The span under which the campaign was planned, as it was carried."""
        parts = carried.get("traceparent", "").split("-")
        try:
            _, trace_id, span_id, flags = parts
            context = self._trace.SpanContext(
                int(trace_id, 16), int(span_id, 16), True, self._trace.TraceFlags(int(flags, 16))
            )
        except ValueError:
            return []
        return [self._trace.Link(context)] if context.is_valid else []

    def campaign_planned(self, event: CampaignPlanned) -> None:
        known = self._known(event)
        if known is not None:
            self._tracer.start_span(
                "plan",
                known.context,
                attributes={
                    "promomsg.plan.singles": event.singles,
                    "promomsg.plan.groups": event.groups,
                    "promomsg.plan.recipients": event.to_send,
                },
                start_time=_nanoseconds(event.at - event.seconds),
            ).end(_nanoseconds(event.at))

    def campaign_started(self, event: CampaignStarted) -> None:
        known = self._known(event)
        if known is not None:
            known.span.add_event(
                "started",
                {"promomsg.recipients.pending": event.pending},
                _nanoseconds(event.at),
            )

    def campaign_ended(self, event: CampaignEnded) -> None:
        assert event.run is not None
        known = self._runs.pop(event.run.id, None)
        if known is None:
            return
        self._count_standing(known, event.run, 0, 0)
        self._instruments.flush()
        span = known.span
        span.set_attribute("promomsg.campaign.state", event.state)
        for name in _COUNTS:
            span.set_attribute(f"promomsg.recipients.{name}", getattr(event, name))
        if event.state in ("halted", "failed"):
            span.set_attribute("error.type", event.code or event.state)
            span.set_status(self._trace.StatusCode.ERROR)
        span.end(_nanoseconds(event.at))

    def _known(self, event: HookEvent) -> _RunSpan | None:
        return None if event.run is None else self._runs.get(event.run.id)

    # Calls.

    def call_finished(self, event: CallFinished) -> None:
        known = self._known(event)
        told = attributes_of(
            event.kind,
            event.channel,
            event.server,
            event.method,
            event.endpoint,
            event.status,
            str(event.verdict),
            str(event.code),
        )
        if event.seconds is not None:
            self._instruments.count(event, told)
        if event.kind != "single" or self._has_span(event, known):
            self._add_span(event, told, None if known is None else known.context)

    def _has_span(self, event: CallFinished, known: _RunSpan | None) -> bool:
        if known is None:
            return True  # a call of its own
        if event.verdict not in GOOD and known.bad_spans < _BAD_SPANS:
            known.bad_spans += 1
            return True
        known.singles += 1
        after, share = known.singles - _FIRST_SPANS, self._single_spans
        return after <= 0 or int(after * share) > int((after - 1) * share)

    def _add_span(self, event: CallFinished, told: CallAttributes, context: Context | None) -> None:
        attributes = told.of_span
        if event.recipients > 1:
            attributes = {**attributes, "messaging.batch.message_count": event.recipients}
        span = self._tracer.start_span(
            told.span_name,
            context,
            self._trace.SpanKind.CLIENT,
            attributes,
            start_time=_nanoseconds(event.at - (event.seconds or 0.0)),
        )
        if "error.type" in attributes:
            span.set_status(self._trace.StatusCode.ERROR)
        span.end(_nanoseconds(event.at))

    # What a run waits for, and where it stands.

    def outcomes_counted(self, event: OutcomesCounted) -> None:
        assert event.run is not None
        system = {"messaging.system": event.run.channel}
        for state in ("sent", "failed", "unknown", "skipped", "cancelled"):
            if (count := getattr(event, state)) > 0:
                attributes = {**system, "promomsg.recipient.state": state}
                self._instruments.recipients.add(count, attributes)

    def hold_began(self, event: HoldBegan) -> None:
        self._add_event(event, "hold", {"promomsg.hold.seconds": event.seconds})

    def hold_ended(self, event: HoldEnded) -> None:
        assert event.run is not None
        self._instruments.holds.record(
            event.seconds,
            {
                "messaging.system": event.run.channel,
                "messaging.operation.name": operation_name(event.kind),
            },
        )

    def token_refreshed(self, event: TokenRefreshed) -> None:
        self._add_event(event, "token refreshed", {})

    def breaker_opened(self, event: BreakerOpened) -> None:
        self._add_event(event, "breaker opened", {"error.type": event.code})

    def breaker_closed(self, event: BreakerClosed) -> None:
        self._add_event(event, "breaker closed", {})

    def _add_event(self, event: HookEvent, name: str, attributes: dict[str, Any]) -> None:
        known = self._known(event)
        if known is not None:
            known.span.add_event(name, attributes, _nanoseconds(event.at))

    def journal_committed(self, event: JournalCommitted) -> None:
        self._instruments.commits.record(event.seconds, {"promomsg.journal.rows": event.what})

    def sampled(self, event: Sampled) -> None:
        known, run = self._known(event), event.run
        if known is None or run is None:
            return
        self._count_standing(known, run, event.in_flight, event.pending)
        self._instruments.flush()
        where = system_and_server(run.channel, run.server)
        if event.used_today is not None:
            self._instruments.quota_used.set(event.used_today, where)
        if event.limit_today is not None:
            self._instruments.quota_limit.set(event.limit_today, where)

    def _count_standing(self, known: _RunSpan, run: RunInfo, in_flight: int, pending: int) -> None:
        """Changes the sums over all runs by what has changed in this one."""
        system = {"messaging.system": run.channel}
        self._instruments.in_flight.add(in_flight - known.in_flight, system)
        known.in_flight = in_flight
        if run.kind != "part":  # each of several would count those of the whole campaign
            self._instruments.pending.add(pending - known.pending, system)
            known.pending = pending


class _RunSpan:
    """A run whose span is open."""

    __slots__ = ("bad_spans", "context", "in_flight", "pending", "singles", "span")

    def __init__(self, span: Span, context: Context) -> None:
        self.span = span
        self.context = context
        self.bad_spans = 0
        self.singles = 0
        """Those of which a share has spans."""
        self.in_flight = self.pending = 0
        """As they were counted last."""


class _Instruments:
    """The metrics."""

    def __init__(self, meter: Any) -> None:
        self._made: Counter[CallAttributes] = Counter()
        self._operations = meter.create_histogram(
            "messaging.client.operation.duration",
            "s",
            "Duration of messaging operation initiated by a producer or consumer client.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._requests = meter.create_histogram(
            "http.client.request.duration",
            "s",
            "Duration of HTTP client requests.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._sent = meter.create_counter(
            "messaging.client.sent.messages",
            "{message}",
            "Number of messages producer attempted to send to the broker.",
        )
        self.recipients = meter.create_counter(
            "promomsg.recipients", "{recipient}", "Recipients by the state that is their outcome."
        )
        self.pending = meter.create_up_down_counter(
            "promomsg.recipients.pending", "{recipient}", "Recipients without an outcome."
        )
        self.in_flight = meter.create_up_down_counter(
            "promomsg.calls.in_flight", "{call}", "Sends whose answer is awaited."
        )
        self.holds = meter.create_histogram(
            "promomsg.hold.duration",
            "s",
            "Holds: the provider asked for fewer calls.",
            explicit_bucket_boundaries_advisory=_HOLD_SECONDS,
        )
        self.commits = meter.create_histogram(
            "promomsg.journal.commit.duration",
            "s",
            "What a run waits for a commit of its journal.",
            explicit_bucket_boundaries_advisory=_COMMIT_SECONDS,
        )
        self.quota_used = meter.create_gauge(
            "promomsg.quota.used", "{call}", "Single calls of this China-time day."
        )
        self.quota_limit = meter.create_gauge(
            "promomsg.quota.limit", "{call}", "Single calls that a China-time day may have."
        )

    def count(self, event: CallFinished, told: CallAttributes) -> None:
        """Counts a call whose first byte left."""
        seconds = event.seconds
        self._requests.record(seconds, told.of_request)
        if told.of_operation is not None:
            self._operations.record(seconds, told.of_operation)
            self._made[told] += event.recipients or 1
            if event.run is None:
                self.flush()

    def flush(self) -> None:
        """Counts the messages of all sends since the last time: in sums, since the SDK takes longer for
        each than a send for all the rest that is told of it."""
        for told, messages in self._made.items():
            self._sent.add(messages, told.of_operation)
        self._made.clear()


def _nanoseconds(at: float) -> int:
    return int(at * 1e9)
