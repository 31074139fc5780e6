"""Buttons on the task's page. A link is stored as XCom `_link_<ClassName>`, so class names are unique in all of Airflow.

Airflow asks `get_link` in the worker when a part of the task ends (also at deferral) and overwrites the stored value; the
operator stores it earlier too, so that the buttons work while the task still waits.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.sdk import BaseOperatorLink

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator

    from platyspark_provider.core.records import AppDetail


class PlatySparkAppLink(BaseOperatorLink):
    """The application: where its backend shows it."""

    name = "Spark app"

    def get_link(self, operator: "BaseOperator", *, ti_key: Any) -> str:
        """Return the address the operator knows; empty before the application has a cluster."""
        return _target(operator, self.name)


class PlatySparkLogLink(BaseOperatorLink):
    """The driver's log, where the backend writes it."""

    name = "Driver log"

    def get_link(self, operator: "BaseOperator", *, ti_key: Any) -> str:
        """Return the address the operator knows; empty before the application was sent."""
        return _target(operator, self.name)


APP_LINKS: tuple[BaseOperatorLink, ...] = (PlatySparkAppLink(), PlatySparkLogLink())


def _emr_console(region: str | None, cluster_id: str) -> str:
    host, query = (f"{region}.console.aws.amazon.com", f"?region={region}") if region else ("console.aws.amazon.com", "")
    return f"https://{host}/emr/home{query}#/clusterDetails/{cluster_id}"


_CONSOLES: dict[str, Callable[[str | None, str], str]] = {"emr": _emr_console}
"""Where each backend's own console shows a cluster; without a region it asks for the user's own."""


def _target(operator: Any, name: str) -> str:
    targets: dict[str, str] = getattr(operator, "link_targets", {})
    return targets.get(name, "")


def cluster_id_of(detail: "AppDetail") -> str | None:
    """Return the external id of the cluster a generation ran on; None before it had one."""
    known = detail.attempt.external_detail.get("cluster")
    if known:
        return str(known)
    return detail.cluster.external_id if detail.cluster else None


def targets_from_detail(detail: "AppDetail") -> dict[str, str]:
    """Return the addresses known now, by link name; what has none yet is left out (Airflow then shows no button)."""
    found: dict[str, str] = {}
    cluster_id = cluster_id_of(detail)
    if cluster_id and detail.target.backend in _CONSOLES:
        found[PlatySparkAppLink.name] = _CONSOLES[detail.target.backend](detail.target.region, quote(cluster_id))
    if detail.attempt.log_uri:
        found[PlatySparkLogLink.name] = log_address(detail.attempt.log_uri, detail.target.region)
    return found


def why_missing(detail: "AppDetail") -> dict[str, str]:
    """Return, for each link without an address, why there is none."""
    known = targets_from_detail(detail)
    reasons = {
        PlatySparkAppLink.name: "appears once the application runs on a cluster",
        PlatySparkLogLink.name: "appears once the driver's log has been found, some minutes after it ran",
    }
    return {name: reason for name, reason in reasons.items() if name not in known}


def log_address(uri: str, region: str | None) -> str:
    """Return a browser's address for an s3:// prefix or object; any other address as it is."""
    if not uri.startswith("s3://"):
        return uri
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    where = f"region={region}&" if region else ""
    return f"https://s3.console.aws.amazon.com/s3/buckets/{quote(bucket)}?{where}prefix={quote(key)}"
