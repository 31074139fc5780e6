"""Assign clusters, create them, send runs: claim first, act second, record third."""

import uuid
from collections import defaultdict
from typing import Literal

from platyspark_provider.core.facts import ClusterAssigned, CreateEnded, CreateIntended, Record, SendEnded, SendIntended, Waiting
from platyspark_provider.core.model import Cluster
from platyspark_provider.core.ports import Launch
from platyspark_provider.core.reconcile import Assign, Create, Fail, Send, cluster_name, decide_app, decide_cluster
from platyspark_provider.core.records import AppWork, ClaimRequest
from platyspark_provider.core.states import AppPhase
from platyspark_provider.errors import (
    BackendRejected,
    BackendThrottled,
    BackendUnavailable,
    ClusterGone,
    PlatySparkError,
    ReplyLost,
    TemporaryError,
)
from platyspark_provider.reconciler.workbench import Workbench

_NotDone = Literal["throttled", "unavailable", "lost", "rejected"]
SEND_AT_ONCE = 10


def result_of(error: PlatySparkError) -> _NotDone:
    """Return what an error of a mutating call says about its effect."""
    match error:
        case BackendThrottled():
            return "throttled"
        case BackendRejected():
            return "rejected"
        case BackendUnavailable():
            return "unavailable"
        case _:
            return "lost"


def assign_clusters(bench: Workbench, holder: str) -> None:
    """Ask for a cluster for every application that waits for one, in the order of the queue (rows only), and claim what this made.

    Why one stays in the queue is not written down: it is told from the rows whenever somebody looks.
    """
    facts: list[Record] = []
    for work in sorted(bench.held_apps(), key=lambda w: (w.app.queued_at or w.app.created_at, w.app.id)):
        cluster = _cluster_of(bench, work)
        match decide_app(work.app, work.attempt, cluster, policy=bench.due.policy, now=bench.due.at):
            case Assign():
                facts.append(_assigned(bench, work))
            case Fail(message=message):
                facts.append(_ended(bench, work, "rejected", message=message))
            case _:
                pass
    answers = bench.record(facts)
    ended = [a.work.app for a in answers if a.accepted and a.work is not None and a.work.attempt.phase is AppPhase.FAILED]
    bench.report.skipped.extend(f"app {app.id}: it failed for want of a cluster" for app in ended)
    made = {a.cluster.id for a in answers if a.cluster is not None} - set(bench.cluster_claims)
    bench.claim([ClaimRequest(kind="cluster", id=i) for i in sorted(made)], holder)


def _cluster_of(bench: Workbench, work: AppWork) -> Cluster | None:
    """Return the app's cluster; one that is not due is held by somebody else or over: ask."""
    if work.app.cluster_id is None or work.attempt.phase is not AppPhase.WAIT_CLUSTER:
        return None
    if work.app.cluster_id not in bench.clusters:
        found = bench.registry.detail(work.app.id, ti_id=bench.ti_id).cluster
        if found is not None:
            bench.clusters[found.id] = found
    return bench.clusters.get(work.app.cluster_id)


def create_clusters(bench: Workbench) -> None:
    """Create every cluster whose row is an intent (or whose lost call has settled).

    A crash between intent and record leaves CREATING: the next executor looks by name and adopts.
    """
    for cluster in bench.held_clusters():
        with bench.report.guard(f"create cluster {cluster.name}"):
            if isinstance(decide_cluster(cluster, policy=bench.due.policy, now=bench.due.at), Create):
                _create(bench, cluster)


def _create(bench: Workbench, cluster: Cluster) -> None:
    target = bench.target(cluster.target_id)
    backend = bench.backend(target)  # before the intent: a call that can't be made leaves nothing to look for
    epoch, nonce = bench.cluster_epoch(cluster.id), uuid.uuid4().hex
    (answer,) = bench.record([CreateIntended(cluster_id=cluster.id, epoch=epoch, nonce=nonce)])
    if not answer.accepted or answer.cluster is None:
        return
    name = cluster_name(cluster, bench.due.installation, send=answer.cluster.send)
    token = name.incarnation.strip("/").replace("/", "-")[-64:]
    tags = {
        **cluster.spec.tags,
        "platyspark:cluster_key": cluster.cluster_key,
        "platyspark:installation": bench.due.installation,
        "platyspark:generation": str(cluster.generation),
        "platyspark:nonce": nonce,
    }
    try:
        external_id = backend.create_cluster(cluster.spec, name=str(name), token=token, tags=tags)
    except PlatySparkError as error:
        bench.report.heard(target, error)
        retry = error.retry_after if isinstance(error, TemporaryError) else 0.0
        message = error.message
        bench.record([CreateEnded(cluster_id=cluster.id, epoch=epoch, result=result_of(error), message=message, retry_after_s=retry)])
        bench.report.skipped.append(f"create cluster {cluster.name}: {error}")
        return
    bench.report.heard(target)
    bench.record([CreateEnded(cluster_id=cluster.id, epoch=epoch, result="created", external_id=external_id)])
    bench.report.done.append(f"created cluster {cluster.name}: {external_id}")


