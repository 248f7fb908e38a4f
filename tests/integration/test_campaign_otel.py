"""What OpenTelemetry's SDK gets of campaigns: spans and metrics as its in-memory exporters have them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from campaigning import MESSAGE, PERSONAL, QUICK, honest, ids, wechat
from cli_campaigns import campaign, promomsg
from fault_campaigns import client, wallet_users
from fault_campaigns import message as message_of
from opentelemetry import trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from promomsg import (
    Campaign,
    OpenTelemetry,
    Pace,
    Recipient,
    SqliteJournal,
    UsageError,
    WeChatPromoter,
    send,
)
from promomsg.cli.otel_hooks import otel_hooks
from promomsg.engine.joining import Part, do_part
from promomsg.sandbox import Fault, FaultPlan, Sandbox, SandboxSettings
from promomsg.telemetry import otel
from promomsg.telemetry.hook_events import (
    BreakerClosed,
    BreakerOpened,
    CampaignEnded,
    HoldBegan,
    HoldEnded,
    PlanningBegan,
    RunInfo,
    TokenRefreshed,
)


class Exported:
    """An SDK that keeps what it is given, and hooks that give it."""

    def __init__(self, single_spans: float = 1.0) -> None:
        self._spans, self._reader = InMemorySpanExporter(), InMemoryMetricReader()
        self.tracing = TracerProvider()
        self.tracing.add_span_processor(SimpleSpanProcessor(self._spans))
        self.hooks = OpenTelemetry(
            tracer_provider=self.tracing,
            meter_provider=MeterProvider([self._reader]),
            single_spans=single_spans,
        )
        self._metrics: Any = None

    def spans(self, name: str = "") -> list[ReadableSpan]:
        """The spans whose names begin so."""
        return [s for s in self._spans.get_finished_spans() if s.name.startswith(name)]

    def points(self, name: str) -> Iterator[Any]:
        """The data points of one metric, as it stands at the first look."""
        self._metrics = self._metrics or self._reader.get_metrics_data()
        for resource in self._metrics.resource_metrics:
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    if metric.name == name:
                        yield from metric.data.data_points

    def sums(self, name: str, by: str) -> dict[Any, float]:
        """What a counter has (of a histogram: how many), by one attribute."""
        found: dict[Any, float] = {}
        for point in self.points(name):
            at = point.attributes.get(by)
            found[at] = found.get(at, 0) + getattr(point, "value", getattr(point, "count", 0))
        return found

    def everything(self) -> str:
        """All that left the process, as text."""
        spans = "".join(span.to_json() for span in self.spans())
        self._metrics = self._metrics or self._reader.get_metrics_data()
        return spans + self._metrics.to_json()


def attribute(span: ReadableSpan, name: str) -> Any:
    return (span.attributes or {})[name]


@pytest.mark.asyncio
async def test_spans_and_metrics_are_those_of_the_report_and_the_ledger() -> None:
    faults = FaultPlan([
        Fault(endpoint="singlesendmsg", kind="drop_after_delivering", calls=[3]),
        Fault(endpoint="getmsg", kind="status", status=502, calls=[1]),
    ])  # fmt: skip
    settings = SandboxSettings(refuse_single={"openid-7": 43101})
    people = [*ids(60), *({"openid": f"openid-{n}"} for n in range(12))]
    sdk = Exported()
    async with Sandbox(faults=faults, settings=settings) as box, wechat(box) as channel:
        with sdk.tracing.get_tracer("a service").start_as_current_span("request") as request:
            report = await send(channel, MESSAGE, people, name="autumn", hooks=sdk.hooks, **QUICK)
        honest(report, box)
        calls, total = dict(box.calls), box.ledger.total
    [campaign] = sdk.spans("campaign")
    assert campaign.parent is not None
    assert campaign.parent.span_id == request.get_span_context().span_id
    assert attribute(campaign, "promomsg.campaign.name") == "autumn"
    assert attribute(campaign, "promomsg.campaign.state") == "done"
    assert attribute(campaign, "promomsg.recipients.sent") == report.sent == 70
    others = [s for s in sdk.spans() if s not in (campaign, *sdk.spans("request"))]
    assert campaign.context is not None
    assert {s.parent.span_id for s in others if s.parent} == {campaign.context.span_id}
    assert {s.context.trace_id for s in sdk.spans() if s.context} == {campaign.context.trace_id}
    singles, groups = sdk.spans("send 127.0.0.1:"), sdk.spans("send_group 127.0.0.1:")
    assert (len(singles), len(groups)) == (calls["singlesendmsg"], calls["sendmsg"]) == (12, 1)
    assert len(sdk.spans("POST /promoter/getmsg")) == calls["getmsg"]
    assert len(sdk.spans("plan")) == 1
    assert attribute(groups[0], "messaging.batch.message_count") == 60
    assert {span.kind for span in (*singles, *groups)} == {SpanKind.CLIENT}
    bad = {attribute(s, "error.type") for s in singles if s.status.status_code is StatusCode.ERROR}
    assert bad == {"43101", "NO_ANSWER"}
    for span in singles:
        assert attribute(span, "messaging.system") == "wechat"
        assert attribute(span, "messaging.operation.type") == "send"
        assert attribute(span, "url.template") == "/promoter/singlesendmsg"
        assert span.start_time is not None
        assert span.end_time is not None
        assert campaign.start_time is not None
        assert campaign.start_time <= span.start_time < span.end_time
    assert sdk.sums("promomsg.recipients", "promomsg.recipient.state") == {
        "sent": 70, "failed": 1, "unknown": 1,
    }  # fmt: skip
    sent = sdk.sums("messaging.client.sent.messages", "error.type")
    assert sent == {None: 70, "43101": 1, "NO_ANSWER": 1}
    assert sent[None] + sent["NO_ANSWER"] == total  # of the unknown one: it was delivered
    durations = sdk.sums("messaging.client.operation.duration", "messaging.operation.name")
    assert durations == {"send": 12, "send_group": 1}
    requests = sdk.sums("http.client.request.duration", "url.template")
    assert requests == {
        "/promoter/singlesendmsg": 12,
        "/promoter/sendmsg": 1,
        "/promoter/getmsg": calls["getmsg"],
        "/cgi-bin/stable_token": 1,
    }
    statuses = sdk.sums("http.client.request.duration", "http.response.status_code")
    assert (statuses[502], statuses[None]) == (1, 1)
    assert sum(sdk.sums("promomsg.journal.commit.duration", "promomsg.journal.rows").values()) > 3
    # Both are back at nothing once no campaign runs.
    assert sdk.sums("promomsg.calls.in_flight", "messaging.system") == {"wechat": 0}
    assert sdk.sums("promomsg.recipients.pending", "messaging.system") == {"wechat": 0}


@pytest.mark.asyncio
async def test_no_secret_and_nobody_is_in_what_leaves_the_process() -> None:
    faults = FaultPlan([
        Fault(endpoint="singlesendmsg", kind="reset_before_reading", calls=[4]),
        Fault(endpoint="singlesendmsg", errcode=45001, errmsg="oAbC1234 of {access_token}", calls=[6]),
        Fault(endpoint="alipay.send", kind="html", calls=[2]),
    ])  # fmt: skip
    sdk = Exported()
    people = [{"key": f"crm-{n}", "openid": f"oAbC{n}", "name": f"小明{n}"} for n in range(9)]
    async with Sandbox(faults=faults) as box:
        async with wechat(box, hooks=sdk.hooks) as channel:
            await send(channel, PERSONAL, people, concurrency=1, **QUICK)
            await channel.send_one(MESSAGE, Recipient("crm-9", openid="oAbC1234"))
            tokens = list(channel._account.tokens.known_tokens())
        async with client(box, "alipay", hooks=sdk.hooks) as wallet:
            await send(wallet, message_of("alipay"), wallet_users(), **QUICK)
    told = sdk.everything()
    assert "/promoter/singlesendmsg" in told
    assert tokens
    secrets = [*tokens, "s3cret", "access_token", "usertoken-", "PRIVATE KEY"]
    people_of = ["crm-", "oAbC", "小明", "三件五折"]
    assert [text for text in (*secrets, *people_of) if text in told] == []


@pytest.mark.asyncio
async def test_the_first_sends_and_those_that_failed_have_spans_and_a_share_of_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(otel, "_FIRST_SPANS", 10)
    sdk = Exported(single_spans=0.1)
    settings = SandboxSettings(refuse_single={"o-3": 43101, "o-33": 43101})
    people = [{"openid": f"o-{n}"} for n in range(42)]
    async with Sandbox(settings=settings) as box, wechat(box) as channel:
        await send(channel, MESSAGE, people, hooks=sdk.hooks, **QUICK)
    assert len(sdk.spans("send ")) == 10 + 3 + 2
    assert sum(sdk.sums("messaging.client.sent.messages", "server.port").values()) == 42
    for wrong in (-0.1, 1.5, True, "all"):
        with pytest.raises(UsageError, match="a share from 0 to 1"):
            OpenTelemetry(single_spans=wrong)  # type: ignore[arg-type]


@pytest.mark.asyncio
async def test_whoever_goes_on_has_a_span_with_a_link_to_the_one_it_was_planned_under(
    box: Sandbox, tmp_path: Path
) -> None:
    planning, working = Exported(), Exported()
    journal = SqliteJournal(tmp_path / "parts.db")
    async with wechat(box, hooks=planning.hooks) as channel:
        await Campaign(channel, PERSONAL, ids(8), journal=journal, **QUICK).hand_over()
    async with wechat(box, hooks=working.hooks, pace=Pace(unlimited=True)) as channel:
        await do_part(journal, channel, Part(singles=True, groups=True))
    [planned], [part] = planning.spans("campaign"), working.spans("campaign part")
    assert part.parent is None
    [link] = part.links
    assert planned.context is not None
    assert link.context.trace_id == planned.context.trace_id
    assert link.context.span_id == planned.context.span_id
    assert attribute(planned, "promomsg.campaign.state") == "handed_over"
    assert len(working.spans("send ")) == 8
    assert working.sums("promomsg.recipients", "promomsg.recipient.state") == {"sent": 8}


@pytest.mark.asyncio
async def test_a_halt_is_an_error_of_the_campaigns_span(box: Sandbox) -> None:
    sdk = Exported()
    async with wechat(
        box, pace=Pace(singles_per_second=500, singles_per_day=2, shared_quota=False)
    ) as channel:
        await send(channel, PERSONAL, ids(5), hooks=sdk.hooks, **QUICK)
    [campaign] = sdk.spans("campaign")
    assert campaign.status.status_code is StatusCode.ERROR
    assert attribute(campaign, "error.type") == "SINGLES_PER_DAY"
    assert attribute(campaign, "promomsg.recipients.pending") == 3
    assert [p.value for p in sdk.points("promomsg.quota.limit")] == [2]


@pytest.mark.asyncio
async def test_without_an_sdk_it_does_nothing_and_without_the_api_it_says_what_to_install(
    box: Sandbox, channel: WeChatPromoter, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = await send(channel, PERSONAL, ids(5), hooks=OpenTelemetry(), **QUICK)
    assert report.sent == 5
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(UsageError, match=r"pip install 'promomsg\[otel\]'"):
        OpenTelemetry()


def test_what_a_campaign_waits_for_are_events_of_its_span_and_a_metric() -> None:
    sdk, at = Exported(), 1_795_000_000.0
    run = RunInfo(
        id="1", campaign="a", kind="resume", channel="wechat", server="https://api.weixin.qq.com",
        carried={"traceparent": "00-not-one"},
    )  # fmt: skip
    told = sdk.hooks
    told.planning_began(PlanningBegan(at=at, run=run))
    told.hold_began(HoldBegan(at=at + 1, run=run, kind="single", seconds=2.0))
    told.hold_ended(HoldEnded(at=at + 3, run=run, kind="single", seconds=2.0))
    told.breaker_opened(BreakerOpened(at=at + 4, run=run, code="NOT_SENT"))
    told.breaker_closed(BreakerClosed(at=at + 5, run=run))
    told.token_refreshed(TokenRefreshed(at=at + 6, run=None, expires_in=6900))  # of no campaign
    told.campaign_ended(
        CampaignEnded(at=at + 7, run=run, state="failed", code="OSError", seconds=7)
    )
    [span] = sdk.spans("campaign")
    assert [event.name for event in span.events] == ["hold", "breaker opened", "breaker closed"]
    assert (span.links, attribute(span, "error.type")) == ((), "OSError")
    assert attribute(span, "server.port") == 443
    [held] = sdk.points("promomsg.hold.duration")
    assert (held.count, held.sum) == (1, 2.0)
    assert dict(held.attributes) == {
        "messaging.system": "wechat", "messaging.operation.name": "send",
    }  # fmt: skip


def test_the_terminal_reports_itself_where_an_sdk_is_set_up(
    served: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert otel_hooks() is None
    sdk = Exported()
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: sdk.tracing)
    assert promomsg("send", campaign(tmp_path, served.url, 5), "--yes") == 0
    [sent] = sdk.spans("campaign")
    assert attribute(sent, "promomsg.campaign.name") == "autumn"
    assert attribute(sent, "promomsg.recipients.sent") == 5
    assert "a-secret-of-nobody" not in "".join(span.to_json() for span in sdk.spans())
