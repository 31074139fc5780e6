"""Failures explained from logs that Spark 4.1.4 really wrote; only the folders in them were renamed and long parts cut."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platyspark_provider.core.failure_hints import hint_for
from platyspark_provider.core.failures import TAIL_LINES, error_card, failure_from_log
from platyspark_provider.core.faults import find_fault
from platyspark_provider.core.model import Failure
from platyspark_provider.core.states import FailureClass

DATA = Path(__file__).parent / "data"
LOG_URI = "s3://logs/j-1/containers/application_1_0001/container_1_0001_01_000001/stderr.gz"


def captured(name: str, stream: str) -> str:
    return (DATA / f"{name}.{stream}.txt").read_text()


def explain(name: str) -> Failure:
    stderr, stdout = captured(name, "stderr"), captured(name, "stdout")
    return failure_from_log(stderr, stdout, application_name=f"s3://code/{name}.py", log_uri=LOG_URI)


@pytest.mark.parametrize(
    ("name", "error_class", "sql_state", "user_line"),
    [
        ("cast", "CAST_INVALID_INPUT", "22018", 'cast.py:5  out.write.mode("overwrite").format("noop").save()'),
        ("column", "UNRESOLVED_COLUMN.WITH_SUGGESTION", "42703", 'column.py:8  frame.select("carier").show()'),
        ("table", "TABLE_OR_VIEW_NOT_FOUND", "42P01", 'table.py:4  spark.sql("select * from sales.orders").show()'),
        ("path", "PATH_NOT_FOUND", "42K03", 'path.py:4  spark.read.parquet("/no/such/place").count()'),
        ("divide", "DIVIDE_BY_ZERO", "22012", 'divide.py:4  spark.sql("select 1 / (id - 1) as x from range(3)").collect()'),
        ("structured", "DIVIDE_BY_ZERO", "22012", 'divide.py:4  spark.sql("select 1 / (id - 1) as x from range(3)").collect()'),
        ("parse", "PARSE_SYNTAX_ERROR", "42601", 'parse.py:4  spark.sql("selec 1")'),
        ("driver_memory", "INVALID_DRIVER_MEMORY", "F0000", "oom.py:3  spark = SparkSession.builder.getOrCreate()"),
    ],
)
def test_failure_spark_error_class_names_state_and_user_line(name: str, error_class: str, sql_state: str, user_line: str) -> None:
    failure = explain(name)

    assert failure.klass is FailureClass.USER
    assert (failure.error_class, failure.sql_state, failure.user_line) == (error_class, sql_state, user_line)
    assert failure.summary.startswith(f"[{error_class}] ")
    assert "SQLSTATE" not in failure.summary
    assert failure.hint


@pytest.mark.parametrize(
    ("name", "summary", "user_line"),
    [
        ("module", "ModuleNotFoundError: No module named 'holidays_of_ours'", "module.py:3  import holidays_of_ours"),
        ("syntax", "SyntaxError: '(' was never closed", "syntax.py:3  spark = SparkSession.builder.getOrCreate("),
        (
            "value",
            "JSONDecodeError: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
            "value.py:8  return json.loads(text)",
        ),
        ("udf", "TypeError: object of type 'NoneType' has no len()", "udf.py:9  return len(text)"),
        (
            "file",
            "FileNotFoundError: [Errno 2] No such file or directory: 'settings.yaml'",
            'file.py:1  with open("settings.yaml") as f:',
        ),
        ("s3", 'UnsupportedFileSystemException: No FileSystem for scheme "s3"', 's3.py:4  spark.read.parquet("s3://nowhere/x").count()'),
        ("java", "IllegalStateException: no partition for 2026-01-01", "Boom.java:9  com.acme.Boom.load"),
        ("noclass", "Failed to load class com.acme.Nope", None),
    ],
)
def test_failure_users_exception_is_the_users(name: str, summary: str, user_line: str | None) -> None:
    failure = explain(name)

    assert failure.klass is FailureClass.USER
    assert (failure.summary, failure.user_line, failure.error_class) == (summary, user_line, None)


@pytest.mark.parametrize(
    ("name", "summary", "error_class", "user_line"),
    [
        ("jar_plain", "Job$BadRow: row 'x' is no number", None, "Job.java:6  com.acme.Job.parse"),
        ("jar_task", "Job$BadRow: row 'n0' is no number", None, "Job.java:6  com.acme.Job.parse"),
        (
            "jar_sql",
            "[UNRESOLVED_COLUMN.WITH_SUGGESTION] A column, variable, or function parameter with name `nope` cannot be resolved",
            "UNRESOLVED_COLUMN.WITH_SUGGESTION",
            "Job.java:13  com.acme.Job.main",
        ),
    ],
)
@pytest.mark.parametrize("wrapped", [False, True], ids=["spark-submit", "application master"])
def test_failure_of_a_jar_names_its_exception_and_its_own_innermost_line(
    name: str, summary: str, error_class: str | None, user_line: str, wrapped: bool
) -> None:
    stderr = captured(name, "stderr")
    if wrapped:  # as Spark 3.5 and 4.1 log it in cluster mode: twice, the second time as the reason it tells YARN
        thrown = stderr.removeprefix('Exception in thread "main" ')
        head = "26/11/25 05:11:09 ERROR ApplicationMaster: User class threw exception: \n"
        reason = "26/11/25 05:11:09 INFO ApplicationMaster: Final app status: FAILED, exitCode: 15, (reason: User class threw exception: "
        stderr = f"{head}{thrown}{reason}{thrown})\n"
    failure = failure_from_log(stderr, "", application_name="s3://code/job.jar", log_uri=LOG_URI)

    assert failure.klass is FailureClass.USER
    assert (failure.summary, failure.error_class, failure.user_line) == (summary, error_class, user_line)


def test_failure_heap_exhausted_is_undecided_and_hints_at_memory() -> None:
    failure = explain("heap")

    assert failure.klass is FailureClass.UNKNOWN
    assert failure.summary == "OutOfMemoryError: Java heap space"
    assert failure.hint is not None
    assert "spark.driver.memory" in failure.hint


def test_failure_exit_without_a_trace_is_unknown_and_says_so() -> None:
    failure = explain("exit")

    assert failure.klass is FailureClass.UNKNOWN
    assert failure.summary == "exit.py ended without naming an error; see its log"
    assert failure.hint is None


def test_failure_exit_status_from_yarn_is_the_users() -> None:
    stderr = "26/11/25 01:00:00 ERROR ApplicationMaster: User application exited with status 3\n"

    failure = failure_from_log(stderr, "nothing to do\n", application_name="job.py", log_uri=None)

    assert failure.klass is FailureClass.USER
    assert failure.summary == "The application exited with status 3"


def test_failure_caught_error_in_the_log_alone_is_not_the_users() -> None:
    """The same JSON line is printed when the owner catches the exception, so it must not forbid a retry."""
    logged = captured("divide", "stdout").splitlines()[0]

    failure = failure_from_log(
        "26/11/25 01:00:00 INFO SparkContext: Successfully stopped\n", logged, application_name="job.py", log_uri=None
    )

    assert failure.error_class == "DIVIDE_BY_ZERO"
    assert failure.klass is FailureClass.UNKNOWN


def test_failure_driver_that_was_told_to_end_is_not_the_users() -> None:
    stderr = "26/11/25 01:00:00 ERROR ApplicationMaster: RECEIVED SIGNAL TERM\n" + captured("cast", "stderr")

    failure = failure_from_log(stderr, captured("cast", "stdout"), application_name="job.py", log_uri=None)

    assert failure.klass is FailureClass.UNKNOWN


def py4j_failure(cause: str) -> Failure:
    """A job that Spark aborted for `cause`, in the form of `py4j.protocol.Py4JJavaError`."""
    stdout = (
        "Traceback (most recent call last):\n"
        '  File "/mnt/yarn/usercache/hadoop/appcache/application_1_0001/container_1_0001_01_000001/job.py", line 7, in <module>\n'
        "    frame.write.parquet(out)\n"
        '  File "/usr/lib/spark/python/lib/py4j-0.10.9.9-src.zip/py4j/protocol.py", line 326, in get_return_value\n'
        "py4j.protocol.Py4JJavaError: An error occurred while calling o99.parquet.\n"
        f": org.apache.spark.SparkException: Job aborted due to stage failure: {cause}\n"
        "\tat org.apache.spark.scheduler.DAGScheduler.failJobAndIndependentStages(DAGScheduler.scala:2844)\n"
    )
    return failure_from_log("", stdout, application_name="job.py", log_uri=None)


@pytest.mark.parametrize(
    ("cause", "klass"),
    [
        (
            "Task 0 in stage 3.0 failed 4 times: ExecutorLostFailure (executor 3 exited unrelated to the running tasks) "
            "Reason: Container container_1_0001_01_000004 on host: ip-10-0-0-7 was preempted.",
            FailureClass.CAPACITY,
        ),
        (
            "Task 0 in stage 3.0 failed 4 times: ExecutorLostFailure (executor 3 exited unrelated to the running tasks) "
            "Reason: Container marked as failed. Exit status: -100. Diagnostics: Container released on a *lost* node.",
            FailureClass.INFRASTRUCTURE,
        ),
        (
            "Task 9 in stage 1.0 failed 4 times: com.amazonaws.SdkClientException: Unable to execute HTTP request: "
            "Connect to bucket.s3.amazonaws.com:443 failed: Connection refused",
            FailureClass.INFRASTRUCTURE,
        ),
        (
            "Task 9 in stage 1.0 failed 4 times: ExecutorLostFailure (executor 5 exited caused by one of the running tasks) "
            "Reason: Container killed by YARN for exceeding physical memory limits. 5.6 GB of 5.5 GB physical memory used.",
            FailureClass.UNKNOWN,
        ),
        ("Task 2 in stage 0.0 failed 4 times: java.lang.ArrayIndexOutOfBoundsException: Index 4", FailureClass.USER),
    ],
)
def test_failure_aborted_job_is_classified_by_its_cause(cause: str, klass: FailureClass) -> None:
    failure = py4j_failure(cause)

    assert failure.klass is klass
    assert failure.user_line == "job.py:7  frame.write.parquet(out)"


def test_failure_lost_executor_that_spark_got_over_does_not_count() -> None:
    stderr = "WARN YarnAllocator: Container released on a *lost* node\n" + captured("cast", "stderr")

    failure = failure_from_log(stderr, captured("cast", "stdout"), application_name="job.py", log_uri=None)

    assert failure.klass is FailureClass.USER


def test_failure_internal_error_of_spark_is_undecided() -> None:
    stdout = (
        "Traceback (most recent call last):\n"
        '  File "/mnt/job.py", line 2, in <module>\n'
        "    frame.count()\n"
        "pyspark.errors.exceptions.captured.SparkException: [INTERNAL_ERROR] The Spark SQL phase planning failed. SQLSTATE: XX000\n"
    )

    assert failure_from_log("", stdout, application_name="job.py", log_uri=None).klass is FailureClass.UNKNOWN


def test_failure_spark_3_5_traceback_gives_the_same_facts() -> None:
    stdout = (
        "Traceback (most recent call last):\n"
        '  File "/mnt/job.py", line 14, in <module>\n'
        '    out.write.mode("overwrite").parquet(path)\n'
        '  File "/usr/lib/spark/python/lib/pyspark.zip/pyspark/errors/exceptions/captured.py", line 185, in deco\n'
        "pyspark.errors.exceptions.captured.NumberFormatException: [CAST_INVALID_INPUT] The value 'NA' of the type \"STRING\" cannot be "
        'cast to "DOUBLE" because it is malformed. Correct the value as per the syntax. SQLSTATE: 22018\n'
        "== SQL(line 1, position 8) ==\n"
    )

    failure = failure_from_log("", stdout, application_name="job.py", log_uri=None)

    assert (failure.error_class, failure.sql_state) == ("CAST_INVALID_INPUT", "22018")
    assert failure.user_line == 'job.py:14  out.write.mode("overwrite").parquet(path)'


def test_failure_long_source_line_is_cut() -> None:
    stdout = f'Traceback (most recent call last):\n  File "job.py", line 1, in <module>\n    {"x" * 200}\nValueError: no\n'

    failure = failure_from_log("", stdout, application_name="job.py", log_uri=None)

    assert failure.user_line == f"job.py:1  {'x' * 80}..."


def test_failure_keeps_the_last_lines_of_stderr() -> None:
    stderr = "".join(f"line {i}\n" for i in range(100))

    failure = failure_from_log(stderr, "", application_name="job.py", log_uri=None)

    assert failure.log_tail.splitlines() == [f"line {i}" for i in range(100 - TAIL_LINES, 100)]


@given(st.text(), st.text())
def test_failure_any_text_is_explained_without_an_error(stderr: str, stdout: str) -> None:
    failure = failure_from_log(stderr, stdout, application_name="job.py", log_uri=None)

    assert failure.summary
    assert "\n" not in failure.summary


@given(st.integers(min_value=0, max_value=4000))
def test_fault_log_cut_anywhere_never_fails(start: int) -> None:
    """Only the last 64 KB of a log are read, so it may begin in the middle of anything."""
    find_fault("", captured("cast", "stdout")[start:])


def test_fault_traceback_without_its_exception_is_no_fault() -> None:
    assert find_fault("", 'Traceback (most recent call last):\n  File "job.py", line 1, in <module>\n    f()\n') is None


def test_fault_traceback_in_library_code_alone_is_not_the_users() -> None:
    stdout = 'Traceback (most recent call last):\n  File "/usr/lib/python3.11/runpy.py", line 1, in run\nOSError: gone\n'

    fault = find_fault("", stdout)

    assert fault is not None
    assert (fault.title, fault.user_line, fault.is_users) == ("OSError: gone", None, False)


def test_fault_frame_without_source_still_names_the_line() -> None:
    stdout = 'Traceback (most recent call last):\n  File "/mnt/job.py", line 3, in run\n  File "/mnt/job.py", line 9, in f\nOSError: gone\n'

    fault = find_fault("", stdout)

    assert fault is not None
    assert fault.user_line == "job.py:9"


def test_fault_line_that_is_no_exception_after_frames_is_no_fault() -> None:
    assert find_fault("", 'Traceback (most recent call last):\n  File "job.py", line 1, in <module>\n<<<cut>>>\n') is None


def test_fault_syntax_error_line_without_a_file_is_no_python_fault() -> None:
    assert find_fault("", "a note about\nSyntaxError: in my own output\n") is None


@pytest.mark.parametrize(
    ("error_class", "text", "words"),
    [
        ("CAST_INVALID_INPUT", "The value 'NA' of the type", 'nullValue="NA"'),
        ("CAST_INVALID_INPUT", "no value quoted", 'nullValue="..."'),
        ("UNRESOLVED_COLUMN.WITH_SUGGESTION", "Did you mean one of the following? [`carrier`]. S", "did you mean `carrier`? "),
        ("UNRESOLVED_COLUMN.WITHOUT_SUGGESTION", "nothing near", "printSchema()"),
        (None, "ModuleNotFoundError: No module named 'holidays'", "no module holidays: ship it with py_files="),
        (None, "AmazonS3Exception: Access Denied (Status Code: 403)", "role"),
        (None, "java.lang.OutOfMemoryError: Java heap space", "memory"),
    ],
)
def test_hint_known_error_says_what_to_do(error_class: str | None, text: str, words: str) -> None:
    hint = hint_for(error_class, text)

    assert hint is not None
    assert words in hint


def test_hint_unknown_error_is_none() -> None:
    assert hint_for("SOMETHING_NEW", "it broke") is None


def test_card_complete_failure_has_the_three_lines_and_the_tail() -> None:
    failure = Failure(
        klass=FailureClass.USER,
        summary='[CAST_INVALID_INPUT] The value \'NA\' of type "STRING" cannot be cast to "DOUBLE"',
        sql_state="22018",
        user_line='job.py:14  out.write.mode("overwrite")...',
        hint='spark.read.csv(..., nullValue="NA") or try_cast',
        log_tail="one\ntwo",
        log_uri="s3://logs/stderr.gz",
    )

    card = error_card("daily_agg", failure, links={"Spark UI": "https://ui"})

    assert card.splitlines() == [
        'daily_agg failed: [CAST_INVALID_INPUT] The value \'NA\' of type "STRING" cannot be cast to "DOUBLE" (SQLSTATE 22018)',
        '  at job.py:14  out.write.mode("overwrite")...',
        '  hint: spark.read.csv(..., nullValue="NA") or try_cast · full log: s3://logs/stderr.gz · Spark UI: https://ui · '
        "last 2 stderr lines below",
        "one",
        "two",
    ]


def test_card_log_not_arrived_says_where_it_will_be() -> None:
    failure = Failure(klass=FailureClass.UNKNOWN, summary="The step failed.", log_uri="s3://logs/j-1/steps/s-1/", is_complete=False)

    assert error_card("daily_agg", failure).splitlines() == [
        "daily_agg failed: The step failed.",
        "  the driver's log has not arrived yet: it will be at s3://logs/j-1/steps/s-1/",
    ]


def test_card_without_a_log_prefix_says_why_there_is_no_log() -> None:
    failure = Failure(klass=FailureClass.UNKNOWN, summary="The step failed.", is_complete=False)

    assert "no log prefix is configured" in error_card("daily_agg", failure)


def test_card_single_tail_line_is_counted_in_the_singular() -> None:
    card = error_card("daily_agg", Failure(klass=FailureClass.UNKNOWN, summary="It ended.", log_tail="only"))

    assert card.splitlines()[1:] == ["  last stderr line below", "only"]


def test_card_bare_failure_is_one_line() -> None:
    assert error_card("daily_agg", Failure(klass=FailureClass.UNKNOWN, summary="It ended.")) == "daily_agg failed: It ended."
