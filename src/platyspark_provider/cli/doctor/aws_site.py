"""AWS as one target's connection reaches it: clients with short timeouts, and what the profiles on the target want there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from platyspark_provider.core.model import Target
from platyspark_provider.core.profiles import Profile, Profiles
from platyspark_provider.errors import BackendUnavailable

CONNECT_S, READ_S = 2, 8
_CLIENT: dict[str, Any] = {"retries": {"total_max_attempts": 1, "mode": "standard"}, "connect_timeout": CONNECT_S, "read_timeout": READ_S}


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who AWS says we are."""

    account: str
    arn: str

    @property
    def partition(self) -> str:
        """Return the first part of every ARN there: `aws`, `aws-cn`, ..."""
        return self.arn.split(":")[1]


class TargetSite:
    """One target: its connection's session, built once, and its profiles."""

    def __init__(self, target: Target, profiles: Profiles) -> None:
        self.target = target
        self.artifacts = profiles.artifacts
        self.profiles: Sequence[Profile] = [profile for profile in profiles.profiles.values() if profile.target == target.name]
        self._clients: dict[str, Any] = {}

    @property
    def log_prefixes(self) -> list[str]:
        """Return where clusters write logs; a profile without a prefix uses the artifacts', as governance has it."""
        default = f"{self.artifacts}/logs" if self.artifacts else None
        return sorted({prefix for profile in self.profiles if (prefix := profile.log_uri or default)})

    @property
    def fix_credentials(self) -> str:
        """Return how to give the connection credentials."""
        conn_id = self.target.aws_conn_id
        extra = """'{"role_arn": "arn:aws:iam::ACCOUNT:role/ROLE", "region_name": "REGION"}'"""
        return f"airflow connections add {conn_id} --conn-type aws --conn-extra {extra}, or give the process an instance role"

    @cached_property
    def caller(self) -> Caller:
        """Ask STS who we are; raises BackendUnavailable, BackendRejected."""
        with self.errors("sts:GetCallerIdentity"):
            answer = self.client("sts").get_caller_identity()
        return Caller(account=str(answer["Account"]), arn=str(answer["Arn"]))

    @cached_property
    def _hook_and_session(self) -> tuple[Any, Any]:
        from airflow.sdk import Connection

        from platyspark_provider.airflow_core.connections import find_connection
        from platyspark_provider.hooks.aws import connection_hook

        conn_id = self.target.aws_conn_id
        known = find_connection(conn_id) or Connection(conn_id=conn_id, conn_type="aws")
        hook = connection_hook(conn_id, self.target.region, known)
        with self.errors("signing in"):
            session = hook.get_session(region_name=hook.region_name)
            credentials = session.get_credentials()
        if credentials is None:
            raise BackendUnavailable(f"Connection {conn_id!r} gives no AWS credentials.", hint=self.fix_credentials)
        return hook, session

    @property
    def region(self) -> str | None:
        """Return the region that EMR is called in."""
        _, session = self._hook_and_session
        return self.target.region or session.region_name

    @property
    def endpoint(self) -> str | None:
        """Return where EMR is called, if not at AWS."""
        hook, _ = self._hook_and_session
        url: str | None = hook.conn_config.get_service_endpoint_url(service_name="emr")
        return url or str(self.client("emr").meta.endpoint_url)

    def client(self, service: str) -> Any:
        """Return a boto3 client that tries once and gives up soon."""
        from botocore.config import Config

        if service not in self._clients:
            hook, session = self._hook_and_session
            with self.errors(f"building a client for {service}"):
                self._clients[service] = session.client(
                    service,
                    region_name=self.target.region or session.region_name,
                    endpoint_url=hook.conn_config.get_service_endpoint_url(service_name=service),
                    config=hook.config.merge(Config(**_CLIENT)),
                    verify=hook.verify,
                )
        return self._clients[service]

    def errors(self, action: str) -> Any:
        """Translate AWS's errors inside a block."""
        from platyspark_provider.aws_errors import aws_errors

        return aws_errors(f"{action} for target {self.target.name!r}", mutates=False)


def sites_of(profiles: Profiles) -> Mapping[str, TargetSite]:
    """Return the targets that some profile uses, by name."""
    used = {profile.target for profile in profiles.profiles.values()}
    return {name: TargetSite(target, profiles) for name, target in profiles.targets.items() if name in used}
