"""EMR's side of the endpoint: one HTTP request in, one answer out, with faults, limits and the journal around the operation."""

import json
import logging
import threading
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from platyspark_provider.emrsim import operations_app_uis, operations_clusters, operations_releases, operations_scaling, operations_steps
from platyspark_provider.emrsim.callers import caller_of
from platyspark_provider.emrsim.calls import Call
from platyspark_provider.emrsim.engine import Engine
from platyspark_provider.emrsim.faults import ConnectionDropped, Fault, FaultPlan
from platyspark_provider.emrsim.journal import Journal
from platyspark_provider.emrsim.throttle import Throttle
from platyspark_provider.emrsim.wire import TARGET_PREFIX, EmrError, ReplyError, check_reply, check_request, operation_names

log = logging.getLogger(__name__)

OPERATIONS: dict[str, Callable[[Call], dict[str, Any]]] = {
    "RunJobFlow": operations_clusters.run_job_flow,
    "DescribeCluster": operations_clusters.describe_cluster,
    "ListClusters": operations_clusters.list_clusters,
    "TerminateJobFlows": operations_clusters.terminate_job_flows,
    "SetTerminationProtection": operations_clusters.set_termination_protection,
    "SetVisibleToAllUsers": operations_clusters.set_visible_to_all_users,
    "SetKeepJobFlowAliveWhenNoSteps": operations_clusters.set_keep_job_flow_alive_when_no_steps,
    "ModifyCluster": operations_clusters.modify_cluster,
    "PutAutoTerminationPolicy": operations_clusters.put_auto_termination_policy,
    "GetAutoTerminationPolicy": operations_clusters.get_auto_termination_policy,
    "RemoveAutoTerminationPolicy": operations_clusters.remove_auto_termination_policy,
    "AddTags": operations_clusters.add_tags,
    "RemoveTags": operations_clusters.remove_tags,
    "ListInstances": operations_clusters.list_instances,
    "ListInstanceGroups": operations_clusters.list_instance_groups,
    "ListInstanceFleets": operations_clusters.list_instance_fleets,
    "ListBootstrapActions": operations_clusters.list_bootstrap_actions,
    "PutManagedScalingPolicy": operations_scaling.put_managed_scaling_policy,
    "GetManagedScalingPolicy": operations_scaling.get_managed_scaling_policy,
    "RemoveManagedScalingPolicy": operations_scaling.remove_managed_scaling_policy,
    "GetOnClusterAppUIPresignedURL": operations_app_uis.get_on_cluster_app_ui_presigned_url,
    "CreatePersistentAppUI": operations_app_uis.create_persistent_app_ui,
    "DescribePersistentAppUI": operations_app_uis.describe_persistent_app_ui,
    "GetPersistentAppUIPresignedURL": operations_app_uis.get_persistent_app_ui_presigned_url,
    "ListReleaseLabels": operations_releases.list_release_labels,
    "DescribeReleaseLabel": operations_releases.describe_release_label,
    "AddJobFlowSteps": operations_steps.add_job_flow_steps,
    "DescribeStep": operations_steps.describe_step,
    "ListSteps": operations_steps.list_steps,
    "CancelSteps": operations_steps.cancel_steps,
}


@dataclass(slots=True, kw_only=True)
class _Outcome:
    status: int
    body: dict[str, Any]
    error: str | None = None
    changed_ids: tuple[str, ...] = ()


