"""How the end of an application becomes the end of its task: a result, a failure without retry, or one with."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from platyspark_provider import errors
from platyspark_provider.core.failures import error_card
from platyspark_provider.core.model import Attempt, Failure
from platyspark_provider.core.records import AppDetail
from platyspark_provider.core.results import MARK, missing_metrics
from platyspark_provider.core.states import AppPhase, FailureClass, LogState
from platyspark_provider.operators.links import cluster_id_of


class SparkAppFailed(errors.SparkAppFailed, AirflowFailException):
    """The application's own fault: Airflow does not retry."""


class SparkAppLost(errors.SparkAppLost, AirflowException):
    """Not the application's fault, or unknown whose: Airflow may retry."""


class SparkAppStopped(errors.PermanentError, AirflowFailException):
    """Somebody, or its runtime limit, stopped the application: Airflow does not retry."""

    code = "app_stopped"


_TOKEN_REFUSED = frozenset({"token_missing", "token_unknown", "token_revoked", "token_expired"})


@contextmanager
def airflow_errors(*, conn_id: str) -> Iterator[None]:
    """Turn our errors into Airflow's: a permanent one fails the task for good, a temporary one lets it retry.

    A refused token may retry too: it is the platform's mistake, not the task's, and where a run is under way already the
    retry attaches to it, while a failure for good would have to be cleared and would run it again.

    :param conn_id: where the token is from.
    """
    try:
        yield
    except AirflowException:
        raise
    except errors.NotAllowed as error:
        if error.fields.get("reason") not in _TOKEN_REFUSED:
            raise AirflowFailException(f"{type(error).__name__}: {error}") from error
        where = f"The token belongs into the password of connection {conn_id!r}; a retry reads it again."
        raise AirflowException(f"{type(error).__name__}: {error} {where}") from error
    except errors.PermanentError as error:
        raise AirflowFailException(f"{type(error).__name__}: {error}") from error
    except errors.PlatySparkError as error:
        raise AirflowException(f"{type(error).__name__}: {error}") from error


def result_from_detail(detail: AppDetail, metrics: Sequence[str] = ()) -> dict[str, Any]:
    """Return the task's XCom: ids and figures of the generation, JSON only.

    :param metrics: names to pick from what the job reported; one that it did not report is None.
    """
    attempt = detail.attempt
    reported = attempt.result or {}
    result: dict[str, Any] = {
        "app_id": detail.app.id,
        "generation": attempt.generation,
        "cluster_id": cluster_id_of(detail),
        "external_id": attempt.external_id,
        "duration_s": _duration_s(attempt),
        "rows": reported.get("rows"),
        "log_uri": attempt.log_uri,
    }
    links = attempt.external_detail.get("links")
    if isinstance(links, Mapping) and links.get("spark_ui"):
        result["spark_ui"] = links["spark_ui"]
    return result | {name: reported.get(name) for name in metrics}


def unreported(detail: AppDetail, metrics: Sequence[str]) -> str | None:
    """Return why some of the wanted figures are None, as a line for the task's log; None when all were reported."""
    missing = missing_metrics(tuple(metrics), detail.attempt.result)
    if not missing:
        return None
    names, where = ", ".join(repr(name) for name in missing), detail.attempt.log_uri
    if detail.attempt.log_state is not LogState.ARRIVED:
        place = f" (it will be at {where})" if where else ", and its cluster writes none"
        return f"No value for {names}: the driver's log has not arrived{place}. [platyspark] log_wait is how long a task waits for it."
    return f"No value for {names}: the driver printed no line '{MARK} {{...}}' (a flat JSON object of up to 8 KB) that holds it."


def raise_unless_succeeded(detail: AppDetail) -> None:
    """Raise what a generation that ended otherwise means for its task."""
    attempt, name = detail.attempt, detail.app.name
    where = f"(application {detail.app.id}, generation {attempt.generation}, {attempt.external_id or 'never sent'})"
    match attempt.phase:
        case AppPhase.SUCCEEDED:
            return
        case AppPhase.STOPPED:
            who = f" by {attempt.stop_actor}" if attempt.stop_actor else ""
            raise SparkAppStopped(
                f"{name} was stopped{who}: {attempt.stop_reason or 'no reason given'} {where}.", hint="Clear the task to run it again."
            )
        case AppPhase.FAILED:
            failure = attempt.failure or Failure(klass=FailureClass.UNKNOWN, summary="the backend gave no reason", is_complete=False)
            card = error_card(name, failure, links=_links(attempt))
            klass = attempt.failure_class or failure.klass
            raise SparkAppLost(f"{card}\n{where}") if klass.is_retryable else SparkAppFailed(f"{card}\n{where}")
        case _:
            summary = attempt.failure.summary if attempt.failure else "how it ended is unknown"
            raise SparkAppLost(f"{name} was lost: {summary} {where}.", hint="A retry starts it again.")


def _proof(attempt: Attempt) -> str:
    proof = attempt.death_proof
    return "" if proof is None or proof == attempt.phase.value else f" ({proof})"


def story(detail: AppDetail) -> list[str]:
    """Return the generation's life as lines for the task's log, oldest first."""
    attempt, cluster_id = detail.attempt, cluster_id_of(detail)
    steps: list[tuple[datetime | None, str]] = [
        (attempt.created_at, "accepted"),
        (attempt.submitted_at, f"sent to cluster {cluster_id} as {attempt.external_id} (send {attempt.sends})"),
        (attempt.started_at, "running"),
        (attempt.stop_requested_at, f"stop asked for by {attempt.stop_actor}: {attempt.stop_reason}"),
        (attempt.ended_at, attempt.phase.value + _proof(attempt)),
    ]
    return [f"{at:%Y-%m-%d %H:%M:%S} UTC {what}" for at, what in steps if at is not None]


def _links(attempt: Attempt) -> dict[str, str]:
    links = attempt.external_detail.get("links")
    spark_ui = links.get("spark_ui") if isinstance(links, Mapping) else None
    return {"Spark UI": str(spark_ui)} if spark_ui else {}


def _duration_s(attempt: Attempt) -> float | None:
    if attempt.ended_at is None:
        return None
    since = attempt.started_at or attempt.submitted_at or attempt.created_at
    return round((attempt.ended_at - since).total_seconds(), 3)