def send_runs(bench: Workbench) -> None:
    """Send every application whose cluster takes work, up to ten in one call per cluster.

    A crash between intent and record leaves SENDING: the next executor looks by name and adopts.
    """
    by_cluster: dict[int, list[AppWork]] = defaultdict(list)
    for work in bench.held_apps():
        cluster = bench.clusters.get(work.app.cluster_id or 0)
        action = decide_app(work.app, work.attempt, cluster, policy=bench.due.policy, now=bench.due.at)
        if not isinstance(action, Send) or cluster is None or not cluster.external_id:
            continue
        if cluster.id in bench.unknown:
            bench.record(
                _waiting(bench, work, "cluster_unknown", f"Cluster {cluster.name} ({cluster.external_id}) is unknown to its target.")
            )
            continue
        by_cluster[cluster.id].append(work)
    for cluster_id, works in by_cluster.items():
        for i in range(0, len(works), SEND_AT_ONCE):
            with bench.report.guard(f"send to cluster {bench.clusters[cluster_id].name}"):
                _send(bench, bench.clusters[cluster_id], works[i : i + SEND_AT_ONCE])


def _send(bench: Workbench, cluster: Cluster, works: list[AppWork]) -> None:
    target = bench.target(cluster.target_id)
    backend = bench.backend(target)  # before the intents: a call that can't be made leaves nothing to look for
    intents = [
        SendIntended(app_id=w.app.id, generation=w.attempt.generation, epoch=bench.app_epoch(w.app.id), nonce=uuid.uuid4().hex)
        for w in works
    ]
    answers = bench.record(intents)
    going = [w for w, a in zip(works, answers, strict=True) if a.accepted]
    if not going:
        return
    launches = [
        Launch(name=str(bench.name_of(w)), yarn_tag=bench.name_of(w).yarn_tag, spec=w.attempt.spec, token=str(bench.name_of(w)))
        for w in going
    ]
    try:
        ids = backend.submit(cluster.external_id, launches)
    except PlatySparkError as error:
        bench.report.heard(target, error)
        _not_sent(bench, cluster, going, error)
        return
    bench.report.heard(target)
    detail = {"cluster": cluster.external_id, "log_uri": cluster.spec.log_uri or ""}
    bench.record([_ended(bench, w, "sent", external_id=i, detail=detail) for w, i in zip(going, ids, strict=True)])
    bench.report.done.extend(f"sent app {w.app.id} generation {w.attempt.generation}: {i}" for w, i in zip(going, ids, strict=True))


def _not_sent(bench: Workbench, cluster: Cluster, works: list[AppWork], error: PlatySparkError) -> None:
    """Record why; a batch that was refused for its content is sent again one by one, to find the one at fault."""
    bench.report.skipped.append(f"send to cluster {cluster.name}: {error}")
    if isinstance(error, BackendRejected) and len(works) > 1:
        bench.record([_ended(bench, w, "throttled", message="sent again alone") for w in works])
        for work in works:
            _send(bench, cluster, [bench.apps[work.app.id]])
        return
    result: Literal["cluster_gone", "throttled", "unavailable", "lost", "rejected"]
    result = "cluster_gone" if isinstance(error, ClusterGone) else result_of(error)
    retry = error.retry_after if isinstance(error, TemporaryError) and not isinstance(error, ClusterGone | ReplyLost) else 0.0
    bench.record([_ended(bench, w, result, message=error.message, retry_after_s=retry) for w in works])


def _ended(
    bench: Workbench,
    work: AppWork,
    result: Literal["sent", "throttled", "unavailable", "cluster_gone", "lost", "rejected"],
    *,
    external_id: str | None = None,
    detail: dict[str, str | None] | None = None,
    message: str = "",
    retry_after_s: float = 0.0,
) -> SendEnded:
    return SendEnded(
        app_id=work.app.id,
        generation=work.attempt.generation,
        epoch=bench.app_epoch(work.app.id),
        result=result,
        external_id=external_id,
        external_detail=detail or {},
        message=message,
        retry_after_s=retry_after_s,
        nonce=bench.apps[work.app.id].attempt.send_nonce,
    )


def _assigned(bench: Workbench, work: AppWork) -> ClusterAssigned:
    return ClusterAssigned(app_id=work.app.id, generation=work.attempt.generation, epoch=bench.app_epoch(work.app.id))


def _waiting(bench: Workbench, work: AppWork, reason: str, message: str) -> list[Record]:
    """Write a reason down when it is new: a pass over waiting applications costs no writes."""
    if any(c.reason == reason and c.message == message for c in work.app.conditions):
        return []
    epoch = bench.app_epoch(work.app.id)
    return [Waiting(app_id=work.app.id, generation=work.attempt.generation, epoch=epoch, reason=reason, message=message)]
