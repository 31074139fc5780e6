"""API limits, planted faults, knobs and the journal."""

import threading
import time

import pytest

from platyspark_provider.emrsim.config import ConfigError, SimConfig
from platyspark_provider.emrsim.faults import ConnectionDropped, FaultSpecError
from platyspark_provider.emrsim.journal import KEPT_IN_MEMORY, Journal
from platyspark_provider.emrsim.throttle import LIMITS


def _allowed(emr, operation, region="us-east-1"):
    count = 0
    while emr.throttle.take(region, operation):
        count += 1
    return count


def _until(condition, deadline_s=10.0):
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, "condition did not come true"
        threading.Event().wait(0.01)


@pytest.mark.parametrize("operation", sorted(LIMITS))
def test_throttle_allows_the_burst_then_the_refill(emr, operation):
    burst, refill = LIMITS[operation]
    assert _allowed(emr, operation) == burst
    emr.clock.advance(1 / refill)
    assert _allowed(emr, operation) == 1


def test_throttle_all_operations_together_are_limited(emr):
    for operation in ("RunJobFlow", "AddJobFlowSteps"):
        assert _allowed(emr, operation) == 10
    assert _allowed(emr, "ListClusters") == 5
    assert _allowed(emr, "GetAutoTerminationPolicy") == 0
    emr.clock.advance(1)
    assert _allowed(emr, "GetAutoTerminationPolicy") == 5


def test_throttle_regions_have_their_own_buckets(emr):
    assert _allowed(emr, "RunJobFlow", "us-east-1") == _allowed(emr, "RunJobFlow", "us-west-2") == 10


def test_throttled_call_is_refused_without_effect(emr):
    emr.config.throttle = "aws"
    for _ in range(10):
        emr.create(ready=False)
    with pytest.raises(Exception, match="Rate exceeded") as refused:
        emr.create(ready=False)
    assert (refused.value.status, refused.value.code) == (400, "ThrottlingException")
    assert emr.journal.since(0)[-1]["effect"] is False
    assert len(emr.engine.clusters("eu-central-1")) == 10


def test_fault_drop_before_has_no_effect(emr):
    emr.faults.add({"operation": "RunJobFlow", "action": "drop"})
    with pytest.raises(ConnectionDropped):
        emr.create(ready=False)
    assert emr.call("ListClusters")["Clusters"] == []
    entry = emr.journal.since(0)[0]
    assert (entry["operation"], entry["status"], entry["effect"]) == ("RunJobFlow", None, False)
    emr.create(ready=False)


def test_fault_drop_after_has_its_effect(emr):
    emr.faults.add({"operation": "RunJobFlow", "when": "after", "action": "drop"})
    with pytest.raises(ConnectionDropped):
        emr.create(ready=False)
    (cluster,) = emr.call("ListClusters")["Clusters"]
    assert emr.journal.since(0)[0]["result_ids"] == [cluster["Id"]]


@pytest.mark.parametrize(("when", "clusters"), [("before", 0), ("after", 1)])
def test_fault_error_answers_with_status_and_code(emr, when, clusters):
    emr.faults.add({"operation": "RunJobFlow", "when": when, "action": "error", "http_status": 503, "code": "ServiceUnavailable"})
    with pytest.raises(Exception, match="Planted") as refused:
        emr.create(ready=False)
    assert (refused.value.status, refused.value.code) == (503, "ServiceUnavailable")
    assert len(emr.call("ListClusters")["Clusters"]) == clusters


def test_fault_matches_only_equal_requests_and_counts(emr):
    fault = emr.faults.add({"operation": "RunJobFlow", "action": "error", "count": 2, "match": {"Name": "bad"}})
    emr.create(ready=False, Name="good")
    for _ in range(2):
        with pytest.raises(Exception, match="Planted"):
            emr.create(ready=False, Name="bad")
    emr.create(ready=False, Name="bad")
    assert fault.hits == 2


def test_fault_without_count_stays_until_removed(emr):
    fault = emr.faults.add({"operation": "ListClusters", "action": "error", "count": None})
    for _ in range(5):
        with pytest.raises(Exception, match="Planted"):
            emr.call("ListClusters")
    assert emr.faults.remove(fault.id) == 1
    emr.call("ListClusters")


