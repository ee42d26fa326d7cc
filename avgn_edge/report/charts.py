"""Charts as inline SVG: 360 units wide, so that their words can be read on a phone, and in the page's own colours.

Of every function, `about` says in words what the chart shows, for people who do not see it. The numbers are in a table
beside the chart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from avgn_edge.report.html import text

WIDTH: Final = 360
HEIGHT: Final = 200
LEFT, RIGHT, TOP, BOTTOM = 34, 10, 10, 30
STYLES: Final = 6
"""How many lines can be told apart."""
_ACROSS: Final = WIDTH - LEFT - RIGHT
_DOWN: Final = HEIGHT - TOP - BOTTOM


@dataclass(frozen=True)
class Chart:
    """What is drawn, in SVG, and what it shows, in plain words. Templates print it as HTML."""

    content: str
    about: str

    def __html__(self) -> str:
        return (
            f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{text(self.about)}">'
            f'{self.content}<path class="axisline" d="M{LEFT} {TOP + _DOWN}h{_ACROSS}"/></svg>'
        )


@dataclass(frozen=True)
class Scale:
    """A linear axis from `low` to `high`."""

    low: float
    high: float

    def x(self, value: float) -> float:
        """Return the distance of a value from the chart's left edge."""
        return LEFT + _ACROSS * (value - self.low) / (self.high - self.low)

    def y(self, value: float) -> float:
        """Return the distance of a value from the chart's top edge."""
        return TOP + _DOWN * (1 - (value - self.low) / (self.high - self.low))

    def ticks(self, most: int = 5) -> list[float]:
        """Return round numbers on the axis, about `most` or fewer."""
        raw = (self.high - self.low) / most
        power = 10.0 ** math.floor(math.log10(raw))
        step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= raw * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        return [step * at for at in range(first, math.floor(self.high / step + 1e-9) + 1)]


SHARES: Final = Scale(0.0, 1.0)


def lines(series: Sequence[Sequence[float]], names: Sequence[str], about: str) -> Chart | None:
    """Draw shares over steps, one line for each of `series`.

    Args:
        series: The shares of each line, one a step. The first line is drawn on top.
        names: The names of the steps.
        about: What the chart shows.

    Returns:
        The chart; None for less than two steps.
    """
    if len(names) < 2:
        return None
    steps = Scale(0.0, float(len(names) - 1))
    highest = max(value for values in series for value in values)
    shares = Scale(0.0, next((top for top in (0.25, 0.5) if highest <= 0.9 * top), 1.0))
    thinned = max(1, math.ceil(len(names) / 18))
    words = "".join(
        _words(steps.x(at), HEIGHT - BOTTOM + 13, name)
        for at, name in enumerate(names)
        if at % thinned == 0 or at == len(names) - 1
    )
    drawn = ""
    for style, values in reversed(list(enumerate(series))):  # the first on top
        points = [(steps.x(at), shares.y(value)) for at, value in enumerate(values)]
        drawn += f'<polyline class="line s{style % STYLES}" points="{_points(points)}"/>'
        drawn += "".join(f'<circle class="f{style % STYLES}" cx="{x:.1f}" cy="{y:.1f}" r="2.6"/>' for x, y in points)
    return Chart(_shares_grid(shares) + words + drawn, about)


@dataclass(frozen=True)
class CurvePoint:
    """A point of accuracy over cost."""

    name: str
    cost: float
    most: float
    """The 95th percentile of the cost."""
    share: float


