"""The commands as Airflow's parser sees them; what they do runs on a real database in the integration tests."""

import importlib
import inspect
import json
import subprocess
import sys

from platyspark_provider.cli.definition import get_cli_commands

COMMANDS = {
    "apps": ["list", "get", "submit", "cancel", "restart", "logs", "why"],
    "clusters": ["list", "get", "ensure", "drain", "terminate"],
    "profiles": ["list", "show", "check"],
    "tokens": ["create", "list", "revoke"],
    "doctor": [],
}


def test_definition_loads_no_command_body() -> None:
    code = (
        "import json, sys\n"
        "from platyspark_provider.cli.definition import get_cli_commands\n"
        "(group,) = get_cli_commands()\n"
        "names = {sub.name: [c.name for c in getattr(sub, 'subcommands', ())] for sub in group.subcommands}\n"
        "print(json.dumps([group.name, names, [m for m in sys.modules if m.startswith('platyspark_provider.')]]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=110, check=True)
    name, commands, modules = json.loads(done.stdout.splitlines()[-1])
    assert (name, commands) == ("platyspark", COMMANDS)
    light = {"cli", "cli.arguments", "cli.definition", "provider_info"}
    assert set(modules) <= {f"platyspark_provider.{name}" for name in light}


def test_definition_every_body_can_be_loaded() -> None:
    (group,) = get_cli_commands()
    actions = [action for sub in group.subcommands for action in getattr(sub, "subcommands", (sub,))]  # type: ignore[attr-defined]
    for action in actions:
        path, _, name = inspect.getclosurevars(action.func).nonlocals["import_path"].rpartition(".")
        assert callable(getattr(importlib.import_module(path), name)), action.name
