"""`airflow platyspark clusters list|get|ensure|drain|terminate`: wishes about clusters that the next pass carries out."""

from argparse import Namespace
from collections.abc import Sequence
from typing import Any

from platyspark_provider.cli.output import Row, print_object, print_rows
from platyspark_provider.cli.running import actor, command, say
from platyspark_provider.cli.site import Site, open_site, page_limit
from platyspark_provider.core.cluster_polling import Goal, brief_from_cluster, cluster_line, judge_cluster
from platyspark_provider.core.listing import ClusterFilter
from platyspark_provider.core.model import Cluster
from platyspark_provider.core.ports import Clock
from platyspark_provider.core.states import ClusterPhase
from platyspark_provider.errors import InvalidRequest, PlatySparkError
from platyspark_provider.hooks.clock import SystemClock
from platyspark_provider.operators.cluster_outcome import never_ready
from platyspark_provider.operators.clusters import SparkCluster
from platyspark_provider.registry.views import cluster_view

PAUSE_S = 1.0
_EMPTY = "No clusters. Ask for one: airflow platyspark clusters ensure NAME"
_LISTED = ("id", "name", "state", "desired", "applications", "external_id", "target", "generation", "created_at")


class ClusterNotReady(PlatySparkError):
    """A cluster that was waited for will not become ready."""

    code = "cluster_not_ready"


@command
def list_clusters(args: Namespace) -> None:
    """Print clusters, the newest first."""
    wanted = ClusterFilter(live=None if args.all else True, name=args.name, limit=page_limit(args.limit))
    with open_site() as site:
        page = site.store.clusters_page(wanted)
        views = _views(site, page.items)
    print_rows([_line(view) for view in views], args.output, columns=_LISTED, empty=_EMPTY, documents=views)
    if page.total > len(page.items):
        say(f"{len(page.items)} of {page.total}; narrow it with --name, or raise --limit.")


@command
def get(args: Namespace) -> None:
    """Print one cluster with the applications on it."""
    with open_site() as site:
        _print(site, site.store.cluster(args.cluster_id), args.output)


@command
def ensure(args: Namespace) -> None:
    """Ask for a cluster; with --wait exit 1 if it does not become ready."""
    request = cluster_of(args, args.name).request()
    with open_site() as site:
        ensured = site.desk.ensure(request, team=args.team, actor=actor(), alongside=args.alongside, replace=args.replace)
        for warning in ensured.warnings:
            say(f"Warning: {warning}")
        for other in ensured.siblings:
            say(f"Cluster {other.name} ({other.id}) lives beside it with another specification.")
        for other in ensured.drained:
            say(f"Cluster {other.name} ({other.id}) takes no more applications.")
        cluster = ensured.cluster
        made = "is created by the next pass" if ensured.outcome == "created" else "lives already"
        say(f"Cluster {cluster.name} ({cluster.id}) {made}.")
        if args.wait:
            cluster = wait_until_ready(site, cluster.id, clock=SystemClock())
        _print(site, cluster, args.output)
    if args.wait and cluster.phase is not ClusterPhase.READY:
        raise ClusterNotReady(
            never_ready(cluster).message, hint=f"Ask again for the next one, or see: airflow platyspark clusters get {cluster.id}"
        )


@command
def drain(args: Namespace) -> None:
    """Let a cluster take no more applications and end after its last one."""
    with open_site() as site:
        _print(site, site.desk.drain(args.cluster_id, actor=actor(), reason=args.reason or "drained"), args.output)


@command
def terminate(args: Namespace) -> None:
    """Let a cluster end now; with applications on it only by --force, which stops them first."""
    with open_site() as site:
        ended = site.desk.terminate(args.cluster_id, actor=actor(), reason=args.reason or "terminated", force=args.force)
        _print(site, ended, args.output)


def cluster_of(args: Namespace, name: str) -> SparkCluster:
    """Return the cluster that the arguments describe; refuses what an operator would refuse, in the same words."""
    return SparkCluster(
        name,
        size=args.size,
        workers=None if args.workers is None else _workers(args.workers),
        spot=args.spot,
        idle_timeout=args.idle_timeout,
        dedicated=args.dedicated,
        profile=args.profile,
    )


def wait_until_ready(site: Site, cluster_id: int, *, clock: Clock, pause_s: float = PAUSE_S) -> Cluster:
    """Return the cluster once it is ready, or can't become so; say each change."""
    told = ""
    while True:
        cluster = site.store.cluster(cluster_id)
        brief = brief_from_cluster(cluster, now=site.store.now())
        if (line := cluster_line(brief)) != told:
            told = line
            say(line)
        if judge_cluster(brief, Goal.READY) is not None:
            return cluster
        clock.sleep(pause_s)


def _workers(text: str) -> int | tuple[int, int]:
    low, mark, high = text.partition("-")
    if not low.isdecimal() or (mark and not high.isdecimal()):
        raise InvalidRequest(f"--workers is {text!r}: no number of machines.", hint="Write --workers 4, or --workers 2-10.")
    return (int(low), int(high)) if mark else int(low)


def _print(site: Site, cluster: Cluster, output: str) -> None:
    """Print a cluster: all of it for programs, the main facts for people."""
    (view,) = _views(site, [cluster])
    apps = [{"id": app.id, "name": app.name, "state": app.phase.value} for app in site.store.apps_on(cluster.id)]
    if output in {"json", "yaml"}:
        print_object({**view, "apps": apps}, output)
        return
    status, spec = view["status"], view["spec"]
    facts = {
        **_line(view),
        "ensured_by": view["ensured_by"],
        "backend_state": status["backend_state"],
        "backend_reason": status["backend_reason"],
        "release_label": spec["release_label"],
        "machines": [f"{group['count']} x {group['instance_type']} ({group['role'].lower()})" for group in spec["instance_groups"]],
        "idle_timeout_s": spec["idle_timeout_s"],
        "ended_at": status["ended_at"],
        "on it": [f"{app['id']} {app['name']} ({app['state']})" for app in apps],
    }
    print_object({name: value for name, value in facts.items() if value not in (None, "", [])}, output)


def _views(site: Site, clusters: Sequence[Cluster]) -> list[dict[str, Any]]:
    loads = site.store.loads([cluster.id for cluster in clusters])
    return [cluster_view(cluster, active=loads[cluster.id].active if cluster.id in loads else 0) for cluster in clusters]


def _line(view: Row) -> dict[str, Any]:
    status = view["status"]
    return {
        "id": view["id"],
        "name": view["name"],
        "state": status["state"],
        "desired": view["desired_state"],
        "applications": status["active_apps"],
        "external_id": status["external_id"],
        "target": view["target"],
        "generation": view["generation"],
        "created_at": view["created_at"],
    }
