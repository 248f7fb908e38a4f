"""SVG as text: boxes, lines and labels in the colours of a light and of a dark page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final
from xml.sax.saxutils import escape, quoteattr

Point = tuple[float, float]

_STYLE: Final = """
:root { --paper: #ffffff; --ink: #1f2933; --soft: #5f6c7b; --line: #8794a3; --box: #eef2f6; --good: #d3f1e4;
  --bad: #fbdcdc; --doubt: #fdeecb; --moving: #d9e8fb }
@media (prefers-color-scheme: dark) { :root { --paper: #1b1f27; --ink: #e6ebf1; --soft: #a7b3c2; --line: #76859a;
  --box: #2a313c; --good: #1d4a3a; --bad: #5a2a2d; --doubt: #57461a; --moving: #26426b } }
.paper { fill: var(--paper) } .box { fill: var(--box); stroke: var(--line) }
.good { fill: var(--good) } .bad { fill: var(--bad) } .doubt { fill: var(--doubt) } .moving { fill: var(--moving) }
.line { fill: none; stroke: var(--line); stroke-width: 1.4 } .asked { stroke-dasharray: 5 4 }
.tip { fill: var(--line) }
text { fill: var(--ink); font: 14px system-ui, "Segoe UI", Roboto, "Noto Sans", sans-serif }
.name { font-weight: 600 } .soft { fill: var(--soft); font-size: 12px }
.label { font-size: 12px; paint-order: stroke; stroke: var(--paper); stroke-width: 5px; stroke-linejoin: round }
.middle { text-anchor: middle } .end { text-anchor: end }
"""


def picture(width: int, height: int, title: str, parts: Iterable[str]) -> str:
    """A whole picture on its own background, so that it can be read on any page."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
        f'height="{height}" role="img" aria-label={quoteattr(title)}>'
    )
    tip = (
        '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" '
        'orient="auto-start-reverse"><path d="M0 0L10 5L0 10z" class="tip"/></marker></defs>'
    )
    paper = f'<rect class="paper" width="{width}" height="{height}" rx="8"/>'
    return "\n".join([head, f"<style>{_STYLE}</style>", tip, paper, *parts, "</svg>", ""])


def box(x: float, y: float, width: float, height: float, kind: str = "") -> str:
    """A rounded box whose upper left corner is at (x, y)."""
    return f'<rect class="box {kind}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="7"/>'


def text(x: float, y: float, words: str, kind: str = "") -> str:
    """A line of text that begins at (x, y), or with the kinds `middle` and `end` is centred or ends there."""
    return f'<text class="{kind}" x="{x:g}" y="{y:g}">{escape(words)}</text>'


def arrow(points: Sequence[Point], kind: str = "") -> str:
    """An arrow along these points, its corners rounded."""
    steps = [f"M{points[0][0]:g} {points[0][1]:g}"]
    for before, corner, after in zip(points, points[1:], points[2:], strict=False):
        near, far = _towards(corner, before), _towards(corner, after)
        steps.append(f"L{near[0]:g} {near[1]:g}Q{corner[0]:g} {corner[1]:g} {far[0]:g} {far[1]:g}")
    steps.append(f"L{points[-1][0]:g} {points[-1][1]:g}")
    return f'<path class="line {kind}" marker-end="url(#tip)" d="{"".join(steps)}"/>'


def _towards(corner: Point, other: Point) -> Point:
    """The point near a corner at which it begins to be round."""
    (x, y), (to_x, to_y) = corner, other
    length = ((to_x - x) ** 2 + (to_y - y) ** 2) ** 0.5 or 1.0
    share = min(10.0, length / 2) / length
    return round(x + (to_x - x) * share, 1), round(y + (to_y - y) * share, 1)
