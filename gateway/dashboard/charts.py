"""Small charts as SVG made here: no script draws them, and they are read without colour by their label."""

from collections.abc import Sequence

from markupsafe import Markup

_WIDTH, _HEIGHT = 400.0, 30.0
_PATH = Markup(
    '<svg class="spark" viewBox="0 0 400 30" preserveAspectRatio="none" role="img" aria-label="{}">'
    '<path class="area" d="{}"/><path d="{}"/></svg>'
)
_METER = Markup(
    '<svg class="bar{}" viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label="{}">'
    '<rect class="track" width="100" height="8"/><rect class="fill" width="{:.1f}" height="8"/></svg>'
)


def spark(values: Sequence[float | None], label: str) -> Markup:
    """A line through the values, oldest first; where one is missing the line goes on at the next."""
    known = [(place, value) for place, value in enumerate(values) if value is not None]
    highest = max((value for _, value in known), default=0) or 1
    step = _WIDTH / max(1, len(values) - 1)
    points = [
        f"{place * step:.1f} {_HEIGHT - 2 - (_HEIGHT - 4) * max(0, value) / highest:.1f}" for place, value in known
    ]
    if not points:
        return _PATH.format(f"{label}: nothing yet", "", "")
    line = "M" + "L".join(points)
    first, last = known[0][0] * step, known[-1][0] * step
    area = f"{line}L{last:.1f} {_HEIGHT:.0f}L{first:.1f} {_HEIGHT:.0f}Z"
    return _PATH.format(f"{label}: last {known[-1][1]:,.4g}, most {highest:,.4g}", area, line)


def meter(part: float | None, label: str, tone: str = "") -> Markup:
    """A bar that is filled by a part of one."""
    filled = min(1.0, max(0.0, part or 0.0))
    return _METER.format(f" {tone}" if tone else "", label, filled * 100)
