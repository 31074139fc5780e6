"""Events of clusters and steps: EventBridge's envelope, the Guide's words, and a delivery that loses, doubles, delays and reorders."""

import json
import threading
import time

import boto3
import pytest
from botocore.config import Config

from platyspark_provider.emrsim.config import ConfigError, SimConfig
from platyspark_provider.emrsim.event_sender import HELD_BACK_S, EventSender
from platyspark_provider.emrsim.events import event_from_change
from platyspark_provider.emrsim.records import StateChange

QUEUE = "http://127.0.0.1:1/123456789012/events"
STEP = {"Name": "one", "ActionOnFailure": "CONTINUE", "HadoopJarStep": {"Jar": "command-runner.jar"}}


@pytest.fixture
def told(emr):
    """Collect the events of every change."""
    events = []

    def note(changes):
        events.extend(event for event in map(event_from_change, changes) if event is not None)

    emr.engine.on_changes = note
    return events


def _short(event):
    detail = event["detail"]
    return (detail["state"], detail["severity"], detail.get("stepId"))


def test_event_of_a_cluster_has_eventbridges_envelope(emr, told):
    cluster_id = emr.create(Name="Development Cluster")
    emr.call("TerminateJobFlows", JobFlowIds=[cluster_id])
    emr.after(5)
    event = told[-1]
    assert event | {"id": "x", "time": "x"} == {
        "version": "0",
        "id": "x",
        "detail-type": "EMR Cluster State Change",
        "source": "aws.emr",
        "account": "123456789012",
        "time": "x",
        "region": "eu-central-1",
        "resources": [],
        "detail": {
            "severity": "INFO",
            "stateChangeReason": '{"code":"USER_REQUEST","message":"Terminated by user request"}',
            "name": "Development Cluster",
            "clusterId": cluster_id,
            "state": "TERMINATED",
            "message": f"Amazon EMR Cluster {cluster_id} (Development Cluster) has terminated at 2023-11-14 22:13 UTC "
            "with a reason of USER_REQUEST.",
        },
    }
    assert event["time"] == "2023-11-14T22:13:56Z"
    assert len({one["id"] for one in told}) == len(told)


def test_events_of_a_clusters_life_come_in_order(emr, told):
    cluster_id = emr.create()
    (step_id,) = emr.add(cluster_id, "a")
    emr.after(1)
    emr.runner.finish(step_id)
    emr.after(1)
    emr.call("TerminateJobFlows", JobFlowIds=[cluster_id])
    emr.after(5)
    assert [_short(event) for event in told] == [
        ("STARTING", "INFO", None),
        ("RUNNING", "INFO", None),
        ("WAITING", "INFO", None),
        ("PENDING", "INFO", step_id),
        ("RUNNING", "INFO", None),
        ("RUNNING", "INFO", step_id),
        ("COMPLETED", "INFO", step_id),
        ("WAITING", "INFO", None),
        ("TERMINATED", "INFO", None),
    ]
    assert "is ready for use" in told[2]["detail"]["message"]
    assert "finished running all pending steps" in told[-2]["detail"]["message"]
    assert told[0]["detail"]["stateChangeReason"] == '{"code":""}'


def test_event_of_a_step_has_its_members(emr, told):
    cluster_id = emr.create(Name="Development Cluster")
    (step_id,) = emr.add(cluster_id, "CustomJAR")
    emr.after(1)
    emr.runner.finish(step_id, 1)
    emr.after(1)
    (failed,) = [event for event in told if event["detail"]["state"] == "FAILED"]
    assert failed["detail-type"] == "EMR Step Status Change"
    assert failed["detail"] == {
        "severity": "ERROR",
        "actionOnFailure": "CONTINUE",
        "stepId": step_id,
        "name": "CustomJAR",
        "clusterId": cluster_id,
        "state": "FAILED",
        "message": f"Step {step_id} (CustomJAR) in Amazon EMR cluster {cluster_id} (Development Cluster) failed at 2023-11-14 22:13 UTC.",
    }


def test_events_of_cancelled_steps_are_warnings(emr, told):
    cluster_id = emr.create()
    (step_id,) = emr.add(cluster_id, "a")
    emr.call("CancelSteps", ClusterId=cluster_id, StepIds=[step_id])
    emr.call("CancelSteps", ClusterId=cluster_id, StepIds=[step_id])
    emr.after(2)
    steps = [_short(event) for event in told if "stepId" in event["detail"]]
    assert steps == [("PENDING", "INFO", step_id), ("CANCEL_PENDING", "WARN", step_id), ("CANCELLED", "WARN", step_id)]


