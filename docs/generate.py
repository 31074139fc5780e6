"""Writes docs/configuration.md and docs/openapi.json from the code; `python docs/generate.py`, then commit what changed."""

import json
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent

_HEAD = """# Configuration

<!-- Written by docs/generate.py from src/platyspark_provider/provider_info.py: edit there. -->

All options stand in the section `[platyspark]` of `airflow.cfg`, or in environment variables such as
`AIRFLOW__PLATYSPARK__POLL_INTERVAL`. An option counts in the processes that are named beside it.

| option | type | default | where | effect |
|---|---|---|---|---|
"""

_TAIL = """
## The connection

Tasks and triggers reach the tables through the api-server, with the connection `platyspark_default` of type `platyspark`:

| field | meaning |
|---|---|
| Host | address of the api-server, `http://host:8080`; empty means `[api] base_url` |
| Port, Schema | used when Host is a bare name; Schema is `http` or `https` |
| Password | the token's secret, of `airflow platyspark tokens create` |
| Extra `verify_tls` | `false` accepts any certificate |

Profiles, targets and policies stand in a file of their own: see [profiles](profiles.md).
"""

_SERVER = {
    "profiles_file",
    "artifacts",
    "environment",
    "settle_window",
    "settle_gap",
    "lease",
    "log_deadline",
    "stop_grace",
    "start_deadline",
}
_TRIGGERER = {"poll_interval", "max_blind"}


def configuration_page() -> str:
    """Return the page of all options."""
    from platyspark_provider.provider_info import get_provider_info

    info: Any = get_provider_info()
    options = info["config"]["platyspark"]["options"]
    rows = [_row(name, option) for name, option in options.items()]
    return _HEAD + "\n".join(rows) + "\n" + _TAIL


def _row(name: str, option: dict[str, Any]) -> str:
    default = f"`{option['default']}`" if option["default"] else "empty"
    example = f" Example: `{option['example']}`." if option["example"] else ""
    return f"| `{name}` | {option['type']} | {default} | {_where(name)} | {option['description']}{example} |"


def _where(name: str) -> str:
    if name in _SERVER:
        return "api-server"
    return "workers, triggerers" if name in _TRIGGERER else "workers"


def openapi_text() -> str:
    """Return the API's description."""
    from platyspark_provider.plugin.api.app import create_app
    from platyspark_provider.plugin.api.services import Services
    from platyspark_provider.profiles_file import ProfilesFile
    from platyspark_provider.registry.identity import ScriptedTasks
    from platyspark_provider.registry.schema_gate import SchemaGate
    from platyspark_provider.settings import Settings
    from platyspark_provider.store.memory import InMemoryStore

    services = Services(
        open_store=InMemoryStore().open,
        tasks=ScriptedTasks(),
        profiles=ProfilesFile(None),
        settings=Settings(),
        schema=SchemaGate(lambda: "current"),
    )
    return json.dumps(create_app(services).openapi(), indent=1, sort_keys=True) + "\n"


def pages() -> dict[str, str]:
    """Return the generated files by name."""
    return {"configuration.md": configuration_page(), "openapi.json": openapi_text()}


if __name__ == "__main__":
    for name, text in pages().items():
        (HERE / name).write_text(text, encoding="utf-8")
