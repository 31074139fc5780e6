"""Who may do what on every route: the expected status of each caller. The map in docs/security.md says the same in words."""

from dataclasses import dataclass
from typing import Any

PEOPLE = ("anonymous", "viewer", "user", "op", "admin")
MACHINES = ("worker", "reconciler", "scrape", "ingest", "revoked")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One way to call one route.

    :param people: statuses for `PEOPLE`; :param machines: for `MACHINES`.
    :param scene: what is made for each call, by name (`scenes.SCENES`): it fills the path and adds headers and a body.
    """

    method: str
    path: str
    people: tuple[int, int, int, int, int]
    machines: tuple[int, int, int, int, int]
    scene: str = "nothing"
    body: Any = None

    @property
    def id(self) -> str:
        """How a test names the row."""
        return f"{self.method} {self.path} ({self.scene})"

    def expected(self) -> dict[str, int]:
        """Return the status of every caller."""
        return dict(zip((*PEOPLE, *MACHINES), (*self.people, *self.machines), strict=True))


NO_USER = (403, 403, 403, 403, 403)  # a machine token is nobody with rights in Airflow
NO_TOKEN = (401, 401, 401, 401, 401)  # a login is no machine token

JOB = {"application": "s3://code/job.py"}


def read(path: str, scene: str = "nothing") -> Row:
    """Return the row of what everybody who is logged in may read."""
    return Row(method="GET", path=path, scene=scene, people=(401, 200, 200, 200, 200), machines=NO_USER)


def by_user(method: str, path: str, scene: str, status: int, body: Any = None) -> Row:
    """Return the row of what needs the right to run a DAG."""
    return Row(method=method, path=path, scene=scene, body=body, people=(401, 403, status, status, status), machines=NO_USER)


def by_op(method: str, path: str, scene: str, status: int, body: Any = None) -> Row:
    """Return the row of what needs the right to change what everybody shares."""
    return Row(method=method, path=path, scene=scene, body=body, people=(401, 403, 403, status, status), machines=NO_USER)


def by_task(method: str, path: str, scene: str, status: int) -> Row:
    """Return the row of what a worker does for its task."""
    return Row(method=method, path=path, scene=scene, people=NO_TOKEN, machines=(status, 403, 403, 403, 403))


def by_pass(method: str, path: str, status: int, body: Any = None, scene: str = "nothing") -> Row:
    """Return the row of what a pass does for all."""
    return Row(method=method, path=path, scene=scene, body=body, people=NO_TOKEN, machines=(403, status, 403, 403, 403))


LEASE = {"name": "x", "holder": "h", "seconds": 1}

TABLE = (
    # Applications of no DAG are shared capacity; those of a DAG go with its runs.
    by_op("POST", "/apps", "nothing", 201, JOB),
    by_user("POST", "/apps", "for_dag", 201),
    read("/apps"),
    read("/apps/{app_id}", "app"),
    read("/apps/{app_id}", "dag_app"),
    read("/apps/{app_id}/attempts", "app"),
    read("/apps/{app_id}/attempts", "dag_app"),
    read("/apps/{app_id}/events", "app"),
    read("/apps/{app_id}/logs", "app"),
    by_op("POST", "/apps/{app_id}/cancel", "app", 202, {}),
    by_user("POST", "/apps/{app_id}/cancel", "dag_app", 202, {}),
    by_user("POST", "/apps/{app_id}/cancel", "task_app_for_people", 202, {}),
    by_op("POST", "/apps/{app_id}/restart", "app", 202, {}),
    by_user("POST", "/apps/{app_id}/restart", "dag_app", 202, {}),
    by_user("POST", "/apps/{app_id}/restart", "task_app_for_people", 409, {}),
    # Clusters are shared by everybody.
    read("/clusters"),
    read("/clusters/{cluster}", "cluster"),
    by_op("PUT", "/clusters/{cluster}", "cluster_name", 201, {}),
    by_op("PUT", "/clusters/{cluster}", "cluster_conflict", 409),
    by_op("POST", "/clusters/{cluster}/drain", "cluster", 202, {}),
    by_op("DELETE", "/clusters/{cluster}", "cluster", 202),
    by_op("DELETE", "/clusters/{cluster}", "cluster_in_use", 409),
    read("/events"),
    read("/profiles"),
    # A token is a connection's password.
    by_op("GET", "/tokens", "nothing", 200),
    by_op("POST", "/tokens", "new_token", 201),
    by_op("DELETE", "/tokens/{name}", "token", 204),
    # Machines.
    by_task("POST", "/worker/apps", "task", 201),
    by_task("POST", "/worker/apps/{app_id}/ready", "task_app", 204),
    by_task("GET", "/worker/apps/{app_id}/detail", "task_app", 200),
    by_task("GET", "/worker/apps/{app_id}/detail", "other_task_app", 403),
    by_task("GET", "/worker/apps/{app_id}/detail", "person_s_app", 403),
    by_pass("GET", "/worker/apps/{app_id}/detail", 200, scene="app"),
    by_task("POST", "/worker/apps/{app_id}/acknowledge", "task_app", 204),
    by_task("POST", "/worker/apps/{app_id}/acknowledge", "other_task_app", 403),
    by_task("POST", "/worker/apps/{app_id}/kill", "task_app", 200),
    by_task("GET", "/worker/snapshot", "nothing", 200),
    by_task("POST", "/worker/clusters", "task_ensures", 201),
    by_task("POST", "/worker/clusters/end", "task_cluster", 200),
    by_task("POST", "/worker/clusters/end", "peoples_cluster", 403),
    by_task("GET", "/worker/clusters/{cluster_id}", "task_cluster", 200),
    by_task("GET", "/worker/due", "own_due", 200),
    by_task("GET", "/worker/due", "other_due", 403),
    by_pass("GET", "/worker/due", 200),
    by_task("POST", "/worker/claim", "own_claim", 200),
    by_task("POST", "/worker/claim", "other_claim", 403),
    by_pass("POST", "/worker/claim", 200, {"requests": [], "holder": "h"}),
    by_task("POST", "/worker/release", "own_release", 204),
    by_task("POST", "/worker/release", "other_release", 403),
    by_pass("POST", "/worker/release", 204, {"claims": []}),
    by_task("POST", "/worker/record", "own_record", 200),
    by_pass("POST", "/worker/record", 200, {"records": []}),
    by_pass("POST", "/worker/lease", 200, LEASE),
    # Everybody.
    Row(method="GET", path="/health", people=(200, 200, 200, 200, 200), machines=(200, 200, 200, 200, 403)),
    Row(method="GET", path="/openapi.json", people=(200, 200, 200, 200, 200), machines=(200, 200, 200, 200, 200)),
)
