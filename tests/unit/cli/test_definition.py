"""The commands as Airflow's parser sees them; what they do runs on a real database in the integration tests."""

import json
import subprocess
import sys


def test_definition_loads_no_command_body() -> None:
    code = (
        "import json, sys\n"
        "from platyspark_provider.cli.definition import get_cli_commands\n"
        "(group,) = get_cli_commands()\n"
        "names = {sub.name: [c.name for c in sub.subcommands] for sub in group.subcommands}\n"
        "print(json.dumps([group.name, names, [m for m in sys.modules if m.startswith('platyspark_provider.')]]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=110, check=True)
    name, commands, modules = json.loads(done.stdout.splitlines()[-1])
    assert (name, commands) == ("platyspark", {"tokens": ["create", "list", "revoke"]})
    assert set(modules) <= {"platyspark_provider.cli", "platyspark_provider.cli.definition", "platyspark_provider.provider_info"}
