"""`airflow platyspark apps submit`: from arguments to a request, its local files, and the submit itself."""

from argparse import Namespace
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

from platyspark_provider.cli.apps import print_app
from platyspark_provider.cli.clusters import cluster_of
from platyspark_provider.cli.files import LocalFiles, bring
from platyspark_provider.cli.following import follow, require_success
from platyspark_provider.cli.output import print_object, print_rows
from platyspark_provider.cli.running import command, say
from platyspark_provider.cli.site import Site, content_of, open_site
from platyspark_provider.core.governance import Resolution, resolve
from platyspark_provider.core.records import AppDetail
from platyspark_provider.core.spec import AppRequest
from platyspark_provider.errors import ArtifactMissing, InvalidRequest
from platyspark_provider.hooks.clock import SystemClock
from platyspark_provider.operators.request import Arguments, request_from_arguments
from platyspark_provider.registry.decided_by import profiles_of
from platyspark_provider.registry.views import spec_view
from platyspark_provider.settings import load_settings

_SQL_NAME = "sql"


@command
def submit(args: Namespace) -> None:
    """Submit and print the application; with --wait its end, which exits 1 if that was no success."""
    files = LocalFiles(Path.cwd())
    request = request_of(args, files)
    if args.dry_run:
        _print_resolution(_resolved(request), args.output)
        return
    if files.paths:
        request = bring(request, files, _resolved(request))
    with open_site() as site:
        submitted = site.public.submit(request, key=args.key)
        detail, app_id = submitted.detail, submitted.detail.app.id
        for warning in submitted.warnings:
            say(f"Warning: {warning}")
        said = "was submitted" if submitted.is_new else "was submitted under this key before; it is as it was"
        say(f"Application {app_id} {said}. Follow it: airflow platyspark apps logs {app_id} -f")
        if args.wait:
            detail = _wait(site, detail)
    print_app(detail, args.output)
    if args.wait:
        require_success(detail)


def request_of(args: Namespace, files: LocalFiles) -> AppRequest:
    """Return the request that the arguments describe; refuses what an operator would refuse, in the same words."""
    arguments = Arguments(
        application=args.application,
        sql=None if args.sql is None else _sql(args.sql),
        main_class=args.main_class,
        args=args.args,
        conf=_pairs("--conf", args.conf),
        env_vars=_pairs("--env", args.env),
        py_files=args.py_files,
        files=args.files,
        jars=args.jars,
        archives=args.archives,
        packages=args.packages,
        name=args.name,
        cluster=cluster_of(args, args.cluster) if _is_named(args) else args.cluster,
        max_runtime=args.max_runtime,
        on_limit=None,
        team=args.team,
        tags=_pairs("--tag", args.tag),
    )
    request = request_from_arguments(arguments, files)
    if request.name is not None:
        return request
    return replace(request, name=_SQL_NAME if request.application is None else PurePath(request.application.name).stem)


def _is_named(args: Namespace) -> bool:
    """Tell whether `--cluster` names a cluster with values of its own, and no profile."""
    return args.dedicated or any(getattr(args, name) is not None for name in ("profile", "size", "workers", "spot", "idle_timeout"))


def _sql(text: str) -> str:
    """Return the statements: the text itself, or what a `.sql` file of this machine holds."""
    if not text.endswith(".sql") or any(sign.isspace() for sign in text):
        return text
    try:
        return Path(text).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ArtifactMissing(
            f"--sql is {text!r}: it can't be read ({error}).", hint="Name a file of this machine, or write SQL."
        ) from error


def _pairs(flag: str, given: Iterable[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in given:
        key, mark, value = text.partition("=")
        if not mark or not key:
            raise InvalidRequest(f"{flag} is {text!r}: no KEY=VALUE.", hint=f"Write {flag} key=value.")
        if key in found:
            raise InvalidRequest(f"{flag} gives {key!r} twice.", hint="Leave one of them out.")
        found[key] = value
    return found


def _resolved(request: AppRequest) -> Resolution:
    profiles = content_of(profiles_of(load_settings()))
    return resolve(request, profiles, default_name=request.name or _SQL_NAME)


def _print_resolution(resolution: Resolution, output: str) -> None:
    """Print what profile and policies make of a request, with the source of each value."""
    spec = spec_view(resolution.spec)
    for warning in resolution.warnings:
        say(f"Warning: {warning}")
    if output in {"json", "yaml"}:
        print_object({"spec": spec, "sources": dict(resolution.provenance), "uploads": list(resolution.spec.uploads.values())}, output)
        return
    rows = [
        {"key": key, "value": value, "source": _source(key, resolution)}
        for key, value in _flat("", spec)
        if value not in (None, "", [], {})
    ]
    print_rows(rows, output)


def _flat(path: str, value: Any) -> Iterable[tuple[str, Any]]:
    if not isinstance(value, dict):
        yield path, value
        return
    for key, item in value.items():
        yield from _flat(f"{path}.{key}" if path else key, item)


def _source(key: str, resolution: Resolution) -> str:
    """Return where a value came from; what governance did not touch is as it was asked for."""
    return resolution.provenance.get(key, "request")


def _wait(site: Site, detail: AppDetail) -> AppDetail:
    app_id, generation = detail.app.id, detail.attempt.generation

    def look() -> AppDetail:
        return site.public.app(app_id, generation)

    return follow(look, say, clock=SystemClock(), log_wait_s=site.settings.log_wait)
