"""docker-compose.yaml: valid by Compose's own schema, and every service's command started for real, in the file's order.

There is no docker here: images are not built, and namespaces, capabilities and mounts are taken at the file's word.
"""

import json
import re
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from demo.airflow_api import AirflowApi
from platyspark_provider.emrsim.client import EmrSim
from platyspark_provider.profiles_file import ProfilesFile
from tests.integration.compose_file import (
    ComposeError,
    copies_of,
    filled,
    read_compose,
    required_variables,
    settings_from_text,
    stages_of,
    variables,
)
from tests.integration.compose_site import ComposeSite

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yaml"
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
SCHEMA = json.loads((Path(__file__).parent / "data" / "compose-spec.json").read_text(encoding="utf-8"))
AWS_HOLDERS = {"scheduler", "triggerer"}


@pytest.fixture
def settings() -> dict[str, str]:
    """Return the settings that deploy/new_env.py writes."""
    sys.path.insert(0, str(ROOT / "deploy"))
    try:
        import new_env

        return settings_from_text(new_env.filled(new_env.EXAMPLE.read_text(encoding="utf-8")))
    finally:
        sys.path.remove(str(ROOT / "deploy"))


def test_compose_file_before_and_after_interpolation_is_valid_by_the_schema(settings: dict[str, str]) -> None:
    validator = jsonschema.Draft202012Validator(SCHEMA)
    validator.check_schema(SCHEMA)
    raw = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    assert "version" not in raw
    for content in (raw, dict(read_compose(FILE, settings).content)):
        assert [f"{'/'.join(map(str, error.absolute_path))}: {error.message}" for error in validator.iter_errors(content)] == []


def test_compose_file_with_a_mistake_is_refused_by_the_schema(settings: dict[str, str]) -> None:
    content = json.loads(json.dumps(read_compose(FILE, settings).content))
    content["services"]["scheduler"]["healthchek"] = {}
    content["services"]["migrate"]["depends_on"]["postgres"]["condition"] = "service_is_well"
    assert len(list(jsonschema.Draft202012Validator(SCHEMA).iter_errors(content))) >= 2


@pytest.mark.parametrize("name", sorted(required_variables(FILE)))
def test_compose_file_without_a_required_variable_names_it(settings: dict[str, str], name: str) -> None:
    for missing in ({}, {name: ""}):
        with pytest.raises(ComposeError, match=rf"required variable {name} is missing a value: \w+"):
            read_compose(FILE, {**{key: value for key, value in settings.items() if key != name}, **missing})


def test_interpolation_of_every_form_gives_what_compose_gives() -> None:
    known = {"A": "a", "EMPTY": ""}
    cases = {
        "$A-${A}": "a-a",
        "$$A": "$A",
        "${B:-b}${EMPTY:-b}": "bb",
        "${B-b}${EMPTY-b}": "b",
        "${B}$B": "",
        "${EMPTY?x}": "",
        "${B:-http://x:1}": "http://x:1",
    }
    assert {text: filled(text, known) for text in cases} == cases
    with pytest.raises(ComposeError, match="invalid interpolation"):
        filled("${A!}", known)


def test_secrets_of_the_file_come_from_required_variables_alone(settings: dict[str, str]) -> None:
    raw = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    for name, service in raw["services"].items():
        for key, value in service.get("environment", {}).items():
            if any(word in key for word in ("PASSWORD", "SECRET", "FERNET", "SQL_ALCHEMY_CONN")) and not key.endswith("_FILE"):
                assert ":?" in value, f"{name}: {key}"
    secrets = [name for name, value in settings.items() if f"\n{name}=\n" in (ROOT / "deploy/example.env").read_text(encoding="utf-8")]
    assert set(secrets) < required_variables(FILE)
    assert len({settings[name] for name in secrets}) == len(secrets) == 5
    assert ".env" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()


def test_example_settings_name_every_variable_of_the_file_and_no_other() -> None:
    named = set(re.findall(r"^(?:# )?([A-Z][A-Z_]+)=", (ROOT / "deploy/example.env").read_text(encoding="utf-8"), re.MULTILINE))
    assert named == variables(FILE) | {"COMPOSE_PROFILES"}


def test_ports_of_the_file_are_published_on_loopback_alone(settings: dict[str, str]) -> None:
    services = read_compose(FILE, settings).services
    published = {name: service["ports"] for name, service in services.items() if "ports" in service}
    assert published == {"api-server": ["127.0.0.1:8080:8080"]}


def test_emrsim_shares_its_loopback_with_its_callers_alone(settings: dict[str, str]) -> None:
    services = read_compose(FILE, settings).services
    assert "0.0.0.0" not in services["emrsim"]["command"]
    inside = {name for name, service in services.items() if service.get("network_mode") == "service:pod"}
    assert inside == {"emrsim", "emrsim-bucket", *AWS_HOLDERS}
    assert "ports" not in services["pod"]


