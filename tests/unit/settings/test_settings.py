"""Options: what is documented is what is read, with the same defaults."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from platyspark_provider.core.records import Policy
from platyspark_provider.provider_info import get_provider_info
from platyspark_provider.settings import Settings, load_settings


def options() -> dict[str, Any]:
    info: Any = get_provider_info()
    found: dict[str, Any] = info["config"]["platyspark"]["options"]
    return found


def test_every_option_is_documented_with_its_default_and_type() -> None:
    documented = options()
    assert set(documented) == {option.name for option in fields(Settings)}
    for option in fields(Settings):
        described = documented[option.name]
        assert described["type"] == ("float" if isinstance(option.default, float) else "string")
        assert type(option.default)(described["default"]) == option.default
        assert len(described["description"]) > 20


def test_default_policy_is_the_one_of_the_rules() -> None:
    assert Settings().policy() == Policy()


def test_policy_takes_every_number_from_the_settings() -> None:
    numbers = {option.name: float(n) for n, option in enumerate(fields(Settings), start=1) if isinstance(option.default, float)}
    policy = Settings(**numbers).policy()  # type: ignore[arg-type]
    assert {getattr(policy, option.name) for option in fields(Policy) if isinstance(option.default, float)} <= set(numbers.values())
    assert policy.settle_s == numbers["settle_window"]
    assert policy.log_deadline_s == numbers["log_deadline"]


def test_load_settings_without_configuration_gives_the_defaults() -> None:
    assert load_settings() == Settings()


def test_load_settings_reads_the_section(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__PLATYSPARK__POLL_INTERVAL", "2.5")
    monkeypatch.setenv("AIRFLOW__PLATYSPARK__ARTIFACTS", "s3://bucket/x")
    settings = load_settings()
    assert (settings.poll_interval, settings.artifacts) == (2.5, "s3://bucket/x")


@pytest.mark.parametrize(("given", "starts"), [("conf/profiles.yaml", "home"), ("/etc/profiles.yaml", "/etc/profiles.yaml")])
def test_load_settings_finds_a_relative_profiles_file_at_airflows_home(monkeypatch: pytest.MonkeyPatch, given: str, starts: str) -> None:
    from airflow.configuration import AIRFLOW_HOME

    monkeypatch.setenv("AIRFLOW__PLATYSPARK__PROFILES_FILE", given)
    expected = str(Path(AIRFLOW_HOME) / given) if starts == "home" else starts
    assert load_settings().profiles_file == expected
