"""Every command line of docs/cli.md is one that Airflow's parser takes, and every command of ours is in it."""

import shlex
from pathlib import Path

import pytest

from platyspark_provider.cli.definition import get_cli_commands

PAGE = (Path(__file__).parents[3] / "docs" / "cli.md").read_text(encoding="utf-8")
LINES = [line for line in PAGE.splitlines() if line.startswith("airflow ")]


@pytest.mark.parametrize("line", LINES)
def test_docs_command_line_is_taken_by_the_parser(line: str) -> None:
    from airflow.cli import cli_parser

    program, *words = shlex.split(line)
    args = cli_parser.get_parser().parse_args(words)
    assert (program, callable(args.func)) == ("airflow", True)


def test_docs_show_every_command() -> None:
    shown = {tuple(line.split()[2:4]) for line in LINES}
    (group,) = get_cli_commands()
    commands = {(sub.name, one.name) for sub in group.subcommands for one in getattr(sub, "subcommands", ())}  # type: ignore[attr-defined]
    assert commands <= shown


def test_docs_table_of_checks_names_every_check() -> None:
    from platyspark_provider.cli.doctor.api_checks import api_checks
    from platyspark_provider.cli.doctor.aws_checks import aws_checks
    from platyspark_provider.cli.doctor.aws_site import sites_of
    from platyspark_provider.cli.doctor.database_checks import database_checks
    from platyspark_provider.cli.doctor.machine_checks import machine_checks
    from platyspark_provider.core.profiles import profiles_from_mapping
    from platyspark_provider.profiles_file import ProfilesFile

    (site,) = sites_of(profiles_from_mapping(None)).values()
    checks = [*database_checks(), *machine_checks("", ProfilesFile(None), [site]), *api_checks(), *aws_checks(site, None)]
    for check in checks:
        name = check.name.replace(" default", " TARGET") if check.name.endswith(" default") else check.name
        row = next((line for line in PAGE.splitlines() if line.startswith("| ") and f"`{name}`" in line), None)
        assert row is not None, name
        said = row.split("|")[2].strip()
        assert {*said.split(", ")} == ({"all"} if len(check.processes) == 3 else {process.value for process in check.processes}), name
