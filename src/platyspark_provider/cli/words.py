"""Times and spans as people read them."""

from datetime import datetime, timedelta


def age(span: timedelta) -> str:
    """Return a span: `40 s`, `12 min`, `3 h`, `2 days`."""
    seconds = max(0.0, span.total_seconds())
    for limit, unit, name in ((120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds / 86_400:.0f} days"


def clock_time(at: datetime) -> str:
    """Return a time to the second."""
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
