"""EMR requests from specs: RunJobFlow and the steps of AddJobFlowSteps; pure, and the only place that knows their words."""

from collections.abc import Iterable, Mapping
from typing import Any

from platyspark_provider.backends.base import Launch
from platyspark_provider.core.keys import cluster_name_from_text
from platyspark_provider.core.spec import ClusterSpec, ResolvedSpec
from platyspark_provider.core.states import DeployMode
from platyspark_provider.errors import BackendRejected

MAX_STEP_CHARACTERS = 10_240  # of one HadoopJarStep (EMR guide, "Service limits")
_DEAD_MAN_FACTOR = 3
_KEPT_DEAD_MAN_S = 86_400
_IDLE_BOUNDS_S = (60, 604_800)  # of AutoTerminationPolicy.IdleTimeout (EMR API)
COMMAND_RUNNER = "command-runner.jar"

# Our words for `security_groups`; EMR's own member names are taken too.
_SECURITY = {
    "master": "EmrManagedMasterSecurityGroup",
    "core": "EmrManagedSlaveSecurityGroup",
    "service_access": "ServiceAccessSecurityGroup",
    "additional_master": "AdditionalMasterSecurityGroups",
    "additional_core": "AdditionalSlaveSecurityGroups",
}


def run_job_flow_request(spec: ClusterSpec, *, name: str, tags: Mapping[str, str]) -> dict[str, Any]:
    """Return RunJobFlow's arguments; the tags are given at create because a dead cluster's can't be edited.

    :raises BackendRejected: the spec holds words that EMR doesn't know.
    """
    request: dict[str, Any] = {
        "Name": name,
        "ReleaseLabel": spec.release_label,
        "Applications": [{"Name": application} for application in spec.applications],
        "Instances": _instances(spec, name),
        "StepConcurrencyLevel": spec.step_concurrency,
        "AutoTerminationPolicy": {"IdleTimeout": dead_man_s(spec)},
        "Configurations": [_configuration(one) for one in spec.configurations],
        "BootstrapActions": [_bootstrap_action(one, index) for index, one in enumerate(spec.bootstrap_actions, 1)],
        "Tags": [{"Key": key, "Value": value} for key, value in {**spec.tags, **tags}.items()],
        "VisibleToAllUsers": True,
    }
    if spec.max_workers is not None:
        request["ManagedScalingPolicy"] = {"ComputeLimits": _compute_limits(spec)}
    optional = {
        "ServiceRole": spec.service_role,
        "JobFlowRole": spec.instance_profile,
        "SecurityConfiguration": spec.security_configuration,
        "CustomAmiId": spec.custom_ami,
        "LogUri": spec.log_uri,
    }
    return request | {key: value for key, value in optional.items() if value}


def dead_man_s(spec: ClusterSpec) -> int:
    """Return the idle time in seconds after which EMR itself ends a cluster: a last resort, should nobody of ours be there to do it.

    It is well above the spec's own idle timeout, because EMR's clock knows nothing of our rows and can race a join.
    """
    longest = max(_DEAD_MAN_FACTOR * spec.idle_timeout_s, _KEPT_DEAD_MAN_S if spec.pool_min else 0)
    return min(max(longest, _IDLE_BOUNDS_S[0]), _IDLE_BOUNDS_S[1])


def _compute_limits(spec: ClusterSpec) -> dict[str, Any]:
    """Return the limits of EMR's managed scaling: from the workers that the spec begins with to its most.

    Core nodes stay as few as they are: HDFS and the drivers (EMR 5.19 and later) live there, and task nodes come and go.
    """
    workers = {role: sum(g.count for g in spec.instance_groups if g.role.upper() == role) for role in ("CORE", "TASK")}
    least, most = sum(workers.values()), max(spec.max_workers or 0, sum(workers.values()))
    on_demand = {} if spec.max_on_demand is None else {"MaximumOnDemandCapacityUnits": min(spec.max_on_demand, most)}
    return {
        "UnitType": "Instances",
        "MinimumCapacityUnits": least,
        "MaximumCapacityUnits": most,
        "MaximumCoreCapacityUnits": max(workers["CORE"], 1),
    } | on_demand


def _instances(spec: ClusterSpec, name: str) -> dict[str, Any]:
    groups = [
        {
            "Name": group.role.lower(),
            "InstanceRole": group.role.upper(),
            "Market": group.market,
            "InstanceType": group.instance_type,
            "InstanceCount": group.count,
        }
        for group in spec.instance_groups
        if group.count > 0
    ]
    instances: dict[str, Any] = {
        "InstanceGroups": groups,
        "KeepJobFlowAliveWhenNoSteps": True,
        "TerminationProtected": False,
        **_security_groups(spec),
    }
    if spec.subnet_ids:
        instances["Ec2SubnetId"] = _subnet(spec.subnet_ids, name)
    return instances


