"""What people send: bodies and parameters of the public API, and the values they become."""

import math
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Header, Path, Query
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from platyspark_provider.core.quantities import seconds_from_text
from platyspark_provider.core.spec import AppRequest, Artifact, ClusterRequest
from platyspark_provider.core.states import AppKind, OnLimit
from platyspark_provider.errors import InvalidRequest

MAX_ID = 2_147_483_647
_NO_NUL = r"^[^\x00]*$"
_ITEMS = 1000

Text = Annotated[str, StringConstraints(pattern=_NO_NUL, max_length=100_000)]
Name = Annotated[str, StringConstraints(pattern=_NO_NUL, min_length=1, max_length=250)]
Setting = Text | bool | int | Annotated[float, Field(allow_inf_nan=False)]
Texts = Annotated[list[Text], Field(max_length=_ITEMS)]
Duration = Annotated[
    Text | Annotated[int, Field(ge=0, le=MAX_ID)] | Annotated[float, Field(ge=0, le=MAX_ID, allow_inf_nan=False)],
    Field(description='Seconds, or a text such as "2h", "30min" or "PT4H".'),
]
Reason = Annotated[str, StringConstraints(pattern=_NO_NUL, max_length=1000)]

AppId = Annotated[int, Path(ge=1, le=MAX_ID, description="Of the application.")]
ClusterId = Annotated[int, Path(ge=1, le=MAX_ID, description="Of the cluster: a number, unlike in PUT.")]
ClusterName = Annotated[str, Path(min_length=1, max_length=100, pattern=_NO_NUL, description="Of the cluster.")]
Generation = Annotated[int | None, Query(ge=1, le=MAX_ID, description="A generation; without it the current one.")]
Limit = Annotated[int, Query(ge=1, description="At most this many; more than 100 is taken for 100.")]
Offset = Annotated[int, Query(ge=0, le=MAX_ID, description="Leave out this many.")]
After = Annotated[int, Query(ge=0, le=2**63 - 1, description="Only events with a greater id.")]
Word = Annotated[str | None, Query(min_length=1, max_length=250, pattern=_NO_NUL)]
ObjectId = Annotated[int | None, Query(ge=0, le=MAX_ID)]
TokenName = Annotated[str, Path(min_length=1, max_length=100, pattern=_NO_NUL, description="Of the token.")]
IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=250,
        pattern=r"^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$",
        description="Of the caller's choice; the same key with the same body is the same application, for as long as it is known. "
        "Without it each call makes a new one.",
    ),
]
IfMatch = Annotated[
    str | None,
    Header(
        alias="If-Match",
        pattern=r'^(\*|(W/)?"?[0-9]{1,9}"?)$',
        description="The `ETag` that was read (the generation): with another one by now nothing is done.",
    ),
]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _ClusterValues(_Body):
    profile: Name | None = None
    size: Name | None = Field(None, description="A name of the profile's sizes.")
    workers: Annotated[int, Field(ge=1, le=4000)] | Annotated[list[int], Field(min_length=2, max_length=2)] | None = Field(
        None, description="Machines beside the master: a number, or [least, most]."
    )
    spot: Annotated[float, Field(ge=0, le=1)] | None = Field(None, description="Share of them on spot capacity.")
    idle_timeout: Duration | None = None


class ClusterWish(_ClusterValues):
    """A named cluster: a profile with some values of its own; with `profile` alone, that profile's cluster."""

    name: Name | None = None
    dedicated: bool = Field(False, description="For this application alone.")


class ClusterBody(_ClusterValues):
    """What a named cluster shall be like."""

    team: Name | None = Field(None, description="Whose ceilings count.")


