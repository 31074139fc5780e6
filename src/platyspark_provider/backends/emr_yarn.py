"""Which ResourceManager belongs to an EMR cluster, and what it says of runs; remembers addresses and silence."""

import time
from collections.abc import Callable, Collection

from platyspark_provider.backends.emr_api import EmrApi
from platyspark_provider.backends.yarn import YarnApplication, YarnRest
from platyspark_provider.errors import PlatySparkError

_QUIET_S = 60.0
# A dead address costs 2 s a try, and one pass asks for many runs: one try serves the whole pass.
_PAUSE_S = 5.0
_RM_PORT = 8088


class EmrYarn:
    """The ResourceManagers of one target.

    :param url: the target's own address, with `{cluster}` for the cluster's id; None: port 8088 of the master.
    :param pause_s: how long a ResourceManager that did not answer is left alone.
    """

    def __init__(self, api: EmrApi, url: str | None, *, pause_s: float = _PAUSE_S) -> None:
        self._api, self._url, self._pause_s = api, url, pause_s
        self._rests: dict[str, YarnRest] = {}
        self._silent_at: dict[str, float] = {}

    def applications(self, cluster: str, tags: Collection[str]) -> tuple[YarnApplication, ...] | None:
        """Return the cluster's applications with these tags; None when YARN does not answer, or did not a moment ago."""
        return None if self._silence_s(cluster) < self._pause_s else self._ask(cluster, lambda rest: rest.applications(tags))

    def living(self, cluster: str) -> tuple[YarnApplication, ...] | None:
        """Return all of the cluster's applications that have not ended; None when YARN does not answer, or did not a moment ago."""
        return None if self._silence_s(cluster) < self._pause_s else self._ask(cluster, YarnRest.living)

    def _ask(self, cluster: str, question: Callable[[YarnRest], tuple[YarnApplication, ...] | None]) -> tuple[YarnApplication, ...] | None:
        rest = self._rest(cluster)
        found = question(rest) if rest else None
        if found is None:
            self._silent_at[cluster] = time.monotonic()
        else:
            self._silent_at.pop(cluster, None)
        return found

    def was_silent(self, cluster: str) -> bool:
        """Tell whether YARN did not answer within the last minute: what is merely nice to know need not be asked."""
        return self._silence_s(cluster) < _QUIET_S

    def _silence_s(self, cluster: str) -> float:
        return time.monotonic() - self._silent_at.get(cluster, float("-inf"))

    def kill(self, cluster: str, tag: str) -> str | None:
        """Kill every live application of a tag and say so; None when YARN does not answer. A kill waits for no pause."""
        rest, found = self._rest(cluster), self._ask(cluster, lambda rest: rest.applications([tag]))
        if rest is None or found is None:
            return None
        alive = [app.id for app in found if not app.is_ended]
        if not alive:
            return "YARN has no live application of this run"
        return "YARN " + ", ".join(f"{'was told to kill' if rest.kill(one) else 'refused to kill'} {one}" for one in alive)

    def _rest(self, cluster: str) -> YarnRest | None:
        if cluster not in self._rests:
            address = self._address(cluster)
            if address is None:
                return None
            self._rests[cluster] = YarnRest(address)
        return self._rests[cluster]

    def _address(self, cluster: str) -> str | None:
        if self._url:
            return self._url.replace("{cluster}", cluster)
        try:
            master = self._api.describe_cluster(cluster).master_dns
        except PlatySparkError:
            return None
        return f"http://{master}:{_RM_PORT}" if master else None
