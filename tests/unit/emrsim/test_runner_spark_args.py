"""Reading spark-submit command lines and Java properties files."""

import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from platyspark_provider.emrsim.spark_args import (
    Submission,
    SubmitError,
    format_properties,
    parse_command,
    parse_properties,
    resolve_submission,
    resource_alias,
)


def submission(*args: str, properties: dict[str, str] | None = None) -> Submission:
    return resolve_submission(parse_command(args), properties or {})


def test_parse_command_stops_at_the_application_and_keeps_its_arguments_whole() -> None:
    command = parse_command(["--verbose", "--class", "a.Main", "--conf", "spark.x=a=b", "app.jar", "--conf", "not=ours", "-v"])

    assert (command.primary, command.main_class) == ("app.jar", "a.Main")
    assert command.app_args == ("--conf", "not=ours", "-v")
    assert command.conf == {"spark.x": "a=b"}
    assert command.switches == {"--verbose"}


@pytest.mark.parametrize("args", [["--name=my app", "j.py"], ["--name", "my app", "j.py"], ["--conf", "spark.app.name=my app", "j.py"]])
def test_parse_command_takes_each_spelling_of_an_option(args: list[str]) -> None:
    assert submission(*args).name == "my app"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--wrong", "1", "j.py"], "Unrecognized option '--wrong'."),
        (["--name"], "Missing argument for option '--name'."),
        (["--conf", "spark.x", "j.py"], "Spark config without '=': spark.x"),
        ([], "Missing application resource."),
        (["--deploy-mode", "remote", "j.py"], 'Deploy mode must be either "client" or "cluster".'),
        (["j.jar"], "No main class set in JAR; please specify one with --class."),
        (["--conf", "spark.yarn.tags=" + "x" * 101, "j.py"], f"Tag {'x' * 101} is too long, maximum allowed length of a tag is 100"),
        (["--conf", "spark.yarn.tags=é", "j.py"], "A tag can only have ASCII characters! Invalid tag - é"),
        (
            ["--conf", "spark.yarn.tags=" + ",".join(f"t{n}" for n in range(11)), "j.py"],
            "Too many applicationTags, a maximum of only 10 are allowed!",
        ),
    ],
)
def test_submission_that_spark_or_yarn_refuses_says_their_words(args: list[str], message: str) -> None:
    with pytest.raises(SubmitError) as caught:
        submission(*args)
    assert str(caught.value) == message


def test_submission_lets_options_win_over_conf_and_conf_over_the_file() -> None:
    resolved = submission(
        *("--conf", "spark.app.name=conf", "--conf", "spark.x=conf", "--queue", "option", "j.py"),
        properties={"spark.x": "file", "spark.y": "file", "spark.yarn.queue": "file"},
    )

    assert (resolved.name, resolved.queue) == ("conf", "option")
    assert (resolved.conf["spark.x"], resolved.conf["spark.y"]) == ("conf", "file")


def test_submission_collects_resources_of_options_and_yarns_own_keys() -> None:
    resolved = submission(
        *("--files", "a.txt,s3://b/c.txt#d", "--conf", "spark.yarn.dist.files=e.txt,a.txt", "--py-files", "p.zip, q.py"),
        *("--conf", "spark.yarn.dist.archives=s3://b/env.tgz#env", "--jars", "x.jar", "j.py"),
    )

    assert resolved.files == ("a.txt", "s3://b/c.txt#d", "e.txt")
    assert resolved.archives == ("s3://b/env.tgz#env",)
    assert resolved.py_files == ("p.zip", "q.py")
    assert resolved.jars == ("x.jar",)


def test_submission_defaults_are_those_of_spark_and_yarn() -> None:
    resolved = submission("s3://b/jobs/job.py")

    assert (resolved.name, resolved.deploy_mode, resolved.queue) == ("job.py", "client", "default")
    assert (resolved.tags, resolved.max_attempts, resolved.waits) == ((), 2, True)
    assert submission("--class", "a.B", "x.jar").name == "a.B"


@pytest.mark.parametrize(("asked", "given"), [("1", 1), ("2", 2), ("9", 2), ("0", 1)])
def test_submission_attempts_are_limited_by_yarn(asked: str, given: int) -> None:
    assert submission("--conf", f"spark.yarn.maxAppAttempts={asked}", "j.py").max_attempts == given


def test_submission_tags_are_lower_case_and_unique() -> None:
    assert submission("--conf", "spark.yarn.tags=App,app, b", "j.py").tags == ("app", "b")


def test_submission_environment_is_taken_from_prefixed_keys() -> None:
    resolved = submission("--conf", "spark.yarn.appMasterEnv.A=1", "--conf", "spark.executorEnv.B=2", "j.py")

    assert resolved.env_of("spark.yarn.appMasterEnv.") == {"A": "1"}
    assert resolved.env_of("spark.executorEnv.") == {"B": "2"}


@pytest.mark.parametrize(("uri", "expected"), [("s3://b/x.tgz#env", ("s3://b/x.tgz", "env")), ("/a/b.txt", ("/a/b.txt", "b.txt"))])
def test_resource_alias_splits_address_and_name(uri: str, expected: tuple[str, str]) -> None:
    assert resource_alias(uri) == expected


def test_parse_properties_reads_every_form_that_java_does() -> None:
    text = (
        "# comment\n! comment\n\nspark.a 1\nspark.b=2\r\n  spark.c : 3  \nspark.d\n"
        "spark.e=x\\\n   y\\\\\nk\\ ey=caf\\u00e9\\t.\nspark.f=a b = c\n"
    )

    assert parse_properties(text) == {
        "spark.a": "1",
        "spark.b": "2",
        "spark.c": "3",
        "spark.d": "",
        "spark.e": "xy\\",
        "k ey": "café\t.",
        "spark.f": "a b = c",
    }


BLANKS = "".join(map(chr, range(33))).replace("\n", "").replace("\r", "")
KEYS = st.text(st.sampled_from(string.ascii_letters + string.digits + "._-=: #!\\é"), min_size=1).filter(lambda key: key.strip() == key)


@given(st.dictionaries(KEYS, st.text().map(lambda value: value.strip(BLANKS))))
@example({"spark.x": '-Da="b c" \\n', "#k": "= v", "k:": "\\", "p": "C:\\dir\\", "emoji": "🎉 é\t\n\r"})
def test_format_properties_is_read_back_as_it_was(conf: dict[str, str]) -> None:
    assert parse_properties(format_properties(conf)) == conf
