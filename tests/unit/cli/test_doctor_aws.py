"""The doctor's AWS checks against a server that answers as AWS does: what it denies, what is full, what IAM simulates."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs

import pytest

import platyspark_provider
from platyspark_provider.cli.doctor.aws_checks import aws_checks
from platyspark_provider.cli.doctor.aws_permissions import EMR_CALLS, EMR_IMPLIED, needed
from platyspark_provider.cli.doctor.aws_site import Caller, sites_of
from platyspark_provider.cli.doctor.checks import Finding, Process, run_checks
from platyspark_provider.core.profiles import profiles_from_mapping
from tests.unit.backends.aws_server import Answer, free_port, refused, serve

ROLE = "arn:aws:iam::111122223333:role/airflow/worker"
LABELS = ["emr-7.10.0", "emr-7.9.0", "emr-6.15.0"]


class Aws:
    """What the scripted AWS says; a test changes it before it asks."""

    def __init__(self) -> None:
        self.denied: set[str] = set()
        self.implicit: dict[str, str] = {}
        self.may_simulate = True
        self.clusters = 3
        self.simulated: list[dict[str, list[str]]] = []

    def __call__(self, method: str, path: str, body: Any) -> Answer:
        if isinstance(body, bytes) and b"Action=" in body:
            return self._query(parse_qs(body.decode()))
        if path in {"ListClusters", "ListReleaseLabels"}:
            if path in self.denied:
                return refused("AccessDeniedException")
            many = [{"Id": f"j-{i}", "Name": "x", "Status": {"State": "WAITING"}} for i in range(self.clusters)]
            return Answer(200, {"Clusters": many} if path == "ListClusters" else {"ReleaseLabels": LABELS})
        return self._s3(method, path)

    def _s3(self, method: str, path: str) -> Answer:
        if method in self.denied:
            return Answer(403, b"<Error><Code>AccessDenied</Code><Message>no</Message></Error>", {"Content-Type": "application/xml"})
        empty = b'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><KeyCount>0</KeyCount></ListBucketResult>'
        region = "us-east-1" if "far" in path else "eu-west-1"
        return Answer(200, empty if method == "GET" else b"", {"x-amz-bucket-region": region})

    def _query(self, asked: dict[str, list[str]]) -> Answer:
        (action,) = asked["Action"]
        if action == "GetCallerIdentity":
            arn = "arn:aws:sts::111122223333:assumed-role/worker/host"
            return _xml(action, f"<Arn>{arn}</Arn><Account>111122223333</Account><UserId>u</UserId>")
        if action == "GetRole" and asked["RoleName"] == ["worker"]:
            role = f"<Role><Path>/airflow/</Path><RoleName>worker</RoleName><RoleId>r</RoleId><Arn>{ROLE}</Arn>"
            return _xml(action, f"{role}<CreateDate>2026-01-01T00:00:00Z</CreateDate></Role>")
        if action in self.denied or (action == "SimulatePrincipalPolicy" and not self.may_simulate):
            error = "<ErrorResponse><Error><Code>AccessDenied</Code><Message>not you</Message></Error></ErrorResponse>"
            return Answer(403, error.encode(), {"Content-Type": "text/xml"})
        if action == "SimulatePrincipalPolicy":
            self.simulated.append(asked)
            names = [values[0] for key, values in asked.items() if key.startswith("ActionNames.member")]
            return _xml(
                action, f"<EvaluationResults>{''.join(map(self._verdict, names))}</EvaluationResults><IsTruncated>false</IsTruncated>"
            )
        return _xml(action, "<Role/>" if action == "GetRole" else "<InstanceProfile/>")

    def _verdict(self, name: str) -> str:
        decision = "explicitDeny" if name in self.denied else "implicitDeny" if name in self.implicit else "allowed"
        missing = f"<MissingContextValues><member>{self.implicit[name]}</member></MissingContextValues>" if name in self.implicit else ""
        return f"<member><EvalActionName>{name}</EvalActionName><EvalDecision>{decision}</EvalDecision>{missing}</member>"


def _xml(action: str, content: str) -> Answer:
    text = f"<{action}Response><{action}Result>{content}</{action}Result></{action}Response>"
    return Answer(200, text.encode(), {"Content-Type": "text/xml"})


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aws]:
    """Yield what the AWS of connection `aws_eu` says."""
    script = Aws()
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with serve(script) as server:
        extra = {"endpoint_url": server.url, "region_name": "eu-west-1", "config_kwargs": {"s3": {"addressing_style": "path"}}}
        monkeypatch.setenv("AIRFLOW_CONN_AWS_EU", json.dumps({"conn_type": "aws", "login": "k", "password": "s", "extra": extra}))
        yield script


def look(check: str = "", **profile: Any) -> list[Finding]:
    """Run one check of the target, or all (each service's client takes a while to build)."""
    values = {"target": "eu", "log_uri": "s3://logs/spark", **profile}
    document = {
        "artifacts": values.pop("artifacts", "s3://files/spark"),
        "targets": {"eu": {"aws_conn_id": "aws_eu", "account_id": values.pop("account_id", "111122223333")}},
        "profiles": {"shared": values},
    }
    (site,) = sites_of(profiles_from_mapping(document)).values()
    return list(run_checks([one for one in aws_checks(site, Process.WORKER) if one.name.startswith(check)]))


def told(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(one.status.value, one.found) for one in findings]


def test_aws_all_well_is_all_ok(aws: Aws) -> None:
    findings = look()

    assert {one.status.value for one in findings} == {"ok"}, findings
    assert told([one for one in findings if one.check == "emr eu"]) == [
        ("ok", "3 of 500 active clusters."),
        ("ok", "Release emr-7.10.0 is offered."),
    ]
    (allowed,) = told([one for one in findings if one.check == "permissions eu"])
    assert allowed[1].startswith(f"{ROLE} may do")
    asked = [(call["ResourceArns.member.1"][0], call["ActionNames.member.1"][0]) for call in aws.simulated]
    assert ("arn:aws:iam::111122223333:role/EMR_DefaultRole", "iam:PassRole") in asked
    assert ("arn:aws:s3:::files/spark/platyspark-doctor", "s3:GetObject") in asked


def test_aws_simulated_denial_fails_and_a_condition_warns(aws: Aws) -> None:
    aws.denied, aws.implicit = {"s3:PutObject"}, {"elasticmapreduce:CancelSteps": "elasticmapreduce:ResourceTag/app"}

    found = told(look("permissions"))

    assert [status for status, _ in found] == ["warn", "fail"]
    assert "elasticmapreduce:ResourceTag/app" in found[0][1]
    assert found[1][1] == f"{ROLE} may not s3:PutObject on arn:aws:s3:::files/spark/platyspark-doctor (explicitDeny)."


def test_aws_without_the_right_to_simulate_harmless_calls_are_tried(aws: Aws) -> None:
    aws.may_simulate = False
    (tried,) = told(look("permissions"))
    assert (tried[0], "ListClusters works" in tried[1]) == ("ok", True)

    aws.denied = {"ListClusters"}
    (denied,) = told(look("permissions"))
    assert (denied[0], "AccessDeniedException" in denied[1]) == ("fail", True)
    assert told(look("emr"))[0][0] == "fail"


def test_aws_release_label_that_is_not_offered_names_near_ones(aws: Aws) -> None:
    found = look("emr", release_label="emr-7.99.0")
    assert (found[1].status.value, "emr-7.9.0" in found[1].fix, "profile shared" in found[1].found) == ("fail", True, True)

    aws.denied = {"ListReleaseLabels"}
    assert [one.status.value for one in look("emr")] == ["ok", "warn"]


@pytest.mark.parametrize(("clusters", "status"), [(399, "ok"), (420, "warn"), (500, "fail")])
def test_aws_active_clusters_against_the_quota(aws: Aws, clusters: int, status: str) -> None:
    aws.clusters = clusters
    assert told(look("emr"))[0] == (status, f"{clusters} of 500 active clusters.")


def test_aws_other_account_than_the_targets_fails(aws: Aws) -> None:
    (found,) = told(look("aws", account_id="999900001111"))
    assert (found[0], "The target says account 999900001111" in found[1]) == ("fail", True)


def test_aws_bucket_in_another_region_warns_and_a_denied_upload_fails(aws: Aws) -> None:
    far = told(look("s3", artifacts="s3://far-files/x"))
    assert far[0] == ("warn", "Bucket far-files is in us-east-1, the target in eu-west-1: each transfer crosses regions.")

    aws.denied = {"PUT"}
    assert [status for status, _ in told(look("s3"))] == ["ok", "fail", "ok", "ok"]


def test_aws_marker_that_can_not_be_removed_is_said(aws: Aws) -> None:
    aws.denied = {"DELETE"}
    (left,) = [found for _, found in told(look("s3")) if "stayed behind" in found]
    assert "platyspark-doctor-" in left


def test_aws_roles_that_may_not_be_looked_at_warn(aws: Aws) -> None:
    aws.denied = {"GetInstanceProfile"}
    assert [status for status, _ in told(look("roles"))] == ["ok", "warn"]


def test_aws_nobody_listens_every_check_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    extra = {"endpoint_url": f"http://127.0.0.1:{free_port()}", "region_name": "eu-west-1"}
    monkeypatch.setenv("AIRFLOW_CONN_AWS_EU", json.dumps({"conn_type": "aws", "login": "k", "password": "s", "extra": extra}))
    findings = look()
    assert {one.status.value for one in findings} == {"fail"}
    assert all("AWS can't be reached" in one.found for one in findings), findings


def test_aws_without_credentials_says_how_to_give_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_ENDPOINT_URL", "AIRFLOW_CONN_AWS_EU"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    (found,) = look("aws")
    assert (found.status.value, "gives no AWS credentials" in found.found) == ("fail", True)
    assert found.fix.startswith("airflow connections add aws_eu --conn-type aws")


_S3_ACTIONS = {
    "get_object": "GetObject",
    "head_object": "GetObject",
    "put_object": "PutObject",
    "upload_fileobj": "PutObject",
    "get_paginator": "ListBucket",
}


def test_permissions_cover_every_call_of_ours_and_no_other_of_emr() -> None:
    source = Path(platyspark_provider.__file__).parent
    code = "\n".join(path.read_text() for folder in ("backends", "packaging") for path in sorted((source / folder).glob("*.py")))
    emr = {"".join(word.title() for word in name.split("_")) for name in re.findall(r"_(?:mutating|reading)\.([a-z_]+)\(", code)}
    s3 = {_S3_ACTIONS[name] for name in re.findall(r"s3(?:_client)?\.([a-z_]+)\(", code)}

    (site,) = sites_of(profiles_from_mapping({"artifacts": "s3://files/spark"})).values()
    site.__dict__["_hook_and_session"] = (None, SimpleNamespace(region_name="eu-west-1"))
    caller = Caller(account="111122223333", arn="arn:aws:iam::111122223333:user/u")
    wanted = needed(site, caller, Process.TRIGGERER)
    actions = {action for want in wanted for action in want.actions}

    assert {name.removeprefix("elasticmapreduce:") for name in actions if name.startswith("elasticmapreduce:")} == emr | {*EMR_IMPLIED}
    assert emr == {*EMR_CALLS}
    assert {name.removeprefix("s3:") for name in actions if name.startswith("s3:")} == s3
    assert ("s3:ListBucket", "arn:aws:s3:::files", "spark/logs/") in [
        (w.actions[0], w.resource, w.context.get("s3:prefix")) for w in wanted
    ]
    assert needed(site, caller, Process.API_SERVER) == []