class EmrEndpoint:
    """Serve EMR's operations to WSGI."""

    def __init__(self, engine: Engine, journal: Journal, faults: FaultPlan, throttle: Throttle) -> None:
        self._engine = engine
        self._journal = journal
        self._faults = faults
        self._throttle = throttle

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer one request.

        :raises ConnectionDropped: a planted fault wants the connection closed without an answer
        """
        outcome = self._serve(environ)
        body = json.dumps(outcome.body).encode()
        headers = [
            ("Content-Type", "application/x-amz-json-1.1"),
            ("Content-Length", str(len(body))),
            ("x-amzn-RequestId", str(uuid.uuid4())),
        ]
        if outcome.error:
            headers.append(("x-amzn-ErrorType", outcome.error))
        start_response(f"{outcome.status} {'OK' if outcome.status == 200 else 'Error'}", headers)
        return [body]

    def _serve(self, environ: dict[str, Any]) -> _Outcome:
        operation = environ["HTTP_X_AMZ_TARGET"].removeprefix(TARGET_PREFIX)
        entry: dict[str, Any] = {"at": self._engine.clock(), "service": "emr", "operation": operation, "region": None, "access_key": None}
        entry["request"] = None
        raw = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        latency_s = self._engine.config.reply_latency_s
        try:
            entry["access_key"], region = _signer(environ)
            entry["region"] = region
            request = entry["request"] = _parse(raw)
            pause(latency_s / 2)
            self._limit(region, operation)
            self._meet(operation, "before", request)
        except EmrError as error:
            return self._note(entry, _refusal(error))
        except ConnectionDropped:
            self._note(entry, _Outcome(status=0, body={}, error=None))
            raise
        outcome = self._execute(entry)
        pause(latency_s / 2)
        try:
            self._meet(operation, "after", request)
        except EmrError as error:
            return _refusal(error)
        return outcome

    def _execute(self, entry: dict[str, Any]) -> _Outcome:
        with self._engine.lock:
            outcome = self._run(entry["operation"], entry["region"], entry["access_key"], entry["request"])
            return self._note(entry, outcome)

    def _run(self, operation: str, region: str, access_key: str, request: dict[str, Any]) -> _Outcome:
        with self._engine.transaction() as effects:
            now = self._engine.clock()
            call = Call(engine=self._engine, region=region, access_key=access_key, now=now, request=request, effects=effects)
            try:
                handler = OPERATIONS.get(operation)
                if handler is None:
                    raise _unknown(operation)
                call.request = check_request(operation, request)
                body = handler(call)
                check_reply(operation, body)
                outcome = _Outcome(status=200, body=body)
            except EmrError as error:
                outcome = _refusal(error)
            except ReplyError as error:
                log.exception("%s built a reply that the API does not know", operation)
                outcome = _refusal(EmrError("InternalServerError", str(error), status=500))
            except Exception:
                log.exception("%s failed", operation)
                outcome = _refusal(EmrError("InternalServerError", "emrsim failed; its log says why", status=500))
            outcome.changed_ids = tuple(call.changed_ids)
        return outcome

    def _note(self, entry: dict[str, Any], outcome: _Outcome) -> _Outcome:
        self._journal.append(
            {
                **entry,
                "status": outcome.status or None,
                "error": outcome.error,
                "effect": bool(outcome.changed_ids),
                "result_ids": list(outcome.changed_ids),
            }
        )
        return outcome

    def _limit(self, region: str, operation: str) -> None:
        if self._engine.config.throttle == "off":
            return
        with self._engine.lock:
            if not self._throttle.take(region, operation):
                raise EmrError("ThrottlingException", "Rate exceeded")

    def _meet(self, operation: str, when: str, request: dict[str, Any]) -> None:
        fault = self._faults.take(operation, when, request)
        if fault is None:
            return
        match fault.action:
            case "drop":
                raise ConnectionDropped(f"{operation}: planted fault {fault.id}")
            case "error":
                raise _planted(fault)
            case _:
                self._faults.pause(fault)


def pause(seconds: float) -> None:
    """Let real time pass."""
    if seconds:
        threading.Event().wait(seconds)


def _planted(fault: Fault) -> EmrError:
    return EmrError(fault.code, "Planted fault", status=fault.http_status)


def _refusal(error: EmrError) -> _Outcome:
    return _Outcome(status=error.status, body=error.body(), error=error.code)


def _unknown(operation: str) -> EmrError:
    hint = "emrsim does not serve it" if operation in operation_names() else "EMR has no such operation"
    return EmrError("UnknownOperationException", f"{operation}: {hint}")


def _signer(environ: dict[str, Any]) -> tuple[str, str]:
    """Return the access key and the region of the signature."""
    if not environ.get("HTTP_AUTHORIZATION"):
        raise EmrError("MissingAuthenticationTokenException", "Missing Authentication Token")
    caller = caller_of(environ)
    if caller is None or caller.region is None:
        raise EmrError("IncompleteSignatureException", "Authorization header has no Signature Version 4 credential scope")
    return caller.access_key, caller.region


def _parse(raw: bytes) -> dict[str, Any]:
    try:
        request = json.loads(raw or b"{}")
    except ValueError:
        request = None
    if not isinstance(request, dict):
        raise EmrError("SerializationException", "The request body is not a JSON object")
    return request
