"""How rows are shown to people, over REST and on the command line: plain mappings, without secrets; conditions in words."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any

from platyspark_provider.core.masking import hidden, masked, masked_text
from platyspark_provider.core.model import App, Attempt, Cluster, Event, Failure, Token
from platyspark_provider.core.profiles import Profile, Profiles
from platyspark_provider.core.records import QueuePlace
from platyspark_provider.core.spec import ClusterSpec, ResolvedSpec
from platyspark_provider.core.states import AppPhase, FailureClass
from platyspark_provider.registry.tokens import state_of

View = dict[str, Any]
_UNSENT = frozenset({AppPhase.NEW, AppPhase.WAIT_CLUSTER})


def app_view(app: App, attempt: Attempt, *, place: QueuePlace | None = None) -> View:
    """Return an application with one of its generations.

    :param place: why it waits for a cluster.
    """
    return {
        "id": app.id,
        "app_key": app.app_key,
        "name": app.name,
        "kind": app.kind.value,
        "team": app.team,
        "owner": app.owner,
        "environment": app.environment,
        "dag_id": app.dag_id,
        "task_id": app.task_id,
        "run_id": app.run_id,
        "map_index": app.map_index,
        "generation": app.wanted_generation,
        "desired_state": "stopped" if _is_stop_wanted(attempt) else app.desired.value,
        "submitted_at": app.created_at,
        "updated_at": app.updated_at,
        "spec": spec_view(attempt.spec),
        "status": {**status_view(attempt), "cluster_id": _cluster_id(app, attempt), "conditions": list(_conditions(app, attempt, place))},
    }


def _is_stop_wanted(attempt: Attempt) -> bool:
    return attempt.stop_requested_at is not None and attempt.stop_actor != "backend"


def _cluster_id(app: App, attempt: Attempt) -> int | None:
    return app.cluster_id if attempt.generation == app.generation else attempt.cluster_id


def status_view(attempt: Attempt) -> View:
    """Return where a generation is."""
    since = attempt.started_at or attempt.submitted_at
    lasted = (attempt.ended_at - since).total_seconds() if attempt.ended_at is not None and since is not None else None
    stop = {"requested_at": attempt.stop_requested_at, "reason": attempt.stop_reason, "actor": attempt.stop_actor}
    return {
        "state": attempt.phase.value,
        "attempt": attempt.generation,
        "external_id": attempt.external_id,
        "sends": attempt.sends,
        "sent_at": attempt.submitted_at,
        "started_at": attempt.started_at,
        "ended_at": attempt.ended_at,
        "duration_s": lasted,
        "stop": stop if attempt.stop_requested_at is not None else None,
        "failure": None if attempt.failure is None else failure_view(attempt.failure),
        "log_state": attempt.log_state.value,
        "log_uri": attempt.log_uri,
        "result": None if attempt.result is None else dict(attempt.result),
    }


def failure_view(failure: Failure) -> View:
    """Return what the error card says, part by part."""
    values = asdict(failure)
    return {"class": (values.pop("klass") or FailureClass.UNKNOWN).value, **values}


def attempt_view(attempt: Attempt) -> View:
    """Return one generation with its frozen spec and where each value came from."""
    return {
        "generation": attempt.generation,
        "created_at": attempt.created_at,
        "status": {**status_view(attempt), "cluster_id": attempt.cluster_id, "conditions": []},
        "spec": spec_view(attempt.spec),
        "sources": dict(attempt.provenance),
    }


def spec_view(spec: ResolvedSpec) -> View:
    """Return a resolved spec without the values of environment variables and of conf keys that look secret."""
    return {
        "name": spec.name,
        "application": spec.application_uri or None,
        "sql": spec.sql,
        "main_class": spec.main_class,
        "args": [masked_text(argument) for argument in spec.args],
        "conf": masked(spec.conf),
        "env_vars": hidden(spec.env_vars),
        **{name: [masked_text(uri) for uri in getattr(spec, name)] for name in ("py_files", "files", "jars", "archives", "packages")},
        "cluster": cluster_spec_view(spec.cluster),
        "deploy_mode": spec.deploy_mode.value,
        "team": spec.team,
        "environment": spec.environment,
        "tags": dict(spec.tags),
        "max_runtime_s": spec.max_runtime_s,
        "on_limit": spec.on_limit.value,
        "priority": spec.priority,
    }


def cluster_spec_view(spec: ClusterSpec) -> View:
    """Return a cluster's spec without what looks secret."""
    view: View = masked(asdict(spec))
    return view