class SubmitBody(_Body):
    """An application to run; unset values come from the profile."""

    name: Name | None = None
    application: Text | None = Field(None, description="Address of a .py or .jar file.", examples=["s3://code/jobs/daily_agg.py"])
    sql: Text | None = Field(None, description="Statements to run instead of a file, separated by semicolons.")
    main_class: Name | None = Field(None, description="Of a jar.")
    args: Texts = []
    conf: dict[Name, Setting] = {}
    env_vars: dict[Name, Setting] = {}
    py_files: Texts = []
    files: Texts = []
    jars: Texts = []
    archives: Texts = []
    packages: Texts = Field([], description="Maven coordinates.")
    cluster: Name | ClusterWish = Field("shared", description="A profile's name, or a named cluster.")
    kind: AppKind = AppKind.BATCH
    max_runtime: Duration | None = None
    on_limit: OnLimit | None = None
    team: Name | None = None
    tags: dict[Name, Text] = {}
    dag_id: Name | None = Field(None, description="The DAG it belongs to: then the right to run that DAG is enough.")

    def request(self) -> AppRequest:
        """Return what is asked for."""
        return AppRequest(
            application=None if self.application is None else _artifact("application", self.application),
            sql=self.sql,
            kind=self.kind,
            name=self.name,
            main_class=self.main_class,
            args=tuple(self.args),
            conf=_settings(self.conf),
            env_vars=_settings(self.env_vars),
            py_files=_artifacts("py_files", self.py_files),
            files=_artifacts("files", self.files),
            jars=_artifacts("jars", self.jars),
            archives=_artifacts("archives", self.archives),
            packages=tuple(self.packages),
            cluster=_cluster(self.cluster),
            max_runtime_s=None if self.max_runtime is None else seconds_of("max_runtime", self.max_runtime),
            on_limit=self.on_limit,
            team=self.team,
            tags=self.tags,
        )


class ReasonBody(_Body):
    """Why it is done; stands in the events."""

    reason: Reason = ""


class TokenBody(_Body):
    """A machine token to make."""

    name: Name
    scopes: Annotated[list[Name], Field(min_length=1, max_length=10)]
    teams: Annotated[list[Name], Field(max_length=_ITEMS)] = []
    expires: Duration | None = Field(None, description="How long it opens anything; without it until it is revoked.")


def generation_of(if_match: str | None) -> int | None:
    """Return the generation that a caller has seen; None for one that takes any."""
    return None if if_match in {None, "*"} else int(str(if_match).removeprefix("W/").strip('"'))


def with_zone(moment: datetime | None) -> datetime | None:
    """Return a moment with its zone; UTC where it has none."""
    return moment if moment is None or moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def cluster_request(name: str, wish: ClusterWish | ClusterBody) -> ClusterRequest:
    """Return the named cluster that is asked for."""
    return ClusterRequest(
        name=name,
        profile=wish.profile,
        size=wish.size,
        workers=_workers(wish.workers),
        spot=wish.spot,
        idle_timeout_s=None if wish.idle_timeout is None else seconds_of("idle_timeout", wish.idle_timeout),
        dedicated=isinstance(wish, ClusterWish) and wish.dedicated,
    )


def seconds_of(field: str, value: str | float) -> int:
    """Return a duration in whole seconds, rounded up."""
    try:
        seconds = seconds_from_text(value)
    except InvalidRequest as bad:
        raise InvalidRequest(f"{field} {bad.message}", hint=bad.hint, field=field) from bad
    if seconds > MAX_ID:
        raise InvalidRequest(f"{field} {value!r} is longer than a lifetime.", hint="Write a shorter one.", field=field)
    return math.ceil(seconds)


def _cluster(wish: str | ClusterWish) -> str | ClusterRequest:
    if isinstance(wish, str):
        return wish
    if wish.name is not None:
        return cluster_request(wish.name, wish)
    if wish.profile is None or wish.model_fields_set - {"profile", "name"}:
        raise InvalidRequest("A cluster with values of its own needs a name.", hint='Write cluster: {"name": ...}.', field="cluster.name")
    return wish.profile


def _workers(workers: int | list[int] | None) -> tuple[int, int] | None:
    if workers is None:
        return None
    low, high = (workers, workers) if isinstance(workers, int) else workers
    if not 1 <= low <= high <= 4000:
        raise InvalidRequest(f"workers [{low}, {high}] can't be.", hint="Least and most, from 1 to 4000.", field="workers")
    return low, high


def _settings(values: dict[str, str | bool | int | float]) -> dict[str, str]:
    return {key: str(value).lower() if isinstance(value, bool) else str(value) for key, value in values.items()}


def _artifacts(field: str, addresses: list[str]) -> tuple[Artifact, ...]:
    return tuple(_artifact(f"{field}[{index}]", address) for index, address in enumerate(addresses))


def _artifact(field: str, address: str) -> Artifact:
    if "://" not in address:
        hint = "Give an s3:// address: local files can't come through here."
        raise InvalidRequest(f"{field} {address[:200]!r} is no address.", hint=hint, field=field)
    name = address.partition("#")[0].rstrip("/").rsplit("/", 1)[-1]
    return Artifact(name=name, uri=address)
