"""The knobs of emrsim: durations, limits and switches, changed while it runs through the control route.

One `SimConfig` object is shared by everything that reads a knob; each reader looks at use, so a change counts at once.
"""

from dataclasses import asdict, dataclass, fields
from operator import attrgetter
from typing import Any

THROTTLE_MODES = ("off", "aws")


class ConfigError(ValueError):
    """A knob has an unknown name or a value of the wrong kind."""


@dataclass(slots=True, kw_only=True)
class SimConfig:
    """Hold the current value of every knob; durations in seconds, defaults made for a demo.

    All but latencies and probabilities are in the simulation's time.

    :param clock_speed: simulated seconds in a real one; 0 makes time stand still until the control route advances it
    :param throttle: "off", or "aws" for the token buckets of Service Quotas
    :param listing_lag_s: how long a new cluster or step stays invisible in ListClusters and ListSteps
    :param reply_latency_s: real time a call to EMR takes on the way, half of it before its effect
    :param services_latency_s: the same for calls to all other services
    :param waiting_flip_s: how long a cluster says WAITING after it was given a step (about 10 s on AWS)
    :param terminate_gap_s: time between TerminateJobFlows and TERMINATING, in which steps are still accepted
    :param cancel_s: how long a cancelled pending step stays in CANCEL_PENDING
    :param idle_clock_speed: 60 makes the auto-termination clock run a minute each second
    :param steps_stuck: accept steps but never start them
    :param yarn_reachable: False closes connections to the ResourceManager without an answer
    :param events_queue_url: where events of clusters and steps are sent, "" for nowhere
    :param event_loss: share of events, 0 to 1, that is never sent; likewise `event_double` sent twice, `event_reorder` sent after
        the next one, `event_delay` sent up to `event_delay_s` late; `event_seed` makes the choice repeatable
    """

    clock_speed: float = 1.0
    throttle: str = "off"
    listing_lag_s: float = 0.0
    reply_latency_s: float = 0.0
    services_latency_s: float = 0.0
    starting_s: float = 1.0
    bootstrapping_s: float = 1.0
    terminating_s: float = 1.0
    step_start_s: float = 0.2
    log_delay_s: float = 2.0
    waiting_flip_s: float = 0.0
    terminate_gap_s: float = 0.0
    cancel_s: float = 0.2
    idle_clock_speed: float = 1.0
    steps_stuck: bool = False
    yarn_reachable: bool = True
    events_queue_url: str = ""
    event_loss: float = 0.0
    event_double: float = 0.0
    event_reorder: float = 0.0
    event_delay: float = 0.0
    event_delay_s: float = 5.0
    event_seed: float = 0.0

    def update(self, changes: dict[str, Any]) -> None:
        """Change knobs by name, all or none.

        :raises ConfigError: unknown name, wrong type, negative duration or unknown throttle mode
        """
        checked = {name: _checked(name, value) for name, value in changes.items()}
        for name, value in checked.items():
            setattr(self, name, value)

    def values(self) -> tuple[Any, ...]:
        """Return all values, to see whether one was changed."""
        return tuple(_VALUES(self))

    def as_dict(self) -> dict[str, Any]:
        """Return every knob by name."""
        return asdict(self)


_KINDS = {field.name: field.type for field in fields(SimConfig)}
_VALUES = attrgetter(*_KINDS)
_SHARES = frozenset({"event_loss", "event_double", "event_reorder", "event_delay"})


def _checked(name: str, value: Any) -> Any:
    if name not in _KINDS:
        raise ConfigError(f"unknown setting {name!r}; known: {', '.join(sorted(_KINDS))}")
    if name == "throttle" and value not in THROTTLE_MODES:
        raise ConfigError(f"throttle is one of {', '.join(THROTTLE_MODES)}, not {value!r}")
    kind = _KINDS[name]
    if kind is bool or kind is str:
        if not isinstance(value, kind):
            raise ConfigError(f"{name} is {'true or false' if kind is bool else 'a text'}, not {value!r}")
        return value
    return _checked_number(name, value)


def _checked_number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise ConfigError(f"{name} is a number of at least 0, not {value!r}")
    if name in _SHARES and value > 1:
        raise ConfigError(f"{name} is a share from 0 to 1, not {value!r}")
    return float(value)
