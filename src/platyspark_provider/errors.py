"""Every error of the provider, as one tree; an error's text says what happened, to what, and what to do next.

PlatySparkError
├── PermanentError            asking again changes nothing: the task fails without a retry
│   ├── InvalidRequest        an argument is wrong
│   ├── UnknownProfile        no such profile ("did you mean")
│   ├── ProfilesInvalid       profiles.yaml is malformed
│   ├── PolicyViolated        a ceiling or a rule of the platform team forbids it
│   ├── ArtifactMissing       a file is not where the request says
│   ├── ArtifactsUnset        no artifacts prefix to upload to
│   ├── IdempotencyMismatch   the explicit key belongs to another request
│   ├── NotFound              no such app, attempt or cluster
│   ├── NotAllowed            missing, wrong or revoked token; not this task's app
│   ├── StaleTry              the caller's try is no longer the current one
│   ├── Superseded            a newer generation replaced the one waited for
│   ├── StaleGeneration       the object has moved on since the caller read it
│   ├── AlreadyEnded          there is nothing left to cancel
│   ├── OwnedByTask           a task waits for the application: restarting it is Airflow's to do
│   ├── ClusterConflict       another cluster of that name lives
│   ├── ClusterInUse          applications are on the cluster
│   ├── OrderDisallowed       a list can't be ordered by that
│   ├── ClientTooOld          the api-server no longer speaks this client's version
│   ├── DatabaseUnsupported   MySQL
│   ├── BackendRejected       the backend refused the call for its content
│   └── SparkAppFailed        the application's own fault
└── TemporaryError            may pass by itself: `retry_after` seconds
    ├── RegistryUnavailable   api-server not reached
    ├── ProfilesUnavailable   profiles.yaml was never good since the api-server started
    ├── SchemaBehind          tables older than the code
    ├── ClientTooNew          api-server not upgraded yet
    ├── StoreBusy             SQLite locked
    ├── BackendUnavailable    endpoint down, credentials missing or expired
    ├── BackendThrottled      not done, try later
    ├── ReplyLost             done or not done: look before asking again
    ├── ClusterGone           the cluster takes no more work
    ├── TargetFull            a target has as many clusters as it may
    └── SparkAppLost          the platform's, capacity's or somebody else's fault, or unknown
"""

from typing import Any, ClassVar


class PlatySparkError(Exception):
    """Base of all; `code` is stable and travels over HTTP, `hint` says what to do next.

    :param fields: what the sentence speaks of, for programs.
    """

    code: ClassVar[str] = "error"
    status: ClassVar[int] = 500

    def __init__(self, message: str, *, hint: str = "", **fields: Any) -> None:
        super().__init__(f"{message} {hint}".strip())
        self.message, self.hint, self.fields = message, hint, fields


class PermanentError(PlatySparkError):
    """Asking again changes nothing."""

    code, status = "permanent", 400


class InvalidRequest(PermanentError):
    """An argument is missing, of the wrong type or contradicts another."""

    code, status = "invalid_request", 422


class UnknownProfile(PermanentError):
    """The request names a profile that profiles.yaml does not hold."""

    code, status = "unknown_profile", 422


class ProfilesInvalid(PermanentError):
    """profiles.yaml can't be used; the message names the line or the key."""

    code, status = "profiles_invalid", 422


class PolicyViolated(PermanentError):
    """The platform team's rules forbid a value."""

    code, status = "policy_violated", 403


class ArtifactMissing(PermanentError):
    """A file of the request is not there; the message lists where it was looked for."""

    code, status = "artifact_missing", 422


class ArtifactsUnset(PermanentError):
    """A local file has to be uploaded and no prefix is configured."""

    code, status = "artifacts_unset", 422


class IdempotencyMismatch(PermanentError):
    """An explicit app key was used before with another request; `fields["differing"]` names the fields."""

    code, status = "idempotency_mismatch", 409


class NotFound(PermanentError):
    """There is no such object, or the caller may not know of it."""

    code, status = "not_found", 404


class NotAllowed(PermanentError):
    """The token is missing, unknown, revoked, expired or lacks the scope; or the app is another task's."""

    code, status = "not_allowed", 403


