"""What a process has to be allowed in AWS, and whether it is: asked of IAM without doing anything, or by harmless calls."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from platyspark_provider.cli.doctor.aws_site import Caller, TargetSite
from platyspark_provider.cli.doctor.checks import Finding, Process, Status
from platyspark_provider.errors import PlatySparkError

EMR_CALLS = (
    "ListClusters",
    "DescribeCluster",
    "ListSteps",
    "RunJobFlow",
    "AddJobFlowSteps",
    "CancelSteps",
    "TerminateJobFlows",
    "SetTerminationProtection",
)
EMR_IMPLIED = ("AddTags", "PutAutoTerminationPolicy")
"""Not called, but asked for by RunJobFlow when its request holds tags or such a policy."""
_OWN = "platyspark:installation"
"""Every cluster of ours wears this tag; a policy may allow what is done to such clusters alone."""
_EMR = tuple(f"elasticmapreduce:{name}" for name in (*EMR_CALLS, *EMR_IMPLIED))
_ARTIFACTS = ("s3:GetObject", "s3:PutObject")
_LOGS = ("s3:GetObject",)
_LIST = ("s3:ListBucket",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Needed:
    """Actions on one resource."""

    actions: tuple[str, ...]
    resource: str
    context: Mapping[str, str]


def needed(site: TargetSite, caller: Caller, process: Process) -> list[Needed]:
    """Return what the process does in AWS; the watchdog works in a worker, so both do the same."""
    if process is Process.API_SERVER:
        return []
    arn, account, region = f"arn:{caller.partition}", caller.account, site.region
    tagged = {f"elasticmapreduce:{where}/{_OWN}": "doctor" for where in ("RequestTag", "ResourceTag")}
    wanted = [Needed(actions=_EMR, resource=f"{arn}:elasticmapreduce:{region}:{account}:cluster/*", context=tagged)]
    for role in sorted({name for profile in site.profiles for name in (profile.service_role, profile.instance_profile)}):
        resource = role if role.startswith("arn:") else f"{arn}:iam::{account}:role/{role}"
        service = (
            "ec2.amazonaws.com" if role in {profile.instance_profile for profile in site.profiles} else "elasticmapreduce.amazonaws.com"
        )
        wanted.append(Needed(actions=("iam:PassRole",), resource=resource, context={"iam:PassedToService": service}))
    if site.artifacts:
        wanted.append(Needed(actions=_ARTIFACTS, resource=_object(arn, site.artifacts), context={}))
    for prefix in site.log_prefixes:
        bucket, _, key = prefix.split("://", 1)[1].rstrip("/").partition("/")
        listed = {"s3:prefix": f"{key}/" if key else ""}
        wanted.append(Needed(actions=_LOGS, resource=_object(arn, prefix), context={}))
        wanted.append(Needed(actions=_LIST, resource=f"{arn}:s3:::{bucket}", context=listed))
    return wanted


def check_permissions(site: TargetSite, process: Process) -> Iterator[Finding]:
    """Ask IAM; where that is not allowed, say which calls were tried instead."""
    check, caller = f"permissions {site.target.name}", site.caller
    try:
        principal = _principal(site, caller)
        verdicts = [verdict for want in needed(site, caller, process) for verdict in _simulate(site, principal, want)]
    except PlatySparkError as error:
        yield _by_trial(site, check, error)
        return
    denied = [verdict for verdict in verdicts if verdict.decision != "allowed"]
    certain = [verdict for verdict in denied if not verdict.missing]
    for verdict in denied:
        if verdict.missing:
            why = f"depends on conditions that can't be known here ({', '.join(verdict.missing)})"
            yield Finding(check=check, status=Status.WARN, found=f"{verdict.action} on {verdict.resource} {why}.", fix=_FIX_POLICY)
        else:
            found = f"{principal} may not {verdict.action} on {verdict.resource} ({verdict.decision})."
            yield Finding(check=check, status=Status.FAIL, found=found, fix=_FIX_POLICY)
    if not certain:
        yield Finding(check=check, status=Status.OK, found=f"{principal} may do {len(verdicts) - len(denied)} of {len(verdicts)} actions.")


_FIX_POLICY = "Attach the policy of this process to the role: docs/deployment.md lists one per process."


@dataclass(frozen=True, slots=True, kw_only=True)
class _Verdict:
    action: str
    resource: str
    decision: str
    missing: tuple[str, ...]


def _simulate(site: TargetSite, principal: str, want: Needed) -> Iterator[_Verdict]:
    entries = [{"ContextKeyName": key, "ContextKeyType": "string", "ContextKeyValues": [value]} for key, value in want.context.items()]
    arguments: dict[str, Any] = {"PolicySourceArn": principal, "ActionNames": list(want.actions), "ResourceArns": [want.resource]}
    with site.errors("iam:SimulatePrincipalPolicy"):
        answer = site.client("iam").simulate_principal_policy(**arguments, ContextEntries=entries)
    for result in answer["EvaluationResults"]:
        yield _Verdict(
            action=result["EvalActionName"],
            resource=want.resource,
            decision=result["EvalDecision"],
            missing=tuple(result.get("MissingContextValues", ())),
        )


def _principal(site: TargetSite, caller: Caller) -> str:
    """Return the ARN that IAM takes: of the role behind an assumed one (its path is not in the session's ARN)."""
    kind, _, rest = caller.arn.split(":", 5)[5].partition("/")
    if kind != "assumed-role":
        return caller.arn
    role = rest.split("/")[0]
    with site.errors("iam:GetRole"):
        return str(site.client("iam").get_role(RoleName=role)["Role"]["Arn"])


def _by_trial(site: TargetSite, check: str, error: PlatySparkError) -> Finding:
    """Try the one call that needs no object; S3 is tried by its own check."""
    try:
        with site.errors("elasticmapreduce:ListClusters"):
            site.client("emr").list_clusters(ClusterStates=["WAITING"])
    except PlatySparkError as refused:
        return Finding(check=check, status=Status.FAIL, found=refused.message, fix=_FIX_POLICY)
    code = error.fields.get("aws_code") or "no usable answer"
    found = f"IAM could not be asked ({code}); tried instead: ListClusters works, S3 see below. Nothing that changes EMR was tried."
    return Finding(check=check, status=Status.OK, found=found)


def _object(arn: str, prefix: str) -> str:
    return f"{arn}:s3:::{prefix.split('://', 1)[1].rstrip('/')}/platyspark-doctor"
