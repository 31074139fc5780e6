"""Checks of AWS through a target's connection: who we are, EMR's limits and release labels, the roles of its clusters."""

from collections.abc import Iterator

from platyspark_provider.cli.doctor.aws_permissions import check_permissions
from platyspark_provider.cli.doctor.aws_site import TargetSite
from platyspark_provider.cli.doctor.checks import CALLERS, Check, Finding, Process, Status
from platyspark_provider.cli.doctor.s3_checks import check_storage
from platyspark_provider.errors import BackendRejected, PlatySparkError

ACTIVE_CLUSTERS = 500
"""EMR's quota of active clusters per account and region (EMR management guide, "Service quotas")."""
_ACTIVE = ["STARTING", "BOOTSTRAPPING", "RUNNING", "WAITING", "TERMINATING"]
_NEARLY = 0.8


def aws_checks(site: TargetSite, process: Process | None) -> tuple[Check, ...]:
    """Return the checks of one target.

    :param process: whose permissions are asked for; None: those of the one that does most.
    """
    name = site.target.name
    return (
        Check(name=f"aws {name}", processes=CALLERS, run=lambda: check_identity(site)),
        Check(name=f"permissions {name}", processes=CALLERS, run=lambda: check_permissions(site, process or Process.WORKER)),
        Check(name=f"emr {name}", processes=CALLERS, run=lambda: check_emr(site)),
        Check(name=f"s3 {name}", processes=CALLERS, run=lambda: check_storage(site)),
        Check(name=f"roles {name}", processes=CALLERS, run=lambda: check_roles(site)),
    )


def check_identity(site: TargetSite) -> Iterator[Finding]:
    """Ask AWS who we are, and hold the account and the region against the target's."""
    check, target = f"aws {site.target.name}", site.target
    caller = site.caller
    where = "" if _is_aws(site) else f" at {site.endpoint}"
    found = f"Connection {target.aws_conn_id} is {caller.arn}, region {site.region}{where}."
    if target.account_id and target.account_id != caller.account:
        fix = f"Give connection {target.aws_conn_id} a role of account {target.account_id}, or change targets.{target.name}.account_id."
        yield Finding(check=check, status=Status.FAIL, found=f"{found} The target says account {target.account_id}.", fix=fix)
    else:
        yield Finding(check=check, status=Status.OK, found=found)


def check_emr(site: TargetSite) -> Iterator[Finding]:
    """Count the active clusters and look for the profiles' release labels."""
    yield _active_clusters(site)
    try:
        known = _release_labels(site)
    except BackendRejected as refused:
        fix = "Allow elasticmapreduce:ListReleaseLabels, to have release labels checked."
        yield Finding(check=f"emr {site.target.name}", status=Status.WARN, found=refused.message, fix=fix)
        return
    for label in sorted({profile.release_label for profile in site.profiles}):
        yield _release_label(site, label, known)


def _active_clusters(site: TargetSite) -> Finding:
    check, count = f"emr {site.target.name}", 0
    with site.errors("elasticmapreduce:ListClusters"):
        for page in site.client("emr").get_paginator("list_clusters").paginate(ClusterStates=_ACTIVE):
            count += len(page["Clusters"])
    found = f"{count} of {ACTIVE_CLUSTERS} active clusters."
    if count < _NEARLY * ACTIVE_CLUSTERS:
        return Finding(check=check, status=Status.OK, found=found)
    fix = "Ask AWS for a higher quota of active clusters (Service Quotas, Amazon EMR), or lower idle_timeout in profiles.yaml."
    full = count >= ACTIVE_CLUSTERS
    return Finding(check=check, status=Status.FAIL if full else Status.WARN, found=found, fix=fix)


def _release_labels(site: TargetSite) -> set[str]:
    labels: set[str] = set()
    arguments: dict[str, str] = {}
    while True:
        with site.errors("elasticmapreduce:ListReleaseLabels"):
            page = site.client("emr").list_release_labels(**arguments)
        labels.update(page.get("ReleaseLabels", ()))
        if not page.get("NextToken"):
            return labels
        arguments["NextToken"] = page["NextToken"]


def _release_label(site: TargetSite, label: str, known: set[str]) -> Finding:
    check = f"emr {site.target.name}"
    if label in known:
        return Finding(check=check, status=Status.OK, found=f"Release {label} is offered.")
    names = ", ".join(profile.name for profile in site.profiles if profile.release_label == label)
    near = sorted(one for one in known if one.rsplit(".", 2)[0] == label.rsplit(".", 2)[0])[-3:] or sorted(known)[-3:]
    fix = f"Set release_label of {names} to one of: {', '.join(near)}"
    return Finding(check=check, status=Status.FAIL, found=f"EMR does not offer release {label} here (profile {names}).", fix=fix)


def check_roles(site: TargetSite) -> Iterator[Finding]:
    """Look for the service roles and the instance profiles that the profiles name."""
    for role in sorted({profile.service_role for profile in site.profiles}):
        yield _role(site, "service role", role, "get_role", "RoleName")
    for role in sorted({profile.instance_profile for profile in site.profiles}):
        yield _role(site, "instance profile", role, "get_instance_profile", "InstanceProfileName")


def _role(site: TargetSite, kind: str, value: str, method: str, member: str) -> Finding:
    check, name = f"roles {site.target.name}", value.rsplit("/", 1)[-1]
    try:
        with site.errors(f"looking for {kind} {name}"):
            getattr(site.client("iam"), method)(**{member: name})
    except PlatySparkError as error:
        return _role_refusal(check, kind, name, error)
    return Finding(check=check, status=Status.OK, found=f"The {kind} {name} exists.")


def _role_refusal(check: str, kind: str, name: str, error: PlatySparkError) -> Finding:
    if str(error.fields.get("aws_code", "")).startswith("NoSuchEntity"):
        fix = f"aws emr create-default-roles, or name another {kind.replace(' ', '_')} in profiles.yaml"
        return Finding(check=check, status=Status.FAIL, found=f"There is no {kind} {name}.", fix=fix)
    if isinstance(error, BackendRejected):
        fix = "Allow iam:GetRole and iam:GetInstanceProfile, to have roles checked."
        return Finding(check=check, status=Status.WARN, found=error.message, fix=fix)
    raise error


def _is_aws(site: TargetSite) -> bool:
    return (site.endpoint or "").rstrip("/").endswith((".amazonaws.com", ".amazonaws.com.cn"))
