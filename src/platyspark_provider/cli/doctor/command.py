"""The body of `airflow platyspark doctor`: which checks apply, and how their findings are shown."""

import warnings
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from platyspark_provider.cli.doctor.api_checks import api_checks
from platyspark_provider.cli.doctor.aws_checks import aws_checks
from platyspark_provider.cli.doctor.aws_site import sites_of
from platyspark_provider.cli.doctor.checks import CHECK_DEADLINE_S, Finding, Process, Status, run_checks
from platyspark_provider.cli.doctor.database_checks import database_checks
from platyspark_provider.cli.doctor.machine_checks import machine_checks
from platyspark_provider.cli.output import print_rows, print_text
from platyspark_provider.cli.running import FAILED, command, quiet, say
from platyspark_provider.cli.site import PROFILES_LOG
from platyspark_provider.registry.decided_by import profiles_of
from platyspark_provider.settings import load_settings


@command
def doctor(args: Namespace) -> None:
    """Run the checks and print what they found; exit 1 if one failed."""
    process = None if args.process is None else Process(args.process)
    with quiet("botocore", "airflow", "httpx", PROFILES_LOG), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        findings = list(examine(process, deadline_s=args.timeout))
    if args.fix_hints == "only":
        _print_fixes(findings)
    else:
        print_rows([asdict(finding) for finding in findings], args.output, columns=("status", "check", "found", "fix"))
    failed = sum(finding.status is Status.FAIL for finding in findings)
    warned = sum(finding.status is Status.WARN for finding in findings)
    say(f"{len(findings)} findings: {failed} failed, {warned} to look at.")
    if failed:
        raise SystemExit(FAILED)


def examine(process: Process | None, *, deadline_s: float = CHECK_DEADLINE_S) -> Iterator[Finding]:
    """Yield the findings of all checks that apply to a process; None: to any."""
    settings = load_settings()
    profiles = profiles_of(settings)
    sites = [] if profiles.error is not None else list(sites_of(profiles.current()).values())
    checks = [*database_checks(), *machine_checks(settings.profiles_file, profiles, sites), *api_checks()]
    for site in sites:
        checks += aws_checks(site, process)
    yield from run_checks([check for check in checks if process is None or process in check.processes], deadline_s=deadline_s)


def _print_fixes(findings: Sequence[Finding]) -> None:
    for finding in findings:
        if finding.fix:
            print_text(f"{finding.check}: {finding.fix}")
