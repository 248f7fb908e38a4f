"""docs/hooks.md: its blocks run, and its tables are what the code tells."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import get_type_hints

from markdown_blocks import section
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from test_docs_python import RUNNER, Reader, free_port

from promomsg.telemetry.hook_events import HookEvent
from promomsg.telemetry.hooks import METHODS
from promomsg.telemetry.otel import _Instruments

PAGE = "docs/hooks.md"


def rows(title: str) -> list[list[str]]:
    """The cells of the tables of a section."""
    lines = re.findall(r"^\| (`.+) \|$", section(PAGE, title), re.MULTILINE)
    return [re.split(r" \| ?", line) for line in lines]


PROMETHEUS = """
class Counter:
    def __init__(self, name, text, labels):
        self.name, self.names = name, labels
    def labels(self, *values):
        assert len(values) == len(self.names)
        self.values = values
        return self
    def inc(self, by):
        print(self.name, *self.values, by)
    observe = set = inc
Gauge = Histogram = Counter
"""
"""What the page uses of `prometheus_client`."""


def test_its_blocks_run_as_its_reader_runs_them(tmp_path: Path) -> None:
    reader = Reader(tmp_path, free_port())
    (tmp_path / "prometheus_client.py").write_text(PROMETHEUS, encoding="utf-8")
    out = reader.follow(
        "promomsg sandbox --port 8765 &",
        f"PYTHONPATH=.:$PYTHONPATH {sys.executable} {RUNNER} {PAGE} {reader.port}",
    )
    assert "Traceback" not in out
    assert "autumn: done , 2 sent" in out
    assert "promomsg_recipients wechat sent 2" in out
    assert "promomsg_call_seconds /promoter/singlesendmsg SENT 0." in out


def test_every_event_has_a_row_with_its_values() -> None:
    common = set(get_type_hints(HookEvent))
    told = {
        name: [field for field in event.__struct_fields__ if field not in common]
        for event, name in METHODS.items()
    }
    assert {
        cells[0].strip("`"): re.findall(r"`(\w+)`", cells[2]) for cells in rows("Hooks")
    } == told


def test_every_metric_has_a_row_with_its_instrument_and_unit() -> None:
    reader = InMemoryMetricReader()
    meter = MeterProvider([reader]).get_meter("test")
    made: dict[str, tuple[str, str]] = {}
    for kind in ("histogram", "counter", "up_down_counter", "gauge"):
        create = getattr(meter, f"create_{kind}")

        def remember(name: str, unit: str, text: str, _kind: str = kind, **more: object) -> object:
            made[name] = (_kind.replace("up_down", "up-down").replace("_", " "), unit)
            return None

        assert create
        setattr(meter, f"create_{kind}", remember)
    _Instruments(meter)
    found = {
        cells[0].strip("`"): tuple(cells[1].split(", "))
        for cells in rows("OpenTelemetry")
        if cells[1].split(",")[0] in ("histogram", "counter", "up-down counter", "gauge")
    }
    assert found == made