class StaleTry(PermanentError):
    """The task instance that asks was cleared, marked or has ended: its intents are refused."""

    code, status = "stale_try", 409


class Superseded(PermanentError):
    """A newer generation of the app has replaced the one this task waited for."""

    code, status = "superseded", 409


class StaleGeneration(PermanentError):
    """`If-Match` names another generation than the object has now."""

    code, status = "stale_generation", 409


class AlreadyEnded(PermanentError):
    """The application has ended: there is nothing to cancel."""

    code, status = "already_ended", 409


class OwnedByTask(PermanentError):
    """A live Airflow task waits for the application."""

    code, status = "owned_by_task", 409


class ClusterConflict(PermanentError):
    """A cluster of that name but another spec lives; `fields["differing"]` names what differs, `cluster_id` is its id."""

    code, status = "cluster_conflict", 409


class ClusterInUse(PermanentError):
    """Applications are on the cluster that is to end; `fields["apps"]` lists their ids."""

    code, status = "cluster_in_use", 409


class OrderDisallowed(PermanentError):
    """A list can't be ordered by that field."""

    code, status = "order_disallowed", 400


class ClientTooOld(PermanentError):
    """The worker's package is more than one API version behind the api-server's."""

    code, status = "client_too_old", 426


class DatabaseUnsupported(PermanentError):
    """The metadata database is of a kind that is not proven."""

    code, status = "database_unsupported", 501


class BackendRejected(PermanentError):
    """The backend refused the content of a call (validation, access denied): nothing was done."""

    code, status = "backend_rejected", 422


class SparkAppFailed(PermanentError):
    """The application failed by its own fault; the message is the error card."""

    code, status = "app_failed", 422


class TemporaryError(PlatySparkError):
    """May pass by itself.

    :param retry_after: seconds after which asking again makes sense.
    """

    code, status = "temporary", 503

    def __init__(self, message: str, *, hint: str = "", retry_after: float = 5.0, **fields: Any) -> None:
        super().__init__(message, hint=hint, **fields)
        self.retry_after = retry_after


class RegistryUnavailable(TemporaryError):
    """The api-server can't be reached or answers 5xx."""

    code = "registry_unavailable"


class ProfilesUnavailable(TemporaryError):
    """profiles.yaml can't be used and there is no last good content; the message names the file and the line or key.

    It is the platform team's to mend, so that no task fails for good by it.
    """

    code = "profiles_unavailable"


class SchemaBehind(TemporaryError):
    """The tables are older than the code: `airflow db migrate` mends it."""

    code = "schema_behind"


class ClientTooNew(TemporaryError):
    """The worker's package is newer than the api-server's; upgrade the api-server."""

    code = "client_too_new"


class StoreBusy(TemporaryError):
    """The database is locked by another writer (SQLite)."""

    code = "store_busy"


class BackendUnavailable(TemporaryError):
    """The backend's endpoint is unreachable, or no credentials are valid now; nothing was done."""

    code = "backend_unavailable"


class BackendThrottled(TemporaryError):
    """The backend refused for its rate: known not done."""

    code = "backend_throttled"


class ReplyLost(TemporaryError):
    """The call left and no answer came: done or not, only a listing can tell."""

    code = "reply_lost"


class ClusterGone(TemporaryError):
    """The cluster ends or has ended and takes no more work: resolve again."""

    code = "cluster_gone"


class TargetFull(TemporaryError):
    """A target has as many clusters as profiles.yaml allows; one has to end first."""

    code = "target_full"


class SparkAppLost(TemporaryError):
    """The application failed for another reason than its own code; a retry may help."""

    code = "app_lost"


def error_classes() -> dict[str, type[PlatySparkError]]:
    """Return every concrete error by its `code`, for the HTTP client that rebuilds them."""
    found: dict[str, type[PlatySparkError]] = {}
    todo: list[type[PlatySparkError]] = [PlatySparkError]
    while todo:
        cls = todo.pop()
        found[cls.code] = cls
        todo.extend(cls.__subclasses__())
    return found
