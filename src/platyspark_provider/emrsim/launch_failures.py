"""Launches that fail: EMR's reason codes, error codes and words for what keeps a new cluster from getting ready.

Codes and the members of ErrorData are those of "Error codes with ErrorDetail information in Amazon EMR"; docs/emrsim-fidelity.md
says which texts were seen and which are ours.
"""

import itertools
import re
import threading
from dataclasses import dataclass
from typing import Any

from platyspark_provider.emrsim import records as r
from platyspark_provider.emrsim.planted import SpecError, checked_count, checked_pattern, checked_spec
from platyspark_provider.emrsim.records import ClusterRecord, Doom

_GUIDE = "https://docs.aws.amazon.com/emr/latest/ManagementGuide"


@dataclass(frozen=True, slots=True, kw_only=True)
class LaunchFailure:
    """One way to fail at the end of `state`; texts may name {master}, {type}, {zone} and {subnet}."""

    state: str
    code: str
    message: str
    error_code: str | None = None
    error_data: tuple[tuple[str, str], ...] = ()


_PLACE = (("instance-type", "{type}"), ("availability-zone", "{zone}"))
_PRIMARY = (("primary-instance-id", "{master}"), *_PLACE)
FAILURES = {
    "bootstrap": LaunchFailure(
        state=r.BOOTSTRAPPING,
        code="BOOTSTRAP_FAILURE",
        message="On the master instance ({master}), bootstrap action 1 returned a non-zero return code",
        error_code="BOOTSTRAP_FAILURE_PRIMARY_WITH_NON_ZERO_CODE",
        error_data=(("primary-instance-id", "{master}"), ("bootstrap-action", "1"), ("return-code", "1"), ("amazon-s3-path", "{script}")),
    ),
    "capacity": LaunchFailure(
        state=r.STARTING,
        code="INTERNAL_ERROR",
        message="EC2 is out of capacity for {type} in availability zone {zone}. "
        "Learn more at https://docs.aws.amazon.com/console/elasticmapreduce/ERROR_noinstancecapacity",
        error_code="INTERNAL_ERROR_EC2_INSUFFICIENT_CAPACITY_AZ",
        error_data=_PLACE,
    ),
    "spot_capacity": LaunchFailure(
        state=r.STARTING,
        code="INTERNAL_ERROR",
        message="There is not enough Spot capacity for the primary instance {type} in availability zone {zone}.",
        error_code="INTERNAL_ERROR_SPOT_NO_CAPACITY_PRIMARY",
        error_data=_PRIMARY,
    ),
    "spot_price": LaunchFailure(
        state=r.STARTING,
        code="INTERNAL_ERROR",
        message="The Spot price of {type} in availability zone {zone} rose above the price of the primary instance.",
        error_code="INTERNAL_ERROR_SPOT_PRICE_INCREASE_PRIMARY",
        error_data=_PRIMARY,
    ),
    "instance_failure": LaunchFailure(state=r.BOOTSTRAPPING, code="INSTANCE_FAILURE", message="Master instance ({master}) failed"),
    "fleet_timeout": LaunchFailure(
        state=r.STARTING,
        code="INSTANCE_FLEET_TIMEOUT",
        message="The instance fleet could not reach its target capacity before its provisioning timed out",
    ),
    "validation": LaunchFailure(
        state=r.STARTING,
        code="VALIDATION_ERROR",
        message="The subnet configuration was invalid: The subnet {subnet} does not exist.",
    ),
    "internal_error": LaunchFailure(state=r.STARTING, code="INTERNAL_ERROR", message="An internal error occurred."),
    "ec2_throttling": LaunchFailure(
        state=r.STARTING, code="INTERNAL_ERROR", message="Failed to provision instances due to throttling from Amazon EC2"
    ),
}
_FIELDS = frozenset({"failure", "cluster", "count"})


@dataclass(slots=True, kw_only=True, eq=False)
class PlantedFailure:
    """A failure that waits for its clusters; `cluster` matches whole names, `count` None is for ever."""

    id: str
    failure: str
    cluster: re.Pattern[str]
    count: int | None
    hits: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Return the public description with the number of clusters that met it."""
        return {"id": self.id, "failure": self.failure, "cluster": self.cluster.pattern, "count": self.count, "hits": self.hits}


class LaunchFailures:
    """Hold the failures planted for clusters to come, the first match wins; in memory only, gone after a restart."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._planted: dict[str, PlantedFailure] = {}
        self._ids = itertools.count(1)

    def add(self, spec: dict[str, Any]) -> PlantedFailure:
        """Plant a failure for the next cluster, or the next `count` ones.

        :raises SpecError: unknown field or failure, or not an expression
        """
        given = checked_spec(spec, _FIELDS)
        name = given.get("failure")
        if name not in FAILURES:
            raise SpecError(f"failure is one of {', '.join(FAILURES)}, not {name!r}")
        pattern, count = checked_pattern("cluster", given.get("cluster", ".*")), checked_count(spec.get("count", 1))
        with self._lock:
            planted = PlantedFailure(id=f"l{next(self._ids)}", failure=name, cluster=pattern, count=count)
            self._planted[planted.id] = planted
            return planted

    def take(self, cluster: ClusterRecord) -> Doom | None:
        """Return what a new cluster will die of, if anything."""
        with self._lock:
            for planted in self._planted.values():
                is_left = planted.count is None or planted.hits < planted.count
                if is_left and planted.cluster.fullmatch(cluster.name):
                    planted.hits += 1
                    return doom_of(cluster, FAILURES[planted.failure])
        return None

    def remove(self, failure_id: str | None = None) -> int:
        """Remove one failure or all and return how many there were; clusters that met one still die."""
        with self._lock:
            ids = [failure_id] if failure_id is not None else list(self._planted)
            return sum(self._planted.pop(one, None) is not None for one in ids)

    def describe(self) -> list[dict[str, Any]]:
        """Return every planted failure, used up ones included."""
        with self._lock:
            return [planted.as_dict() for planted in self._planted.values()]


def doom_of(cluster: ClusterRecord, failure: LaunchFailure) -> Doom:
    """Return the failure in the words of one cluster."""
    words = _words(cluster)
    message = failure.message.format(**words)
    details = []
    if failure.error_code is not None:
        pairs = [*failure.error_data, ("public-doc", f"{_GUIDE}/{failure.error_code}.html")]
        data = [{name: text.format(**words)} for name, text in pairs]
        details = [{"ErrorCode": failure.error_code, "ErrorData": data, "ErrorMessage": message}]
    return Doom(state=failure.state, code=failure.code, message=message, error_details=details)


def _words(cluster: ClusterRecord) -> dict[str, str]:
    master = next(item.instances[0] for item in cluster.instance_sets if item.role == "MASTER")
    instances = cluster.request["Instances"]
    subnets = [instances["Ec2SubnetId"]] if "Ec2SubnetId" in instances else instances.get("Ec2SubnetIds", [])
    actions = cluster.request.get("BootstrapActions", [])
    return {
        "master": master.ec2_id,
        "type": master.type,
        "zone": instances.get("Placement", {}).get("AvailabilityZone", f"{cluster.region}a"),
        "subnet": subnets[0] if subnets else "subnet-00000000000000000",
        "script": actions[0]["ScriptBootstrapAction"]["Path"] if actions else "",
    }