def test_event_of_a_cluster_that_died_is_critical(emr, told):
    cluster_id = emr.create(Steps=[STEP])
    emr.after(1)
    emr.engine.fail_cluster(cluster_id, code="INSTANCE_FAILURE", message="gone", error_details=[])
    last = told[-1]["detail"]
    assert (last["state"], last["severity"], json.loads(last["stateChangeReason"])) == (
        "TERMINATED_WITH_ERRORS",
        "CRITICAL",
        {"code": "INSTANCE_FAILURE", "message": "gone"},
    )


@pytest.mark.parametrize(("exit_code", "severity"), [(0, "INFO"), (1, "CRITICAL")])
def test_event_of_a_transient_clusters_end_depends_on_its_steps(emr, told, exit_code, severity):
    emr.create(keep_alive=False, Steps=[STEP])
    emr.after(1)
    emr.runner.finish(emr.runner.started_ids[0], exit_code)
    emr.after(6)
    assert (told[-1]["detail"]["state"], told[-1]["detail"]["severity"]) == ("TERMINATED", severity)


def test_event_of_a_completed_step_tells_how_long_it_took():
    change = _change(0, state="COMPLETED", started=1_700_000_000.0, at=1_700_000_000.0 + 200)
    assert event_from_change(change)["detail"]["message"].endswith("at 2023-11-14 22:13 UTC and took 3 minutes to complete.")


def test_no_event_for_a_state_that_emr_tells_nobody():
    assert event_from_change(StateChange(at=0, region="r", cluster_id="j-1", cluster_name="c", state="BOOTSTRAPPING")) is None


def _change(number, *, state="RUNNING", at=0.0, started=None):
    return StateChange(
        at=at,
        region="us-east-1",
        cluster_id="j-1",
        cluster_name="c",
        state=state,
        step_id=f"s-{number}",
        step_name=str(number),
        action_on_failure="CONTINUE",
        started=started,
    )


class Delivery:
    """A sender with a queue in memory and time set by hand."""

    def __init__(self, clock, **knobs):
        self.config = SimConfig(events_queue_url=QUEUE)
        self.config.update(knobs)
        self.clock = clock
        self.got = []
        self.real_now = 0.0
        self.sender = EventSender(self.config, clock, self.send, lambda: self.real_now)

    def send(self, queue_url, region, bodies):
        assert (queue_url, region, len(bodies) <= 10) == (QUEUE, "us-east-1", True)
        self.got += [int(json.loads(body)["detail"]["name"]) for body in bodies]

    def take(self, count, first=0):
        self.sender.take([_change(number) for number in range(first, first + count)])
        self.sender.deliver()


def test_delivery_without_faults_is_complete_and_in_order(emr):
    delivery = Delivery(emr.clock)
    delivery.take(25)
    assert delivery.got == list(range(25))
    assert delivery.sender.counters() == {
        "made": 25,
        "sent": 25,
        "lost": 0,
        "doubled": 0,
        "delayed": 0,
        "reordered": 0,
        "failed": 0,
        "waiting": 0,
    }


def test_delivery_without_a_queue_sends_nothing(emr):
    delivery = Delivery(emr.clock, events_queue_url="")
    delivery.take(5)
    assert (delivery.got, delivery.sender.counters()["made"]) == ([], 0)


def test_delivery_loses_a_share(emr):
    delivery = Delivery(emr.clock, event_loss=0.3, event_seed=1)
    delivery.take(1000)
    lost = delivery.sender.counters()["lost"]
    assert len(delivery.got) == 1000 - lost
    assert 200 < lost < 400


def test_delivery_doubles_with_the_same_id(emr):
    delivery = Delivery(emr.clock, event_double=1)
    delivery.take(3)
    assert delivery.got == [0, 0, 1, 1, 2, 2]


def test_delivery_swaps_with_the_next(emr):
    delivery = Delivery(emr.clock, event_reorder=0.3, event_seed=3)
    delivery.take(200)
    delivery.take(1, first=200)
    assert delivery.got != sorted(delivery.got)
    assert set(range(200)) <= set(delivery.got)
    assert max(abs(place - number) for place, number in enumerate(delivery.got)) <= 2


