"""Generated pages are those of the code as it is."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from platyspark_provider.profiles_file import profiles_from_text

DOCS = Path(__file__).parents[3] / "docs"


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["configuration.md", "openapi.json"])
def test_generated_page_is_current(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == generator().pages()[name], "run: python docs/generate.py"


def test_profiles_page_shows_yaml_that_is_accepted() -> None:
    blocks = (DOCS / "profiles.md").read_text(encoding="utf-8").split("```yaml\n")[1:]
    assert blocks
    for block in blocks:
        profiles_from_text(block.split("```")[0])


def test_dags_page_shows_dags_that_airflow_takes() -> None:
    from airflow.serialization.serialized_objects import DagSerialization

    blocks = [block.split("```")[0] for block in (DOCS / "dags.md").read_text(encoding="utf-8").split("```python\n")[1:]]
    dags = [block for block in blocks if "with DAG(" in block]
    assert dags
    for block in dags:
        names: dict[str, Any] = {}
        exec(re.sub(r"^(with DAG\(.*\)):$", r"\1 as written:", block, flags=re.MULTILINE), names)
        assert DagSerialization.to_dict(names["written"])["dag"]["tasks"]
