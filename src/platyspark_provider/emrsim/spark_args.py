"""Read a spark-submit command line and a properties file as Spark does. Pure: no files, no processes.

Sources: `org.apache.spark.launcher.SparkSubmitOptionParser`, `SparkSubmitArguments` and `java.util.Properties` of Spark 4.1.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

_OPTION_WITH_EQUALS = re.compile(r"(--[^=]+)=(.+)", re.DOTALL)

# option -> conf key that says the same; options without a key are kept apart
_CONF_OF_OPTION = {
    "--archives": "spark.archives",
    "--deploy-mode": "spark.submit.deployMode",
    "--driver-class-path": "spark.driver.extraClassPath",
    "--driver-cores": "spark.driver.cores",
    "--driver-java-options": "spark.driver.extraJavaOptions",
    "--driver-library-path": "spark.driver.extraLibraryPath",
    "--driver-memory": "spark.driver.memory",
    "--exclude-packages": "spark.jars.excludes",
    "--executor-cores": "spark.executor.cores",
    "--executor-memory": "spark.executor.memory",
    "--files": "spark.files",
    "--jars": "spark.jars",
    "--keytab": "spark.kerberos.keytab",
    "--master": "spark.master",
    "--name": "spark.app.name",
    "--num-executors": "spark.executor.instances",
    "--packages": "spark.jars.packages",
    "--principal": "spark.kerberos.principal",
    "--py-files": "spark.submit.pyFiles",
    "--queue": "spark.yarn.queue",
    "--remote": "spark.remote",
    "--repositories": "spark.jars.repositories",
    "--total-executor-cores": "spark.cores.max",
}
_OTHER_OPTIONS = frozenset({"--class", "--conf", "-c", "--kill", "--properties-file", "--proxy-user", "--status"})
_SWITCHES = frozenset({"--help", "-h", "--load-spark-defaults", "--supervise", "--usage-error", "--verbose", "-v", "--version"})
_YARN_LISTS = {"spark.files": "spark.yarn.dist.files", "spark.jars": "spark.yarn.dist.jars", "spark.archives": "spark.yarn.dist.archives"}
MAX_TAGS, MAX_TAG_LENGTH = 10, 100


class SubmitError(ValueError):
    """The command line or conf can't be submitted; the message is what spark-submit prints."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitCommand:
    """A spark-submit command line, taken apart; `conf` holds what options and --conf said (options win)."""

    primary: str | None
    app_args: tuple[str, ...]
    conf: Mapping[str, str]
    main_class: str | None = None
    properties_file: str | None = None
    switches: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What is to run: the command line with the properties file under it."""

    primary: str
    app_args: tuple[str, ...]
    main_class: str | None
    name: str
    deploy_mode: str
    queue: str
    tags: tuple[str, ...]
    max_attempts: int
    waits: bool
    files: tuple[str, ...]
    archives: tuple[str, ...]
    py_files: tuple[str, ...]
    jars: tuple[str, ...]
    conf: Mapping[str, str] = field(repr=False)

    @property
    def is_python(self) -> bool:
        """Tell whether Spark runs the primary resource with Python."""
        return self.primary.endswith(".py")

    def env_of(self, prefix: str) -> dict[str, str]:
        """Return the environment that conf keys such as `spark.yarn.appMasterEnv.X` ask for."""
        return {key.removeprefix(prefix): value for key, value in self.conf.items() if key.startswith(prefix)}


def parse_command(args: Sequence[str]) -> SubmitCommand:
    """Take apart the arguments after `spark-submit`.

    :raises SubmitError: an unknown option, or one without its value
    """
    options: dict[str, str] = {}
    conf: dict[str, str] = {}
    switches: set[str] = set()
    rest = list(args)
    while rest and rest[0].startswith("-"):
        name, value = _split_option(rest.pop(0))
        if name in _SWITCHES:
            switches.add(name)
            continue
        if name not in _CONF_OF_OPTION and name not in _OTHER_OPTIONS:
            raise SubmitError(f"Unrecognized option '{name}'.")
        if value is None:
            if not rest:
                raise SubmitError(f"Missing argument for option '{name}'.")
            value = rest.pop(0)
        if name in {"--conf", "-c"}:
            key, setting = _split_conf(value)
            conf[key] = setting
        else:
            options[name] = value
    conf.update({_CONF_OF_OPTION[name]: value for name, value in options.items() if name in _CONF_OF_OPTION})
    return SubmitCommand(
        primary=rest[0] if rest else None,
        app_args=tuple(rest[1:]),
        conf=conf,
        main_class=options.get("--class"),
        properties_file=options.get("--properties-file"),
        switches=frozenset(switches),
    )


def _split_option(arg: str) -> tuple[str, str | None]:
    match = _OPTION_WITH_EQUALS.fullmatch(arg)
    return (match[1], match[2]) if match else (arg, None)


def _split_conf(setting: str) -> tuple[str, str]:
    key, equals, value = setting.partition("=")
    if not equals:
        raise SubmitError(f"Spark config without '=': {setting}")
    return key.strip(), value


def resolve_submission(command: SubmitCommand, properties: Mapping[str, str]) -> Submission:
    """Put the command line over the properties file.

    :raises SubmitError: nothing to run, an unknown deploy mode, or tags that YARN refuses
    """
    if command.primary is None:
        raise SubmitError("Missing application resource.")
    conf = {**properties, **command.conf}
    deploy_mode = conf.get("spark.submit.deployMode", "client")
    if deploy_mode not in {"client", "cluster"}:
        raise SubmitError('Deploy mode must be either "client" or "cluster".')
    if command.main_class is None and command.primary.endswith(".jar"):
        raise SubmitError("No main class set in JAR; please specify one with --class.")
    return Submission(
        primary=command.primary,
        app_args=command.app_args,
        main_class=command.main_class,
        name=conf.get("spark.app.name") or command.main_class or PurePosixPath(command.primary).name,
        deploy_mode=deploy_mode,
        queue=conf.get("spark.yarn.queue", "default"),
        tags=_checked_tags(_listed(conf.get("spark.yarn.tags"))),
        max_attempts=_attempts(conf.get("spark.yarn.maxAppAttempts")),
        waits=conf.get("spark.yarn.submit.waitAppCompletion", "true").lower() != "false",
        files=_resource_list(conf, "spark.files"),
        archives=_resource_list(conf, "spark.archives"),
        py_files=_listed(conf.get("spark.submit.pyFiles")),
        jars=_resource_list(conf, "spark.jars"),
        conf=conf,
    )


def _listed(value: str | None) -> tuple[str, ...]:
    return tuple(item.strip() for item in (value or "").split(",") if item.strip())


def _resource_list(conf: Mapping[str, str], key: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*_listed(conf.get(key)), *_listed(conf.get(_YARN_LISTS[key])))))


def _attempts(value: str | None) -> int:
    """Return how often YARN runs the driver at most; its own limit (`yarn.resourcemanager.am.max-attempts`) is 2."""
    limit = 2
    return limit if value is None else max(1, min(limit, int(value)))


def _checked_tags(tags: tuple[str, ...]) -> tuple[str, ...]:
    unique = tuple(dict.fromkeys(tag.lower() for tag in tags))  # ApplicationSubmissionContextPBImpl stores them in lower case
    if len(unique) > MAX_TAGS:
        raise SubmitError(f"Too many applicationTags, a maximum of only {MAX_TAGS} are allowed!")
    for tag in unique:
        if len(tag) > MAX_TAG_LENGTH:
            raise SubmitError(f"Tag {tag} is too long, maximum allowed length of a tag is {MAX_TAG_LENGTH}")
        if not tag.isascii():
            raise SubmitError(f"A tag can only have ASCII characters! Invalid tag - {tag}")
    return unique


def resource_alias(uri: str) -> tuple[str, str]:
    """Split `uri#alias` into the address and the name it gets in the working folder."""
    address, _, alias = uri.partition("#")
    return address, alias or PurePosixPath(address).name


_TRIMMED = "".join(chr(code) for code in range(33) if chr(code) not in "\r\n")  # Utils.trimExceptCRLF
_ESCAPES = {"t": "\t", "n": "\n", "r": "\r", "f": "\f"}
_LINE_END = re.compile(r"\r\n|\n|\r")
_KEY_END = re.compile(r"(?<!\\)((?:\\\\)*)(\s*[=:]\s*|\s+)")
_ESCAPED = re.compile(r"\\(u[0-9A-Fa-f]{4}|.)", re.DOTALL)


def parse_properties(text: str) -> dict[str, str]:
    """Read a Java properties file (`key value`, `key=value`, `key: value`, continuation lines, escapes); Spark trims the values."""
    found: dict[str, str] = {}
    for line in _logical_lines(text):
        match = _KEY_END.search(line)
        key, value = (line[: match.start(2)], line[match.end() :]) if match else (line, "")
        found[_unescaped(key)] = _unescaped(value).strip(_TRIMMED)
    return found


def format_properties(conf: Mapping[str, str]) -> str:
    """Write a properties file that Spark reads back as `conf`."""
    return "".join(f"{_escaped(key, ' =:#!')}={_escaped(value, '')}\n" for key, value in sorted(conf.items()))


def _logical_lines(text: str) -> list[str]:
    lines: list[str] = []
    open_line = ""
    for natural in _LINE_END.split(text):
        line = natural.lstrip(" \t\f")
        if not open_line and (not line or line[0] in "#!"):
            continue
        if (len(line) - len(line.rstrip("\\"))) % 2:
            open_line += line[:-1]
            continue
        lines.append(open_line + line)
        open_line = ""
    return [*lines, open_line] if open_line else lines


def _unescaped(text: str) -> str:
    plain = _ESCAPED.sub(lambda match: chr(int(match[1][1:], 16)) if len(match[1]) == 5 else _ESCAPES.get(match[1], match[1]), text)
    return plain.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _escaped(text: str, separators: str) -> str:
    return "".join(_escaped_character(character, separators, at_start=index == 0) for index, character in enumerate(text))


def _escaped_character(character: str, separators: str, *, at_start: bool) -> str:
    if character == "\\" or character in separators or (at_start and character in " =:"):
        return f"\\{character}"
    if " " <= character <= "~":
        return character
    units = character.encode("utf-16-be")
    return "".join(f"\\u{units[index : index + 2].hex()}" for index in range(0, len(units), 2))