def test_services_hold_no_more_than_they_need(settings: dict[str, str]) -> None:
    services = read_compose(FILE, settings).services
    assert {name for name, keys in _environment(services) if any("AWS" in key for key in keys)} == AWS_HOLDERS
    assert {name for name, keys in _environment(services) if "AIRFLOW__API_AUTH__JWT_SECRET" in keys} == {"api-server", "scheduler"}
    assert {name for name, keys in _environment(services) if "AIRFLOW__PLATYSPARK__PROFILES_FILE" in keys} == {"api-server"}
    mounted = {name for name in services if "/opt/airflow/dags" in dict(map(reversed, read_compose(FILE, settings).volumes(name)))}
    assert mounted == {"dag-processor", *AWS_HOLDERS}


def _environment(services: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, set[str]]]:
    return ((name, set(service.get("environment", {}))) for name, service in services.items())


def test_services_without_the_profile_emrsim_depend_on_none_of_it(settings: dict[str, str]) -> None:
    without = read_compose(FILE, {**settings, "COMPOSE_PROFILES": ""})
    assert set(read_compose(FILE, settings).services) - set(without.services) == {"emrsim", "emrsim-bucket"}
    assert set(without.in_order()) == set(without.services)


def test_dockerfile_copies_what_exists_and_its_context_keeps() -> None:
    kept = [line[1:] for line in (ROOT / "deploy/Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines() if line.startswith("!")]
    sources = [source for stage in ("wheel", "airflow") for found, _ in copies_of(DOCKERFILE, stage) for source in found]
    assert sorted(sources) == sorted(kept)
    assert [source for source in sources if not (ROOT / source).exists()] == []
    built = {
        service["build"]["target"]
        for service in yaml.safe_load(FILE.read_text(encoding="utf-8"))["services"].values()
        if "build" in service
    }
    assert built <= set(stages_of(DOCKERFILE))


@pytest.mark.parametrize("name", ["profiles.yaml", "emrsim.yaml"])
def test_profiles_of_the_deployment_are_good(name: str) -> None:
    file = ProfilesFile(ROOT / "deploy" / "profiles" / name, artifacts="s3://platyspark/artifacts")
    assert file.error is None
    assert "shared" in file.current().profiles


@pytest.mark.slow
@pytest.mark.timeout(420)
def test_compose_services_started_for_real_are_healthy_and_run_a_dag(settings: dict[str, str], tmp_path: Path) -> None:
    assert shutil.which("curl"), "curl is missing: apt-get install -y curl"
    settings |= {"PLATYSPARK_POLL_INTERVAL": "1", "AIRFLOW_API_WORKERS": "1", "AIRFLOW_PARALLELISM": "2"}
    with ComposeSite(tmp_path, read_compose(FILE, settings)) as site:
        assert set(site.healthy) == {"postgres", "api-server", "scheduler", "triggerer", "dag-processor", "emrsim"}
        _run_first_dag(site, settings)
        _repeat_bootstrap(site)


def _run_first_dag(site: ComposeSite, settings: Mapping[str, str]) -> None:
    """Trigger deploy/dags/first.py as the administrator; its step ends without a process, its file and its call are real."""
    emr = EmrSim(site.home, int(site.ports["8099"]))
    emr.url = f"http://127.0.0.1:{emr.port}"
    # Airflow 3.3 fails a task that is resumed before its executor's word of the deferral was read: 5 s each for supervisor and scheduler.
    emr.script_steps(duration_s=15.0)
    api = AirflowApi(f"http://127.0.0.1:{site.ports['8080']}", ("admin", settings["AIRFLOW_ADMIN_PASSWORD"]))
    api.wait_for_dag("first")
    run_id = api.trigger("first")
    state = api.wait_for_run("first", run_id, seconds=120)
    assert state == "success", api.log("first", run_id, "count")
    (call,) = emr.journal(operation="AddJobFlowSteps")
    (step,) = call["request"]["Steps"]
    application = step["HadoopJarStep"]["Args"][-2]
    assert application.startswith("s3://platyspark/artifacts/")
    bucket, _, key = application.removeprefix("s3://").partition("/")
    assert emr.boto3("s3").get_object(Bucket=bucket, Key=key)["Body"].read() == (ROOT / "deploy/dags/jobs/count.py").read_bytes()
    api.close()


def _repeat_bootstrap(site: ComposeSite) -> None:
    again = site.run("migrate", site.compose.services["migrate"]["command"], timeout=120)
    assert again.returncode == 0, again.stderr
    assert "is there" in again.stdout