def test_delivery_of_a_last_swapped_event_waits_for_a_second_only(emr):
    delivery = Delivery(emr.clock, event_reorder=1)
    delivery.take(1)
    assert delivery.got == []
    delivery.real_now += HELD_BACK_S
    delivery.sender.deliver()
    assert delivery.got == [0]


def test_delivery_delays_in_simulated_time(emr):
    delivery = Delivery(emr.clock, event_delay=1, event_delay_s=60)
    delivery.take(50)
    assert (delivery.got, delivery.sender.counters()["waiting"]) == ([], 50)
    emr.clock.advance(60)
    delivery.sender.deliver()
    assert sorted(delivery.got) == list(range(50))


def test_delivery_is_repeatable_by_its_seed(emr):
    def outcome(seed):
        delivery = Delivery(emr.clock, event_loss=0.2, event_double=0.2, event_reorder=0.2, event_seed=seed)
        delivery.take(100)
        delivery.take(2, first=100)
        return delivery.got

    assert outcome(5) == outcome(5) != outcome(6)


def test_delivery_to_a_failing_queue_counts_and_goes_on(emr, caplog):
    delivery = Delivery(emr.clock)
    good = delivery.send

    def broken(*_):
        raise OSError("no such queue")

    delivery.sender._send = broken
    delivery.take(12)
    delivery.sender._send = good
    delivery.take(1, first=12)
    assert (delivery.sender.counters()["failed"], delivery.got) == (12, [12])
    assert "did not reach" in caplog.text


@pytest.mark.parametrize("knob", [{"event_loss": 1.1}, {"event_double": -0.1}, {"events_queue_url": 3}])
def test_delivery_knob_that_makes_no_sense_is_refused(knob):
    with pytest.raises(ConfigError):
        SimConfig().update(knob)


def _client(server, service):
    config = Config(retries={"total_max_attempts": 1})
    keys = {"aws_access_key_id": "k", "aws_secret_access_key": "s"}
    return boto3.client(service, region_name="us-east-1", endpoint_url=server.url, config=config, **keys)


def _received(sqs, queue_url, count):
    found = []
    end = time.monotonic() + 30
    while len(found) < count:
        assert time.monotonic() < end, f"only {len(found)} events came"
        for message in sqs.receive_message(QueueUrl=queue_url, MaxNumberOfMessages=10).get("Messages", []):
            found.append(json.loads(message["Body"]))
            sqs.delete_message(QueueUrl=queue_url, ReceiptHandle=message["ReceiptHandle"])
    return found


def test_server_sends_events_to_a_queue_of_its_own_sqs(serve, read_json):
    with serve(clock_speed=0) as server:
        sqs, emr = _client(server, "sqs"), _client(server, "emr")
        queue_url = sqs.create_queue(QueueName="emr-events")["QueueUrl"]
        server.engine.configure({"events_queue_url": queue_url})
        server.engine.scripts.add({"duration_s": 60})
        cluster_id = emr.run_job_flow(Name="x", Instances={"InstanceCount": 1, "KeepJobFlowAliveWhenNoSteps": True}, Steps=[STEP])
        server.engine.advance_clock(600)
        found = _received(sqs, queue_url, 6)
        counters = read_json(server, "events")
        callers = read_json(server, "callers")
    assert {event["detail"]["clusterId"] for event in found} == {cluster_id["JobFlowId"]}
    states = [event["detail"]["state"] for event in found]
    assert states == ["STARTING", "PENDING", "RUNNING", "RUNNING", "COMPLETED", "WAITING"]
    assert counters["failed"] == 0
    assert callers["emrsim-events"].keys() == {"sqs:SendMessageBatch"}


def test_server_with_a_missing_queue_serves_on(serve, read_json):
    with serve() as server:
        emr = _client(server, "emr")
        server.engine.configure({"events_queue_url": f"{server.url}/123456789012/nowhere"})
        for _ in range(3):
            emr.run_job_flow(Name="x", Instances={"InstanceCount": 1})
        end = time.monotonic() + 30
        while read_json(server, "events")["failed"] < 3:
            assert time.monotonic() < end
            threading.Event().wait(0.05)
        assert len(emr.list_clusters()["Clusters"]) == 3