def cluster_view(cluster: Cluster, *, active: int) -> View:
    """Return a cluster.

    :param active: how many live applications are on it.
    """
    return {
        "id": cluster.id,
        "name": cluster.name,
        "environment": cluster.environment,
        "target": cluster.spec.target,
        "generation": cluster.generation,
        "desired_state": cluster.desired.value,
        "ensured_by": cluster.ensured_by,
        "created_at": cluster.created_at,
        "updated_at": cluster.updated_at,
        "spec_hash": cluster.spec_hash,
        "spec": cluster_spec_view(cluster.spec),
        "status": {
            "state": cluster.phase.value,
            "external_id": cluster.external_id,
            "active_apps": active,
            "takes_apps": cluster.live_key is not None,
            "backend_state": cluster.observed_state,
            "backend_reason": cluster.observed_reason,
            "failure_class": None if cluster.failure_class is None else cluster.failure_class.value,
            "restart_count": cluster.restart_count,
            "ready_since": cluster.healthy_since,
            "ended_at": cluster.ended_at,
            "conditions": [_condition(c.type, "True", c.reason, c.message, c.since) for c in cluster.conditions],
        },
    }


def event_view(event: Event) -> View:
    """Return one event."""
    return {**asdict(event), "detail": masked(event.detail)}


def token_view(token: Token, now: datetime) -> View:
    """Return a token; its secret is not stored, and its hash opens nothing but stays here."""
    return {
        "name": token.name,
        "state": state_of(token, now),
        "scopes": list(token.scopes),
        "teams": list(token.teams),
        "created_at": token.created_at,
        "created_by": token.created_by,
        "expires_at": token.expires_at,
        "revoked_at": token.revoked_at,
        "last_used_at": token.last_used_at,
    }


def profile_view(profile: Profile, profiles: Profiles) -> View:
    """Return a profile's values, and where each came from."""
    values = {name: getattr(profile, name) for name in profile.__slots__ if name != "sources"}
    shown: View = masked({name: _plain(value) for name, value in values.items()})
    return {
        "name": profile.name,
        "target": profile.target,
        "region": profiles.targets[profile.target].region,
        "values": {**shown, "env_vars": hidden(profile.env_vars)},
        "sources": {name: profile.source_of(name) for name in sorted({*shown} - {"name"} | {*profile.sources})},
    }


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return asdict(value) if hasattr(value, "__dataclass_fields__") else value


def _conditions(app: App, attempt: Attempt, place: QueuePlace | None) -> Iterator[Mapping[str, Any]]:
    """Yield what is so, oldest first: placed on a cluster, sent, started, asked to stop, ended."""
    yield _scheduled(app, attempt, place)
    if attempt.submitted_at is not None:
        yield _condition("Sent", "True", "sent", f"The backend has it as {attempt.external_id}.", attempt.submitted_at)
    if attempt.started_at is not None:
        yield _condition("Started", "True", "started", "Its driver started.", attempt.started_at)
    if attempt.stop_requested_at is not None:
        message = f"{attempt.stop_actor} asked for its end: {attempt.stop_reason}."
        yield _condition("Stopping", str(not attempt.phase.is_terminal), "stop_requested", message, attempt.stop_requested_at)
    if app.wanted_generation > app.generation == attempt.generation:
        message = f"Generation {app.wanted_generation} begins after the proven end of this one."
        yield _condition("Replacing", "True", "restart", message, app.updated_at)
    if attempt.ended_at is not None:
        yield _ended(attempt, attempt.ended_at)


def _scheduled(app: App, attempt: Attempt, place: QueuePlace | None) -> Mapping[str, Any]:
    if attempt.phase not in _UNSENT:
        is_over = attempt.phase.is_terminal and attempt.sends == 0
        if is_over:
            return _condition("Scheduled", "False", "never_sent", "It ended before it was sent.", attempt.created_at)
        return _condition("Scheduled", "True", "placed", "It has a cluster.", attempt.sent_at or attempt.created_at)
    if attempt.phase is AppPhase.NEW:
        return _condition("Scheduled", "False", "files_missing", "Its files are still to be uploaded by its task.", attempt.created_at)
    if place is not None:
        return _condition("Scheduled", "False", place.reason, place.message, attempt.created_at)
    noted = app.conditions[0] if app.conditions else None
    if noted is not None:
        return _condition("Scheduled", "False", noted.reason, noted.message, noted.since)
    return _condition("Scheduled", "False", "next_pass", "The next pass looks for a cluster for it.", attempt.created_at)


def _ended(attempt: Attempt, at: datetime) -> Mapping[str, Any]:
    if attempt.failure is not None:
        return _condition("Ended", "True", attempt.failure.klass.value, attempt.failure.summary, at)
    return _condition("Ended", "True", attempt.phase.value, attempt.death_proof or attempt.phase.value, at)


def _condition(kind: str, status: str, reason: str, message: str, since: datetime) -> Mapping[str, Any]:
    return {"type": kind, "status": status, "reason": reason, "message": message, "last_transition_time": since}