def _subnet(subnets: tuple[str, ...], name: str) -> str:
    """Return the subnet of this incarnation: instance groups take one, so each new generation tries the next."""
    parsed = cluster_name_from_text(name)
    return subnets[(parsed.generation - 1) % len(subnets)] if parsed else subnets[0]


def _security_groups(spec: ClusterSpec) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in spec.security_groups.items():
        member = _SECURITY.get(key, key)
        if member not in _SECURITY.values():
            known = ", ".join(_SECURITY)
            raise BackendRejected(f"Cluster spec {spec.name!r}: security group {key!r} is unknown.", hint=f"Known are: {known}.")
        found[member] = [value] if member.startswith("Additional") and isinstance(value, str) else value
    return found


def _configuration(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return one configuration in EMR's case; property values become text as EMR wants them."""
    known = {key.lower(): value for key, value in raw.items()}
    configuration: dict[str, Any] = {
        "Classification": known.get("classification", ""),
        "Properties": {key: _text(value) for key, value in (known.get("properties") or {}).items()},
    }
    nested = [_configuration(one) for one in known.get("configurations") or ()]
    return configuration | ({"Configurations": nested} if nested else {})


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _bootstrap_action(raw: Mapping[str, Any], index: int) -> dict[str, Any]:
    """Return one bootstrap action from `{name, path, args}` or EMR's own nested form."""
    known = {key.lower(): value for key, value in raw.items()}
    script = {key.lower(): value for key, value in (known.get("scriptbootstrapaction") or known).items()}
    return {
        "Name": str(known.get("name") or f"bootstrap-{index}"),
        "ScriptBootstrapAction": {"Path": script.get("path", ""), "Args": [str(arg) for arg in script.get("args") or ()]},
    }


def step_request(launch: Launch) -> dict[str, Any]:
    """Return one step of AddJobFlowSteps.

    :raises BackendRejected: its arguments exceed EMR's limit; `fields["launch"]` names the run.
    """
    step = command_step(launch.name, spark_submit_args(launch))
    length = sum(len(text) for text in (COMMAND_RUNNER, *step["HadoopJarStep"]["Args"]))
    if length > MAX_STEP_CHARACTERS:
        raise BackendRejected(
            f"Application {launch.spec.name!r}: its step arguments are {length:,} characters long; EMR takes {MAX_STEP_CHARACTERS:,}.",
            hint="Shorten args, conf or env_vars, or put long values in a file and list it in files=.",
            launch=launch.name,
            length=length,
        )
    return step


def command_step(name: str, args: Iterable[str]) -> dict[str, Any]:
    """Return a step that runs a command on the master; CONTINUE is all that a concurrency above 1 allows."""
    return {"Name": name, "ActionOnFailure": "CONTINUE", "HadoopJarStep": {"Jar": COMMAND_RUNNER, "Args": list(args)}}


def spark_submit_args(launch: Launch) -> list[str]:
    """Return the step's command line: `spark-submit ... application args`."""
    spec = launch.spec
    args = ["spark-submit", "--deploy-mode", spec.deploy_mode.value, "--name", spec.name]
    if spec.main_class:
        args += ["--class", spec.main_class]
    lists = {
        "--py-files": spec.py_files,
        "--files": spec.files,
        "--jars": spec.jars,
        "--archives": spec.archives,
        "--packages": spec.packages,
    }
    for option, values in lists.items():
        args += [option, ",".join(values)] if values else []
    for key, value in spark_conf(spec, launch.yarn_tag).items():
        args += ["--conf", f"{key}={value}"]
    return [*args, spec.application_uri, *spec.args]


def spark_conf(spec: ResolvedSpec, yarn_tag: str) -> dict[str, str]:
    """Return the conf that is sent: the spec's, then what identity and exactly-once need.

    One driver attempt unless the owner asked for more: YARN's own second attempt would be a run that nobody decided on.
    `env_vars` reach the driver in cluster mode only: in client mode it is the step's own process, whose environment no
    conf sets.
    """
    conf = {"spark.yarn.maxAppAttempts": "1", **spec.conf}
    own_tags = [tag for tag in conf.get("spark.yarn.tags", "").split(",") if tag]
    conf["spark.yarn.tags"] = ",".join([*own_tags, yarn_tag])
    conf["spark.yarn.submit.waitAppCompletion"] = "true"
    for name, value in spec.env_vars.items():
        if spec.deploy_mode is DeployMode.CLUSTER:
            conf[f"spark.yarn.appMasterEnv.{name}"] = value
        conf[f"spark.executorEnv.{name}"] = value
    return conf
