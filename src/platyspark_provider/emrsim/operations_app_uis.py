"""EMR's operations on user interfaces of applications: those on a cluster, and persistent ones that outlive it."""

import secrets
from typing import Any

from platyspark_provider.emrsim import records as r
from platyspark_provider.emrsim.calls import Call
from platyspark_provider.emrsim.history_pages import HISTORY_PREFIX
from platyspark_provider.emrsim.ids import cluster_arn, new_persistent_ui_id
from platyspark_provider.emrsim.wire import invalid_request

_PATHS = {"SHS": "shs", "YTS": "yts", "TEZ": "tez"}


def get_on_cluster_app_ui_presigned_url(call: Call) -> dict[str, Any]:
    """Return the ResourceManager's address of one cluster; other user interfaces are never ready."""
    cluster = call.cluster()
    if cluster.state not in r.READY_CLUSTER:
        raise invalid_request("On-cluster application user interfaces are available only while the cluster is running or waiting.")
    wanted = call.request.get("OnClusterAppUIType", "SparkHistoryServer")
    if wanted not in {"ResourceManager", "ApplicationMaster"}:
        return {"PresignedURLReady": False}
    if call.request.get("DryRun", False):
        return {"PresignedURLReady": True}
    url = f"{call.engine.endpoint_url}/emrsim/yarn/{cluster.id}/ws/v1/cluster/apps"
    application_id = call.request.get("ApplicationId")
    return {"PresignedURLReady": True, "PresignedURL": f"{url}/{application_id}" if application_id else url}


def create_persistent_app_ui(call: Call) -> dict[str, Any]:
    """Make user interfaces for a cluster's applications; it may have ended."""
    arn = call.request["TargetResourceArn"]
    cluster_id = arn.rpartition("/")[2]
    cluster = call.engine.find_cluster(call.region, cluster_id)
    if cluster is None or arn != cluster_arn(call.region, cluster_id):
        raise invalid_request(f"Target resource '{arn}' is not valid.")
    ui = {
        "id": new_persistent_ui_id(),
        "region": call.region,
        "cluster_id": cluster.id,
        "author": call.access_key,
        "created": call.now,
        "tags": call.request.get("Tags", []),
    }
    call.engine.add_persistent_ui(ui)
    call.changed_ids.append(ui["id"])
    return {"PersistentAppUIId": ui["id"], "RuntimeRoleEnabledCluster": False}


def describe_persistent_app_ui(call: Call) -> dict[str, Any]:
    """Show persistent user interfaces."""
    ui = _persistent_ui(call)
    return {
        "PersistentAppUI": {
            "PersistentAppUIId": ui["id"],
            "PersistentAppUITypeList": list(_PATHS),
            "PersistentAppUIStatus": "ATTACHED",
            "AuthorId": ui["author"],
            "CreationTime": ui["created"],
            "LastModifiedTime": ui["created"],
            "Tags": ui["tags"],
        }
    }


def get_persistent_app_ui_presigned_url(call: Call) -> dict[str, Any]:
    """Return the address of a page with the cluster's applications, or of one of them."""
    ui = _persistent_ui(call)
    path = f"{HISTORY_PREFIX}{ui['cluster_id']}/{_PATHS[call.request.get('PersistentAppUIType', 'SHS')]}"
    application_id = call.request.get("ApplicationId")
    if application_id and application_id not in {app.id for app in call.engine.runner.applications(ui["cluster_id"])}:
        return {"PresignedURLReady": False}
    page = f"{path}/history/{application_id}/" if application_id else f"{path}/"
    return {"PresignedURLReady": True, "PresignedURL": f"{call.engine.endpoint_url}{page}?authToken={secrets.token_urlsafe(24)}"}


def _persistent_ui(call: Call) -> dict[str, Any]:
    ui_id = call.request["PersistentAppUIId"]
    ui = call.engine.find_persistent_ui(call.region, ui_id)
    if ui is None:
        raise invalid_request(f"Persistent application user interface '{ui_id}' is not valid.")
    return ui
