"""Addresses behind the buttons on a task's page."""

from dataclasses import replace
from typing import Any

import pytest

from platyspark_provider.core.records import AppDetail
from platyspark_provider.core.states import AppPhase
from platyspark_provider.operators.links import APP_LINKS, log_address, targets_from_detail, why_missing
from tests.builders import in_phase, make_cluster, make_target


def detail(**values: Any) -> AppDetail:
    app, attempt = in_phase(AppPhase.RUNNING, **values)
    return AppDetail(app=app, attempt=attempt, cluster=replace(make_cluster(), external_id="j-1"), target=make_target())


def test_targets_running_application_leads_to_its_cluster() -> None:
    found = targets_from_detail(detail())
    assert found == {"Spark app": "https://eu-west-1.console.aws.amazon.com/emr/home?region=eu-west-1#/clusterDetails/j-1"}
    assert "minutes" in why_missing(detail())["Driver log"]


def test_targets_without_a_region_or_a_cluster() -> None:
    anywhere = replace(detail(), target=make_target(region=None))
    assert targets_from_detail(anywhere)["Spark app"] == "https://console.aws.amazon.com/emr/home#/clusterDetails/j-1"
    early = replace(detail(), cluster=None)
    assert targets_from_detail(early) == {}
    assert set(why_missing(early)) == {link.name for link in APP_LINKS}


def test_targets_cluster_that_the_run_was_sent_to_wins() -> None:
    assert targets_from_detail(detail(external_detail={"cluster": "j-sent"}))["Spark app"].endswith("j-sent")


@pytest.mark.parametrize(
    ("uri", "address"),
    [
        ("s3://logs/a b/stderr.gz", "https://s3.console.aws.amazon.com/s3/buckets/logs?region=eu-west-1&prefix=a%20b/stderr.gz"),
        ("https://logs.example.com/1", "https://logs.example.com/1"),
    ],
)
def test_log_address_is_what_a_browser_opens(uri: str, address: str) -> None:
    assert log_address(uri, "eu-west-1") == address
    assert targets_from_detail(detail(log_uri=uri))["Driver log"] == address


def test_link_names_are_unique_in_all_of_airflow() -> None:
    assert [link.xcom_key for link in APP_LINKS] == ["_link_PlatySparkAppLink", "_link_PlatySparkLogLink"]
