"""What Airflow is told: valid, importable, and free of imports of its own."""

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import airflow
import jsonschema  # type: ignore[import-untyped]
import pytest

from platyspark_provider.provider_info import get_provider_info


def info() -> dict[str, Any]:
    found: Any = get_provider_info()
    return dict(found)


def class_paths() -> Iterator[str]:
    told = info()
    yield from told["db-managers"]
    yield from told["cli"]
    yield from told["extra-links"]
    yield from (plugin["plugin-class"] for plugin in told["plugins"])
    yield from (connection["hook-class-name"] for connection in told["connection-types"])


def test_provider_info_fits_airflows_schema() -> None:
    schema = json.loads((Path(airflow.__file__).parent / "provider_info.schema.json").read_text())
    jsonschema.validate(info(), schema)


def test_provider_info_imports_nothing() -> None:
    code = (
        "import json, sys, typing\n"
        "before = set(sys.modules)\n"
        "from platyspark_provider.provider_info import get_provider_info\n"
        "get_provider_info()\n"
        "print(json.dumps(sorted(set(sys.modules) - before)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert set(json.loads(done.stdout)) <= {"platyspark_provider", "platyspark_provider.provider_info"}


@pytest.mark.parametrize("path", sorted(class_paths()))
def test_provider_info_names_classes_that_exist(path: str) -> None:
    module, _, name = path.rpartition(".")
    assert callable(getattr(import_module(module), name))


@pytest.mark.parametrize("kind", ["operators", "triggers", "hooks"])
def test_provider_info_names_modules_that_exist(kind: str) -> None:
    for group in info()[kind]:
        for module in group["python-modules"]:
            import_module(module)


def test_provider_info_name_is_the_distributions() -> None:
    from importlib.metadata import distribution

    assert info()["package-name"] == distribution("platyspark-provider").metadata["Name"]
