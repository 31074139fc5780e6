"""Drive a running Airflow through its public REST API: what a person would click, and waits with a deadline."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import httpx

from demo.processes import StackError, wait_for

RUN_ENDED = frozenset({"success", "failed"})
TASK_ENDED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})


class ApiRefused(StackError):
    """Airflow answered with an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class AirflowApi:
    """One user's view of an Airflow.

    :param login: user and password; None where everybody is admin
    """

    def __init__(self, url: str, login: tuple[str, str] | None = None) -> None:
        self.url = url
        self._login = login
        self._http = httpx.Client(base_url=url, timeout=30, trust_env=False)

    @property
    def is_anonymous(self) -> bool:
        """Tell whether this is nobody in particular."""
        return self._login is None

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def call(self, method: str, path: str, *, body: Any = None, **params: Any) -> Any:
        """Call a route under `/api/v2`, with a fresh token when there is none or it has expired; return the JSON answer.

        :raises ApiRefused: the answer is an error
        """
        if "Authorization" not in self._http.headers:
            self._authenticate()
        answer = self._http.request(method, f"/api/v2{path}", json=body, params=params)
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            self._authenticate()
            answer = self._http.request(method, f"/api/v2{path}", json=body, params=params)
        if answer.is_error:
            raise ApiRefused(answer.status_code, f"{method} {path}: {answer.status_code} {answer.text[:1000]}")
        return answer.json() if answer.content else None

    def health(self) -> dict[str, str]:
        """Return the state of each component; a server that does not answer is `down`."""
        try:
            answer = self._http.get("/api/v2/monitor/health").raise_for_status().json()
        except httpx.HTTPError:
            return {"api": "down"}
        return {name: (part or {}).get("status") or "absent" for name, part in answer.items()}

    def wait_for_dag(self, dag_id: str, *, seconds: float = 90) -> None:
        """Wait until a DAG was parsed.

        :raises StackError: it was not, with the import errors
        """
        try:
            wait_for(f"DAG {dag_id}", lambda: dag_id in self.dags(), seconds=seconds)
        except StackError as error:
            raise StackError(f"{error}; import errors: {self.import_errors()}") from error

    def dags(self) -> set[str]:
        """Return the ids of all DAGs."""
        return {dag["dag_id"] for dag in self.call("GET", "/dags", limit=1000)["dags"]}

    def import_errors(self) -> list[str]:
        """Return file and end of the trace of each DAG file that can't be imported."""
        found = self.call("GET", "/importErrors")["import_errors"]
        return [f"{error['filename']}: {error['stack_trace'][-1000:]}" for error in found]

    def pause(self, dag_id: str, *, paused: bool = True) -> None:
        """Pause or unpause a DAG."""
        self.call("PATCH", f"/dags/{dag_id}", body={"is_paused": paused})

    def trigger(self, dag_id: str, *, conf: Mapping[str, Any] | None = None, run_id: str | None = None) -> str:
        """Start a run of a DAG, unpausing it; return the run's id."""
        self.pause(dag_id, paused=False)
        body = {"logical_date": None, "conf": dict(conf or {})} | ({"dag_run_id": run_id} if run_id else {})
        return str(self.call("POST", f"/dags/{dag_id}/dagRuns", body=body)["dag_run_id"])

    def run_state(self, dag_id: str, run_id: str) -> str:
        """Return a run's state."""
        return str(self.call("GET", f"/dags/{dag_id}/dagRuns/{run_id}")["state"])

    def wait_for_run(self, dag_id: str, run_id: str, *, states: Collection[str] = RUN_ENDED, seconds: float = 240) -> str:
        """Return a run's state as soon as it is one of those wanted; the error names the tasks' states."""
        try:
            return wait_for(
                f"run {run_id} of {dag_id} in {sorted(states)}",
                lambda: state if (state := self.run_state(dag_id, run_id)) in states else None,
                seconds=seconds,
            )
        except StackError as error:
            tasks = {(task["task_id"], task["map_index"]): task["state"] for task in self.tasks(dag_id, run_id)}
            raise StackError(f"{error}; tasks: {tasks}") from error

    def tasks(self, dag_id: str, run_id: str) -> list[dict[str, Any]]:
        """Return a run's task instances."""
        return list(self.call("GET", f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances", limit=1000)["task_instances"])

    def task(self, dag_id: str, run_id: str, task_id: str, *, map_index: int = -1) -> dict[str, Any]:
        """Return one task instance: `state`, `try_number`, `id` and the rest."""
        return dict(self.call("GET", f"{_task(dag_id, run_id, task_id)}{_mapped(map_index)}"))

    def tries(self, dag_id: str, run_id: str, task_id: str, *, map_index: int = -1) -> list[dict[str, Any]]:
        """Return all tries of a task, the current one last."""
        return list(self.call("GET", f"{_task(dag_id, run_id, task_id)}{_mapped(map_index)}/tries")["task_instances"])

    def wait_for_task(
        self,
        dag_id: str,
        run_id: str,
        task_id: str,
        *,
        states: Collection[str] = TASK_ENDED,
        map_index: int = -1,
        try_number: int = 0,
        seconds: float = 180,
    ) -> dict[str, Any]:
        """Return a task instance as soon as its state is one of those wanted.

        :param try_number: a lower try does not count
        """

        def seen() -> dict[str, Any] | None:
            found = self.task(dag_id, run_id, task_id, map_index=map_index)
            return found if found["state"] in states and found["try_number"] >= try_number else None

        try:
            return wait_for(f"task {task_id} of {dag_id} {run_id} in {sorted(states)}", seen, seconds=seconds)
        except StackError as error:
            found = self.task(dag_id, run_id, task_id, map_index=map_index)
            raise StackError(f"{error}; it is {found['state']}, try {found['try_number']}") from error

    def log(self, dag_id: str, run_id: str, task_id: str, *, try_number: int = 1, map_index: int = -1) -> str:
        """Return a try's log as text, errors with their traces included."""
        path = f"{_task(dag_id, run_id, task_id)}/logs/{try_number}"
        answer = self.call("GET", path, map_index=map_index, full_content="true")
        return "\n".join(log_line(entry) for entry in answer["content"])

    def xcom(self, dag_id: str, run_id: str, task_id: str, *, key: str = "return_value", map_index: int = -1) -> Any:
        """Return a value a task pushed."""
        path = f"{_task(dag_id, run_id, task_id)}/xcomEntries/{key}"
        return self.call("GET", path, map_index=map_index, deserialize="true")["value"]

    def clear(self, dag_id: str, run_id: str, task_ids: Sequence[str | tuple[str, int]], *, only_failed: bool = False) -> None:
        """Clear tasks as a person does; a mapped task is (id, map index)."""
        ids = [list(task) if isinstance(task, tuple) else task for task in task_ids]
        body = {"dry_run": False, "dag_run_id": run_id, "task_ids": ids, "only_failed": only_failed, "reset_dag_runs": True}
        self.call("POST", f"/dags/{dag_id}/clearTaskInstances", body=body)

    def set_state(self, dag_id: str, run_id: str, task_id: str, state: str, *, map_index: int = -1) -> None:
        """Mark a task as `success`, `failed` or `skipped`."""
        body = {"new_state": state}
        self.call("PATCH", f"{_task(dag_id, run_id, task_id)}{_mapped(map_index)}", body=body)

    def _authenticate(self) -> None:
        self._http.headers.pop("Authorization", None)
        if self._login is None:
            answer = self._http.get("/auth/token")
        else:
            answer = self._http.post("/auth/token", json={"username": self._login[0], "password": self._login[1]})
        if answer.is_error:
            raise ApiRefused(answer.status_code, f"no login at {self.url}: {answer.status_code} {answer.text[:300]}")
        self._http.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"


def _task(dag_id: str, run_id: str, task_id: str) -> str:
    return f"/dags/{dag_id}/dagRuns/{run_id}/taskInstances/{task_id}"


def _mapped(map_index: int) -> str:
    return "" if map_index < 0 else f"/{map_index}"


def log_line(entry: Any) -> str:
    """Return one log entry as text; Airflow sends entries as objects, the error beside the event."""
    if isinstance(entry, str):
        return entry
    errors = "".join(f"\n{error.get('exc_type')}: {error.get('exc_value')}" for error in entry.get("error_detail") or ())
    return f"{entry.get('timestamp') or ''} {entry.get('level') or ''} {entry.get('event')}{errors}".strip()
