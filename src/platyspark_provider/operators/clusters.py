"""`SparkCluster`: a cluster that a DAG asks for by name, a value for `cluster=`."""

from collections.abc import Mapping
from copy import copy
from dataclasses import KW_ONLY, dataclass, fields
from datetime import timedelta
from typing import Any

from platyspark_provider.core.quantities import seconds_from_text
from platyspark_provider.core.request_checks import check_cluster
from platyspark_provider.core.spec import ClusterRequest
from platyspark_provider.errors import InvalidRequest

_TEMPLATED = ("name", "size", "idle_timeout", "profile")


@dataclass(frozen=True, slots=True)
class SparkCluster:
    """A named cluster: a profile of the platform team with some values of its own. Tasks that ask for equal ones share one.

    Texts may be templates; they are rendered before the task asks for the cluster.

    :param name: lower-case letters, digits and '-', up to 32; or that of a profile.
    :param size: of the machines beside the master: `small`, `medium`, `large`, or another name that the profile knows.
    :param workers: machines beside the master: a number, or at least and at most as load asks for.
    :param spot: share of them on spot capacity, 0 to 1; one always stays on demand.
    :param idle_timeout: time without work after which it ends: timedelta, "15m" or "PT15M".
    :param dedicated: for one application alone: each one makes its own.
    :param profile: what it starts from; None: the profile of its name, else `shared`.
    :raises InvalidRequest: a value makes no sense; what has to fit the profile is checked when the task runs.
    """

    name: str
    _: KW_ONLY
    size: str | None = None
    workers: int | tuple[int, int] | None = None
    spot: float | None = None
    idle_timeout: timedelta | str | None = None
    dedicated: bool = False
    profile: str | None = None

    def __post_init__(self) -> None:
        _request_of(self, is_rendered=False)

    def request(self) -> ClusterRequest:
        """Return what is asked of the registry; every text has to be rendered by now."""
        return _request_of(self, is_rendered=True)

    def resolve(self, context: Mapping[str, Any]) -> "SparkCluster":
        """Return the cluster with its texts rendered. Airflow calls it for a value of a template field.

        What they have become is checked by `request`: an error in here would let Airflow retry the task.
        """
        rendered = copy(self)
        for name in _TEMPLATED:
            text = getattr(self, name)
            if isinstance(text, str):
                object.__setattr__(rendered, name, context["task"].render_template(text, context))
        return rendered

    def serialize(self) -> dict[str, Any]:
        """Return what is set, as Airflow's UI shows it among the rendered templates."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        given = {name: value for name, value in values.items() if value is not None and value is not False}
        return {name: str(value) if isinstance(value, timedelta) else value for name, value in given.items()}


def _request_of(cluster: SparkCluster, *, is_rendered: bool) -> ClusterRequest:
    """Check every value and return the request; before rendering, a template counts as right."""
    texts = {name: _rendered(name, getattr(cluster, name), is_rendered) for name in _TEMPLATED}
    if texts["name"] is None:
        raise _refused("name", cluster.name, "empty", 'Write SparkCluster("etl").')
    if not isinstance(cluster.dedicated, bool):
        raise _refused("dedicated", cluster.dedicated, "no boolean", "Write True or False.")
    request = ClusterRequest(
        name=_text("name", texts["name"]),
        profile=_text_or_none("profile", texts["profile"]),
        size=_text_or_none("size", texts["size"]),
        workers=_workers(cluster.workers),
        spot=_spot(cluster.spot),
        idle_timeout_s=_idle_timeout(texts["idle_timeout"]),
        dedicated=cluster.dedicated,
    )
    check_cluster(request)
    return request


def _rendered(name: str, value: Any, is_rendered: bool) -> Any:
    """Return a value to check: a name stands in for a template that is not rendered yet, nothing for another one."""
    is_open = isinstance(value, str) and not is_rendered and any(sign in value for sign in ("{{", "{%"))
    return value if not is_open else "x" if name == "name" else None


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _refused(name, value, f"a {type(value).__name__} instead of text", "Write a string.")
    if not value.strip():
        raise _refused(name, value, "empty", "Write a value, or leave it out.")
    return value


def _text_or_none(name: str, value: Any) -> str | None:
    return None if value is None else _text(name, value)


def _workers(value: Any) -> tuple[int, int] | None:
    if value is None:
        return None
    pair = (value, value) if isinstance(value, int) else value
    is_pair = isinstance(pair, tuple | list) and len(pair) == 2
    if isinstance(value, bool) or not is_pair or not all(isinstance(n, int) and not isinstance(n, bool) for n in pair):
        raise _refused("workers", value, "no number of machines", "Write workers=4, or workers=(2, 12).")
    return pair[0], pair[1]


def _spot(value: Any) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _refused("spot", value, "no share", "Write spot=0.8 for four of five.")
    return float(value)


def _idle_timeout(value: Any) -> int | None:
    if value is None:
        return None
    advice = 'Write timedelta(minutes=15), "15m" or "PT15M".'
    if isinstance(value, timedelta):
        return int(value.total_seconds())
    if not isinstance(value, str):
        raise _refused("idle_timeout", value, f"a {type(value).__name__} is no duration", advice)
    try:
        return int(seconds_from_text(value))
    except InvalidRequest:
        raise _refused("idle_timeout", value, "no duration", advice) from None


def _refused(name: str, value: object, problem: str, advice: str) -> InvalidRequest:
    return InvalidRequest(f"cluster.{name} is {value!r}: {problem}.", hint=advice, field=f"cluster.{name}")
