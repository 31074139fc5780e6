"""What crosses the worker API: headers, versions, bodies and errors, shared by client and routes; the values are those of `core`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from platyspark_provider.core.facts import Record
from platyspark_provider.core.model import Cluster
from platyspark_provider.core.records import AppDetail, Claim, ClaimRequest, Due, Ensured, KillAnswer, RecordAnswer, Snapshot, SubmitAnswer
from platyspark_provider.core.spec import AppRequest, ClusterRequest
from platyspark_provider.errors import NotAllowed, PermanentError, PlatySparkError, RegistryUnavailable, TemporaryError, error_classes

MOUNT = "/platyspark"
PREFIX = "/api/v1"
_NO_NUL = r"^[^\x00]*$"
API_VERSION = 1  # grows with each change that an older api-server or client would misread
CLIENT_HEADER = "X-PlatySpark-Client"
TI_HEADER = "X-PlatySpark-TI"
ACTOR_HEADER = "X-PlatySpark-Actor"


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationBody:
    """Names a generation."""

    generation: int


@dataclass(frozen=True, slots=True, kw_only=True)
class KillBody:
    """A kill on behalf of a task."""

    generation: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimBody:
    """Leases to take."""

    requests: tuple[ClaimRequest, ...]
    holder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseBody:
    """Leases to give back."""

    claims: tuple[Claim, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordBody:
    """Facts, in order."""

    records: tuple[Annotated[Record, Field(discriminator="kind")], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseBody:
    """A named lease to take or renew; for a day at most."""

    name: Annotated[str, Field(min_length=1, max_length=190, pattern=_NO_NUL)]
    holder: Annotated[str, Field(min_length=1, max_length=250, pattern=_NO_NUL)]
    seconds: Annotated[float, Field(ge=0, le=86_400)]


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseAnswer:
    """Whether the named lease is the caller's."""

    held: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class EnsureBody:
    """A cluster that is asked for by itself; parameters as `Registry.ensure_cluster`."""

    cluster: ClusterRequest
    team: str | None = None
    alongside: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class EndBody:
    """A cluster that is to end, by id or by name; parameters as `Registry.end_cluster`."""

    cluster: int | str
    action: Literal["drain", "terminate"]
    force: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """An error on the wire, inside `{"detail": ...}`: `code` names the class, `reason` the case within it."""

    code: str
    message: str
    hint: str = ""
    retry_after: float | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)


REQUEST = TypeAdapter(AppRequest)
GENERATION_BODY = TypeAdapter(GenerationBody)
KILL_BODY = TypeAdapter(KillBody)
CLAIM_BODY = TypeAdapter(ClaimBody)
RELEASE_BODY = TypeAdapter(ReleaseBody)
RECORD_BODY = TypeAdapter(RecordBody)
LEASE_BODY = TypeAdapter(LeaseBody)
ENSURE_BODY = TypeAdapter(EnsureBody)
END_BODY = TypeAdapter(EndBody)
SUBMIT_ANSWER = TypeAdapter(SubmitAnswer)
DETAIL = TypeAdapter(AppDetail)
KILL_ANSWER = TypeAdapter(KillAnswer)
SNAPSHOT = TypeAdapter(Snapshot)
ENSURED = TypeAdapter(Ensured)
CLUSTER = TypeAdapter(Cluster)
CLUSTERS = TypeAdapter(tuple[Cluster, ...])
DUE = TypeAdapter(Due)
CLAIMS = TypeAdapter(tuple[Claim, ...])
RECORD_ANSWERS = TypeAdapter(tuple[RecordAnswer, ...])
LEASE_ANSWER = TypeAdapter(LeaseAnswer)
HEALTH = TypeAdapter(dict[str, Any])


def problem_from_error(error: PlatySparkError) -> dict[str, Any]:
    """Return the body of an error; the fields stand beside the code, as Airflow's own errors have it."""
    wait = {"retry_after": error.retry_after} if isinstance(error, TemporaryError) else {}
    return {"detail": {**error.fields, "code": error.code, "message": error.message, "hint": error.hint, **wait}}


def error_from_problem(status: int, body: Any, *, retry_after: float | None, where: str) -> PlatySparkError:
    """Rebuild the error of a reply that is no success; what does not come from our routes is the way there, and may pass.

    :param body: the parsed JSON, or None; :param retry_after: of the header; :param where: the address, for the message.
    """
    detail = body.get("detail") if isinstance(body, Mapping) else None
    if not isinstance(detail, Mapping) or "code" not in detail:
        return _foreign(status, retry_after, where)
    fields = {str(key): value for key, value in detail.items() if key not in {"code", "message", "hint", "retry_after"}}
    message, hint = str(detail.get("message", "")), str(detail.get("hint", ""))
    cls = error_classes().get(str(detail["code"]))
    if cls is None:
        cls = NotAllowed if status in {401, 403} else PermanentError if 400 <= status < 500 else TemporaryError
    if issubclass(cls, TemporaryError):
        return cls(message, hint=hint, retry_after=float(detail.get("retry_after") or retry_after or 5.0), **fields)
    return cls(message, hint=hint, **fields)


def _foreign(status: int, retry_after: float | None, where: str) -> PlatySparkError:
    if status == 404:
        hint = "Is it an Airflow api-server with platyspark-provider installed? Look at the host of the connection."
    elif 300 <= status < 400:
        hint = "It redirects: give the final address (https?) as the host of the connection."
    else:
        hint = "A proxy or a starting api-server answers."
    return RegistryUnavailable(f"{where} answered {status} without our API.", hint=hint, retry_after=retry_after or 5.0, status=status)
