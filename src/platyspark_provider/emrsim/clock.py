"""The time emrsim lives in: the real clock, a faster one, or one that only moves by hand."""

import time
from typing import Protocol


class Clock(Protocol):
    """Epoch seconds that the engine may push forward."""

    def __call__(self) -> float:
        """Return the present."""

    def advance(self, seconds: float) -> None:
        """Jump forward."""

    def set_speed(self, speed: float) -> None:
        """Change how many seconds pass in a real one."""

    def anchor(self) -> dict[str, float]:
        """Return what a later clock needs to go on from here."""


class SimClock:
    """Epoch seconds counted from an anchor; it never goes back while the host's clock doesn't.

    :param speed: simulated seconds in a real one: 1 is the real clock, 60 a minute each second, 0 stands still until `advance`
    :param anchor: what `anchor` of an earlier clock returned, to go on as if it had run all the time; None starts at the real time
    """

    def __init__(self, *, speed: float = 1.0, anchor: dict[str, float] | None = None) -> None:
        real = time.time()
        virtual = anchor["virtual"] + (real - anchor["real"]) * anchor["speed"] if anchor else real
        self._line = (virtual, real, speed)  # replaced as a whole, so that a reader in another thread never sees half a change

    def __call__(self) -> float:
        """Return the simulation's epoch seconds."""
        virtual, since, speed = self._line
        return virtual + (time.time() - since) * speed

    def advance(self, seconds: float) -> None:
        """Jump forward."""
        virtual, since, speed = self._line
        self._line = (virtual + seconds, since, speed)

    def set_speed(self, speed: float) -> None:
        """Go on from the present at another speed."""
        now, real = self(), time.time()
        self._line = (now, real, speed)

    def anchor(self) -> dict[str, float]:
        """Return what a later clock needs to go on from here."""
        virtual, since, speed = self._line
        return {"virtual": virtual, "real": since, "speed": speed}
