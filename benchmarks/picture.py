"""The same figures as a picture: bars with their spread. SVG needs nothing, PNG needs matplotlib."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from benchmarks.machine import installed
from benchmarks.result import Chart

__all__ = ["KINDS", "draw", "svg"]

KINDS: Final = (".svg", ".png")

_LEFT, _WIDE, _RIGHT, _ROW, _HEAD = 250, 520, 110, 26, 44
_OURS, _OTHERS, _INK = "#07834b", "#8d99a6", "#1f2933"


def draw(charts: Sequence[Chart], path: Path) -> None:
    """Writes the picture.

    Raises:
        ValueError: another ending than .svg or .png, or PNG without matplotlib.
    """
    if path.suffix == ".svg":
        path.write_text(svg(charts), encoding="utf-8")
    elif path.suffix == ".png":
        _png(charts, path)
    else:
        raise ValueError(f"{path}: the picture ends in .svg or .png")


def svg(charts: Sequence[Chart]) -> str:
    """The charts below each other."""
    width = _LEFT + _WIDE + _RIGHT
    parts: list[str] = []
    top = 0
    for chart in charts:
        parts.append(_text(16, top + 26, f"{chart.title} ({chart.unit})", weight="bold", size=15))
        scale = _WIDE / max((high for *_, high in chart.bars), default=1.0)
        top += _HEAD
        for label, median, low, high in chart.bars:
            middle = top + _ROW / 2
            colour = _OURS if label.startswith("promomsg") else _OTHERS
            parts += [
                _text(_LEFT - 10, middle + 4, label, anchor="end"),
                f'<rect x="{_LEFT}" y="{top + 4}" width="{max(median * scale, 1):.1f}" '
                f'height="{_ROW - 8}" fill="{colour}"/>',
                f'<line x1="{_LEFT + low * scale:.1f}" x2="{_LEFT + high * scale:.1f}" '
                f'y1="{middle}" y2="{middle}" stroke="{_INK}" stroke-width="1.5"/>',
                _text(_LEFT + high * scale + 8, middle + 4, _figure(median)),
            ]
            top += _ROW
        top += 14
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {top}" width="{width}" '
        f'height="{top}" font-family="system-ui, sans-serif" font-size="13">\n'
        f'<rect width="{width}" height="{top}" fill="#ffffff"/>\n' + "\n".join(parts) + "\n</svg>\n"
    )


def _figure(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _text(
    x: float, y: float, text: str, *, anchor: str = "start", weight: str = "normal", size: int = 13
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" '
        f'font-size="{size}" fill="{_INK}">{escape(text)}</text>'
    )


def _png(charts: Sequence[Chart], path: Path) -> None:
    if not installed("matplotlib"):
        raise ValueError(f"{path}: a PNG needs matplotlib; name the picture .svg instead")
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot

    heights = [len(chart.bars) + 1.5 for chart in charts]
    figure, axes = pyplot.subplots(
        len(charts), figsize=(9, 0.34 * sum(heights)), height_ratios=heights, squeeze=False
    )
    for chart, axis in zip(charts, axes[:, 0], strict=True):
        labels, medians, lows, highs = zip(*reversed(chart.bars), strict=True)
        axis.barh(
            labels,
            medians,
            color=[_OURS if label.startswith("promomsg") else _OTHERS for label in labels],
            xerr=[
                [m - low for m, low in zip(medians, lows, strict=True)],
                [high - m for m, high in zip(medians, highs, strict=True)],
            ],
        )
        axis.set_title(f"{chart.title} ({chart.unit})", loc="left", fontsize=10)
        for label, median, high in zip(labels, medians, highs, strict=True):
            axis.annotate(
                _figure(median), (high, label), (4, 0), textcoords="offset points", va="center"
            )
        axis.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()
    figure.savefig(path, dpi=150)
    pyplot.close(figure)