def curve(points: Sequence[CurvePoint], chance: float, unit: str, about: str) -> Chart:
    """Draw shares over cost, with a line through the points by rising cost.

    Args:
        points: The points, numbered in this order, as in the table.
        chance: The share that knowing nothing reaches.
        unit: What cost is measured in.
        about: What the chart shows.
    """
    costs = Scale(0.0, 1.05 * max(1e-9, *(point.most for point in points)))
    across = "".join(_down_line(costs.x(tick), f"{tick:g}") for tick in costs.ticks())
    level = SHARES.y(chance)
    drawn = f'<path class="chance" d="M{LEFT} {level:.1f}h{_ACROSS}"/>'
    drawn += _words(WIDTH - RIGHT, level - 3, f"chance {100 * chance:.1f} %", "end")
    drawn += "".join(
        f'<path class="spread" d="M{costs.x(point.cost):.1f} {SHARES.y(point.share):.1f}H{costs.x(point.most):.1f}"/>'
        for point in points
    )
    ordered = sorted(points, key=lambda point: (point.cost, point.share))
    joined = [(costs.x(point.cost), SHARES.y(point.share)) for point in ordered]
    if len(joined) > 1:
        drawn += f'<polyline class="line s0" points="{_points(joined)}"/>'
    for at, point in enumerate(points, 1):
        x, y = costs.x(point.cost), SHARES.y(point.share)
        hint = f"<title>{text(point.name)}: {100 * point.share:.1f} % at {point.cost:.3g} {unit}</title>"
        above = y - 8 if y > TOP + 14 else y + 16
        drawn += f'<circle class="f0" cx="{x:.1f}" cy="{y:.1f}" r="4">{hint}</circle>{_words(x, above, str(at))}'
    return Chart(_shares_grid() + across + _words(LEFT + _ACROSS / 2, HEIGHT - 3, unit) + drawn, about)


def histogram(counts: Sequence[int], names: Sequence[str], axis: str, about: str) -> Chart:
    """Draw one bar for each count.

    Args:
        counts: The heights of the bars.
        names: The names of the bars; where there are many, only some are written.
        axis: What the names are.
        about: What the chart shows.
    """
    most = Scale(0.0, float(max(*counts, 1)))
    width = _ACROSS / len(counts)
    thinned = max(1, math.ceil(len(names) / 9))
    drawn = "".join(_across_line(most.y(tick), f"{tick:g}") for tick in most.ticks(4) if tick == int(tick))
    for at, (count, name) in enumerate(zip(counts, names, strict=True)):
        x, y = LEFT + width * at, most.y(count)
        drawn += (
            f'<rect class="fill" x="{x + 0.08 * width:.1f}" y="{y:.1f}" width="{0.84 * width:.1f}" '
            f'height="{TOP + _DOWN - y:.1f}"><title>{text(name)}: {count}</title></rect>'
        )
        if at % thinned == 0:
            drawn += _words(x + width / 2, HEIGHT - BOTTOM + 12, name)
    return Chart(drawn + _words(LEFT + _ACROSS / 2, HEIGHT - 3, axis), about)


def reliability(confidence: Sequence[float], accuracy: Sequence[float], counts: Sequence[int], about: str) -> Chart:
    """Draw how often answers were right over how sure they were.

    Args:
        confidence: The mean confidence of each bin.
        accuracy: The share of right answers of each bin.
        counts: The answers of each bin; more answers make a larger dot, and an empty bin has none.
        about: What the chart shows.
    """
    most = max(*counts, 1)
    across = "".join(_down_line(SHARES.x(tick), f"{100 * tick:.0f}") for tick in SHARES.ticks())
    drawn = f'<path class="chance" d="M{SHARES.x(0):.1f} {SHARES.y(0):.1f}L{SHARES.x(1):.1f} {SHARES.y(1):.1f}"/>'
    bins = [row for row in zip(confidence, accuracy, counts, strict=True) if row[2]]
    points = [(SHARES.x(sure), SHARES.y(right)) for sure, right, _ in bins]
    drawn += f'<polyline class="line s0" points="{_points(points)}"/>'
    for (x, y), (sure, right, count) in zip(points, bins, strict=True):
        hint = f"<title>{count} at {100 * sure:.0f} %: {100 * right:.0f} % right</title>"
        drawn += (
            f'<circle class="f0" cx="{x:.1f}" cy="{y:.1f}" r="{2 + 5 * math.sqrt(count / most):.1f}">{hint}</circle>'
        )
    return Chart(_shares_grid() + across + _words(LEFT + _ACROSS / 2, HEIGHT - 3, "how sure, %") + drawn, about)


def _shares_grid(shares: Scale = SHARES) -> str:
    return "".join(_across_line(shares.y(tick), f"{100 * tick:.0f} %") for tick in shares.ticks())


def _across_line(y: float, words: str) -> str:
    return f'<path class="grid" d="M{LEFT} {y:.1f}h{_ACROSS}"/>{_words(LEFT - 4, y + 3.5, words, "end")}'


def _down_line(x: float, words: str) -> str:
    return f'<path class="grid" d="M{x:.1f} {TOP}v{_DOWN}"/>{_words(x, HEIGHT - BOTTOM + 12, words)}'


def _words(x: float, y: float, words: str, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text(words)}</text>'


def _points(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
