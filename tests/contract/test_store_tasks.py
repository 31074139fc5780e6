"""One suite for every store: which applications a task instance owns."""

from datetime import datetime

from platyspark_provider.store.base import Known, Store, StoreFactory, Write
from tests.builders import make_app, make_attempt


def add(store: Store, key: str, **values: object) -> int:
    """Submit an application under a key and return its id."""

    def decide(_known: Known | None, now: datetime) -> Write:
        app = make_app(id=0, updated_at=now, **values)
        return Write(app=app, attempt=make_attempt(app_id=0))

    return store.submit_app("task", key, decide).app.id


def test_apps_of_task_are_those_of_its_run_and_index_newest_first(open_store: StoreFactory) -> None:
    with open_store() as store:
        one = add(store, "a")
        add(store, "b", run_id="other")
        add(store, "c", map_index=3)
        add(store, "d", task_id="other")
        add(store, "e", dag_id="other")
        two = add(store, "f")
        assert {app.id for app in store.apps_of_task("dag", "task", "run", -1)} == {one, two}
        assert [app.map_index for app in store.apps_of_task("dag", "task", "run", 3)] == [3]
        assert store.apps_of_task("dag", "task", "run", 7) == ()
        newest = store.apps_of_task("dag", "task", "run", -1)
        assert [app.updated_at for app in newest] == sorted((app.updated_at for app in newest), reverse=True)
        assert newest[0].id == two
