"""YARN's ResourceManager over REST: applications by tag and their kill; `None` means that it does not answer.

Often only machines near the cluster can reach it, so silence is ordinary here and no error.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from platyspark_provider.backends.base import Death

_REASON_CHARS = 500
_LIVING = ("NEW", "NEW_SAVING", "SUBMITTED", "ACCEPTED", "RUNNING")
_ENDED = frozenset({"FINISHED", "FAILED", "KILLED"})
_TIMEOUT = httpx.Timeout(10.0, connect=2.0)
# Without Kerberos YARN takes the caller's word for who it is; steps run as hadoop.
_USER = {"user.name": "hadoop"}


@dataclass(frozen=True, slots=True, kw_only=True)
class YarnApplication:
    """One application as the ResourceManager lists it, in YARN's words."""

    id: str
    state: str
    final_status: str
    tags: frozenset[str]
    tracking_url: str = ""
    diagnostics: str = ""

    @property
    def is_ended(self) -> bool:
        """Tell whether YARN has nothing of it running any more."""
        return self.state in _ENDED

    @property
    def has_succeeded(self) -> bool:
        """Tell whether it told YARN itself that it succeeded."""
        return self.state == "FINISHED" and self.final_status == "SUCCEEDED"

    @property
    def why_it_ended(self) -> str:
        """Return the first line of what YARN was told about the end; empty while it lives."""
        lines = [line.strip() for line in self.diagnostics.replace("\x00", "").splitlines() if line.strip()]
        return lines[0][:_REASON_CHARS] if lines and self.is_ended else ""


def application_from_raw(raw: Mapping[str, Any]) -> YarnApplication:
    """Parse one entry of `/ws/v1/cluster/apps`."""
    return YarnApplication(
        id=str(raw["id"]),
        state=str(raw["state"]),
        final_status=str(raw.get("finalStatus", "")),
        tags=frozenset(tag for tag in str(raw.get("applicationTags") or "").split(",") if tag),
        tracking_url=str(raw.get("trackingUrl") or ""),
        diagnostics=str(raw.get("diagnostics") or ""),
    )


class YarnRest:
    """The ResourceManager at one address; safe to share between threads.

    :param base_url: `http://<master>:8088`.
    """

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url.rstrip("/")

    def applications(self, tags: Collection[str]) -> tuple[YarnApplication, ...] | None:
        """Return every known application that wears one of the tags, ended ones included; None without an answer."""
        found = self._list({"applicationTags": ",".join(sorted(tags))})
        return None if found is None else tuple(app for app in found if not app.tags.isdisjoint(tags))

    def living(self) -> tuple[YarnApplication, ...] | None:
        """Return every application that has not ended, whoever sent it; None without an answer."""
        found = self._list({"states": ",".join(_LIVING)})
        return None if found is None else tuple(app for app in found if not app.is_ended)

    def _list(self, params: Mapping[str, str]) -> tuple[YarnApplication, ...] | None:
        try:
            with self._client() as client:
                answer = client.get("/ws/v1/cluster/apps", params=dict(params))
            answer.raise_for_status()
            listed = (answer.json().get("apps") or {}).get("app") or []
            return tuple(application_from_raw(raw) for raw in listed)
        except (httpx.HTTPError, ValueError, KeyError, AttributeError, TypeError):
            return None

    def kill(self, application_id: str) -> bool:
        """Ask for the end of an application; True if YARN took the order, which is not yet its death."""
        try:
            with self._client() as client:
                answer = client.put(f"/ws/v1/cluster/apps/{application_id}/state", json={"state": "KILLED"}, params=_USER)
        except httpx.HTTPError:
            return False
        return answer.status_code in {200, 202}

    def _client(self) -> httpx.Client:
        return httpx.Client(base_url=self.base_url, timeout=_TIMEOUT, follow_redirects=True, trust_env=False)


def death_from_applications(applications: Collection[YarnApplication], *, step_ended: bool) -> Death:
    """Return what YARN's list of one tag's applications proves.

    No application at all proves death only once the step, which would still submit one, has ended.
    """
    alive = sorted(app.id for app in applications if not app.is_ended)
    if alive:
        return Death(state="alive", proof=f"YARN: {', '.join(alive)} runs")
    if applications:
        ended = ", ".join(sorted(f"{app.id} {app.state}" for app in applications))
        return Death(state="dead", proof=f"YARN: {ended}")
    if step_ended:
        return Death(state="dead", proof="YARN knows no application of this run, and the step has ended")
    return Death(state="unknown")
