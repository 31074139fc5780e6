"""Buttons on the task's page. A link is stored as XCom `_link_<ClassName>`, so class names are unique in all of Airflow.

Airflow asks `get_link` in the worker when a part of the task ends (also at deferral) and overwrites the stored value; the
operator stores it earlier too, so that the buttons work while the task still waits.
"""

from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from airflow.sdk import BaseOperatorLink

from platyspark_provider.core.records import AppDetail
from platyspark_provider.operators.outcome import cluster_id_of

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator


class HasLinks(Protocol):
    """An operator that keeps the targets of its links by their names."""

    link_targets: dict[str, str]


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


_CONSOLES = {"emr": "https://{host}console.aws.amazon.com/emr/home?region={region}#/clusterDetails/{cluster}"}
"""Where each backend's own console shows a cluster."""


def _target(operator: Any, name: str) -> str:
    targets: dict[str, str] = getattr(operator, "link_targets", {})
    return targets.get(name, "")


def targets_from_detail(detail: AppDetail) -> dict[str, str]:
    """Return the addresses known now, by link name; what has none yet is left out (Airflow then shows no button)."""
    found: dict[str, str] = {}
    cluster_id = cluster_id_of(detail)
    if cluster_id and detail.target.backend in _CONSOLES:
        region = detail.target.region
        found[PlatySparkAppLink.name] = _CONSOLES[detail.target.backend].format(
            host=f"{region}." if region else "", region=region or "", cluster=quote(cluster_id)
        )
    if detail.attempt.log_uri:
        found[PlatySparkLogLink.name] = log_address(detail.attempt.log_uri, detail.target.region)
    return found


def why_missing(detail: AppDetail) -> dict[str, str]:
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
