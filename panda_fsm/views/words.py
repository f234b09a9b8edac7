"""Numbers and times as operators read them: "28 ms", "41 min", "1.28 M", "64,210"."""

from datetime import UTC, datetime

NOTHING = "–"
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400
_SHORT_FROM = 1_000_000
_UNITS = (("TB", 10**12), ("GB", 10**9), ("MB", 10**6), ("kB", 10**3))


def number(value: float | None, places: int = 0) -> str:
    """With commas between the thousands."""
    return NOTHING if value is None else f"{value:,.{places}f}"


def short(value: int | None) -> str:
    """The same, from a million on by its millions."""
    if value is None or value < _SHORT_FROM:
        return number(value)
    return f"{value / 1_000_000_000:,.2f} G" if value >= 1_000_000_000 else f"{value / 1_000_000:,.2f} M"


def rate(per_s: float | None) -> str:
    """How many a second; of few, how many a minute."""
    if per_s is None:
        return NOTHING
    if per_s == 0:
        return "0/s"
    if per_s < 1:
        return f"{per_s * 60:.1f}/min"
    return f"{per_s:,.0f}/s" if per_s >= 10 else f"{per_s:.1f}/s"


def share(part: float | None) -> str:
    """A part of one, in percent."""
    if part is None:
        return NOTHING
    return f"{part * 100:.0f} %" if part >= 0.1 or part == 0 else f"{part * 100:.1f} %"


def duration(seconds: float | None) -> str:
    """In the one or two units that matter."""
    if seconds is None:
        return NOTHING
    if seconds < 0:
        return f"-{duration(-seconds)}"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms" if seconds else "0 s"
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < _HOUR:
        return _two(seconds, _MINUTE, "min", 1, "s", 10)
    if seconds < _DAY:
        return _two(seconds, _HOUR, "h", _MINUTE, "min", 10)
    return _two(seconds, _DAY, "d", _HOUR, "h", 10)


def _two(seconds: float, unit: int, name: str, part: int, part_name: str, exact_below: int) -> str:
    whole, rest = divmod(int(seconds), unit)
    left = rest // part
    return f"{whole} {name} {left} {part_name}" if whole < exact_below and left else f"{whole} {name}"


def size(octets: float | None) -> str:
    """How many bytes."""
    if octets is None:
        return NOTHING
    for name, unit in _UNITS:
        if octets >= unit:
            found = octets / unit
            return f"{found:.1f} {name}" if found < 10 else f"{found:,.0f} {name}"
    return f"{octets:.0f} B"


def dotted(text: str) -> str:
    """What others wrote as a sentence."""
    return text if text.endswith((".", "!", "?")) else f"{text}."


def moment(at: datetime | None) -> str:
    """Day and time, UTC, to the second."""
    return NOTHING if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def clock(at: datetime | None) -> str:
    """The time of the day alone."""
    return NOTHING if at is None else f"{at.astimezone(UTC):%H:%M:%S}"


def counted(count: int, one: str, many: str = "") -> str:
    """So many of a thing: 1 job, 2 jobs."""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"
