"""YARN's REST as the backend reads it, and what silence or nonsense means."""

import pytest

from platyspark_provider.backends.emr_yarn import EmrYarn
from platyspark_provider.backends.yarn import YarnApplication, YarnRest, death_from_applications
from tests.unit.backends.aws_server import Answer, free_port, serve
from tests.unit.backends.scripted_emr import backend

RAW = {"id": "application_1_0001", "state": "RUNNING", "finalStatus": "UNDEFINED", "applicationTags": "plsp:a:1:1,mine"}


def application(state: str, id_: str = "application_1_0001") -> YarnApplication:
    return YarnApplication(id=id_, state=state, final_status="", tags=frozenset({"t"}))


def test_applications_are_those_that_wear_the_tag_exactly() -> None:
    other = {**RAW, "id": "application_1_0002", "applicationTags": "plsp:a:1:10"}
    bare = {key: value for key, value in RAW.items() if key != "applicationTags"}

    with serve(lambda *_: Answer(200, {"apps": {"app": [RAW, other, bare]}})) as server:
        found = YarnRest(server.url + "/").applications(["plsp:a:1:1"])

    assert found is not None
    assert [(one.id, one.state, sorted(one.tags)) for one in found] == [("application_1_0001", "RUNNING", ["mine", "plsp:a:1:1"])]
    assert server.seen[0][1] == "/ws/v1/cluster/apps?applicationTags=plsp%3Aa%3A1%3A1"


def test_applications_none_known_is_an_answer() -> None:
    with serve(lambda *_: Answer(200, {"apps": None})) as server:
        assert YarnRest(server.url).applications(["t"]) == ()


@pytest.mark.parametrize(
    "answer",
    [Answer(500, {}), Answer(404, {}), Answer(200, b"<html>"), Answer(200, {"apps": {"app": [{"no": "id"}]}}), Answer(200, []), Answer(0)],
    ids=["error", "missing", "page", "stranger", "list", "closed"],
)
def test_applications_anything_but_yarns_answer_is_silence(answer: Answer) -> None:
    with serve(lambda *_: answer) as server:
        assert YarnRest(server.url).applications(["t"]) is None


def test_applications_nobody_listens_is_silence() -> None:
    assert YarnRest(f"http://127.0.0.1:{free_port()}").applications(["t"]) is None


@pytest.mark.parametrize(("status", "is_taken"), [(200, True), (202, True), (401, False), (404, False), (0, False)])
def test_kill_order_is_taken_or_not(status: int, is_taken: bool) -> None:
    with serve(lambda *_: Answer(status, {"state": "KILLED"})) as server:
        assert YarnRest(server.url).kill("application_1_0001") is is_taken
    method, path, body = server.seen[0]
    assert (method, path, body) == ("PUT", "/ws/v1/cluster/apps/application_1_0001/state?user.name=hadoop", {"state": "KILLED"})


def test_death_one_live_application_of_several_is_alive() -> None:
    death = death_from_applications([application("KILLED"), application("ACCEPTED", "application_1_0002")], step_ended=True)

    assert (death.state, death.proof) == ("alive", "YARN: application_1_0002 runs")


@pytest.mark.parametrize("step_ended", [True, False])
def test_death_all_ended_is_dead(step_ended: bool) -> None:
    assert death_from_applications([application("FINISHED")], step_ended=step_ended).state == "dead"


def test_death_none_known_depends_on_the_step() -> None:
    assert death_from_applications([], step_ended=True).state == "dead"
    assert death_from_applications([], step_ended=False).state == "unknown"


@pytest.mark.parametrize(("pause_s", "asked"), [(60.0, 2), (0.0, 3)])
def test_silent_yarn_is_left_alone_for_a_moment_but_for_kills(pause_s: float, asked: int) -> None:
    with backend({}) as (emr, _), serve(lambda *_: Answer(503, {})) as server:
        yarn = EmrYarn(emr._api, server.url, pause_s=pause_s)
        assert [yarn.applications("j-1", ["t"]), yarn.kill("j-1", "t"), yarn.applications("j-1", ["t"])] == [None, None, None]

    assert len(server.seen) == asked
    assert yarn.was_silent("j-1")


def test_silent_yarn_of_one_cluster_does_not_silence_another() -> None:
    def answer(_method: str, path: str, _body: object) -> Answer:
        return Answer(503, {}) if "/j-1/" in path else Answer(200, {"apps": None})

    with backend({}) as (emr, _), serve(answer) as server:
        yarn = EmrYarn(emr._api, f"{server.url}/{{cluster}}")

        assert yarn.applications("j-1", ["t"]) is None
        assert yarn.applications("j-2", ["t"]) == ()


def test_living_are_those_that_have_not_ended_whoever_sent_them() -> None:
    ended = {**RAW, "id": "application_1_0002", "state": "FINISHED"}

    with serve(lambda *_: Answer(200, {"apps": {"app": [RAW, ended]}})) as server:
        found = YarnRest(server.url).living()

    assert found is not None
    assert [one.id for one in found] == ["application_1_0001"]
    assert server.seen[0][1] == "/ws/v1/cluster/apps?states=NEW%2CNEW_SAVING%2CSUBMITTED%2CACCEPTED%2CRUNNING"


def test_living_without_an_answer_is_silence_and_asked_again_only_later() -> None:
    seen = []

    def handle(*_: object) -> Answer:
        seen.append(1)
        return Answer(500, {})

    with serve(handle) as server, backend({}, yarn_url=server.url + "/{cluster}") as (emr, _):
        yarn = EmrYarn(emr._api, server.url + "/{cluster}")
        assert yarn.living("j-1") is None
        assert yarn.living("j-1") is None
    assert len(seen) == 1
