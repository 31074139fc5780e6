"""The Airflow plugin. Every process imports this module: light, lazy, no database; the app is made when the api-server asks for it."""

from collections.abc import Callable
from typing import Any

from airflow.sdk.plugins_manager import AirflowPlugin


class _Lazy:
    """A list that is made when it is first read; only the api-server (and `airflow plugins`) reads it."""

    def __init__(self, make: Callable[[], list[Any]]) -> None:
        self._make = make
        self._made: list[Any] | None = None

    def __get__(self, instance: object, owner: type | None = None) -> list[Any]:
        if self._made is None:
            self._made = self._make()
        return self._made


def _fastapi_apps() -> list[Any]:
    from platyspark_provider.client.wire import MOUNT
    from platyspark_provider.plugin.api.app import create_app

    return [{"app": create_app(), "url_prefix": MOUNT, "name": "PlatySpark"}]


class PlatySparkPlugin(AirflowPlugin):
    """Registered by the entry point `airflow.plugins`; provider info alone would load nothing by default."""

    name = "platyspark"
    fastapi_apps = _Lazy(_fastapi_apps)