@pytest.mark.parametrize(("when", "clusters_while_held"), [("before", 0), ("after", 1)])
def test_fault_hold_releases_with_a_normal_answer(emr, when, clusters_while_held):
    emr.faults.add({"operation": "RunJobFlow", "when": when, "action": "hold"})
    answers = []
    caller = threading.Thread(target=lambda: answers.append(emr.create(ready=False)))
    caller.start()
    _until(lambda: emr.faults.describe()[0]["held"] == 1)
    assert len(emr.call("ListClusters")["Clusters"]) == clusters_while_held
    assert answers == []
    assert emr.faults.remove() == 1
    caller.join(10)
    assert [cluster["Id"] for cluster in emr.call("ListClusters")["Clusters"]] == answers


def test_fault_delay_is_cut_short_by_its_removal(emr):
    fault = emr.faults.add({"operation": "ListClusters", "action": "delay", "delay_s": 3600})
    answers = []
    caller = threading.Thread(target=lambda: answers.append(emr.call("ListClusters")))
    caller.start()
    _until(lambda: fault.hits == 1)
    emr.faults.remove(fault.id)
    caller.join(10)
    assert answers == [{"Clusters": []}]


@pytest.mark.parametrize(
    "spec",
    [
        {"operation": "Nope", "action": "drop"},
        {"operation": "RunJobFlow", "action": "explode"},
        {"operation": "RunJobFlow", "action": "drop", "when": "during"},
        {"operation": "RunJobFlow", "action": "drop", "color": "red"},
    ],
)
def test_fault_that_makes_no_sense_is_refused(emr, spec):
    with pytest.raises(FaultSpecError):
        emr.faults.add(spec)


@pytest.mark.parametrize(
    "changes", [{"nope": 1}, {"throttle": "some"}, {"starting_s": -1}, {"starting_s": "1"}, {"yarn_reachable": 1}, {"terminating_s": True}]
)
def test_config_wrong_change_is_refused_and_changes_nothing(changes):
    config = SimConfig()
    before = config.as_dict()
    with pytest.raises(ConfigError):
        config.update({"bootstrapping_s": 9, **changes})
    assert config.as_dict() == before


def test_journal_numbers_and_survives_a_cut_off_line(tmp_path):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    for number in range(3):
        journal.append({"service": "emr", "operation": "RunJobFlow", "n": number})
    journal.close()
    with path.open("a") as file:
        file.write('{"seq": 4, "serv')
    again = Journal(path)
    assert again.append({"service": "s3", "operation": "PUT"}) == 4
    assert [entry["seq"] for entry in again.since(1)] == [2, 3, 4]
    assert again.counters() == {"RunJobFlow": 3, "s3:PUT": 1}
    again.close()
    third = Journal(path)
    assert third.counters() == {"RunJobFlow": 3, "s3:PUT": 1}
    third.close()


def test_journal_cleared_goes_on_numbering(tmp_path):
    path = tmp_path / "journal.jsonl"
    journal = Journal(path)
    journal.append({"service": "emr", "operation": "RunJobFlow"})
    journal.clear()
    assert (journal.since(0), journal.counters()) == ([], {})
    journal.close()
    again = Journal(path)
    assert again.append({"service": "emr", "operation": "ListSteps"}) == 2
    again.close()


def test_journal_memory_is_bounded_and_counters_are_not(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    for _ in range(KEPT_IN_MEMORY + 5):
        journal.append({"service": "s3", "operation": "GET"})
    assert (len(journal.since(0)), journal.counters()) == (KEPT_IN_MEMORY, {"s3:GET": KEPT_IN_MEMORY + 5})
    journal.close()


def test_journal_tells_request_region_and_effect(emr):
    cluster_id = emr.create()
    emr.call("ListSteps", ClusterId=cluster_id)
    with pytest.raises(Exception, match="is not valid"):
        emr.cluster("j-NOPE")
    created, listed, refused = emr.journal.since(0)
    assert (created["operation"], created["effect"], created["result_ids"]) == ("RunJobFlow", True, [cluster_id])
    assert created["request"]["Name"] == "etl"
    assert (listed["region"], listed["effect"], listed["status"], listed["error"]) == ("eu-central-1", False, 200, None)
    assert (refused["status"], refused["error"]) == (400, "InvalidRequestException")
    assert emr.journal.counters() == {"RunJobFlow": 1, "ListSteps": 1, "DescribeCluster": 1}
