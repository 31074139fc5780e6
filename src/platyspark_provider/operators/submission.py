"""The worker's part of a submit: find the generation, bring its files, let it go, send it if that is possible now.

Each step may be repeated by the next try of the task: submits attach, uploads are by content, `ready` is said once.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from platyspark_provider.core.facts import SendEnded
from platyspark_provider.core.model import Target
from platyspark_provider.core.ports import Backends, Clock, Registry
from platyspark_provider.core.records import AppDetail, ClaimRequest, SubmitAnswer
from platyspark_provider.core.spec import AppRequest
from platyspark_provider.core.states import AppPhase
from platyspark_provider.errors import PermanentError, PlatySparkError, TemporaryError
from platyspark_provider.hooks.process import process_name
from platyspark_provider.operators.files import DagFiles
from platyspark_provider.operators.patience import Patience

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """What a task's worker part talks to, read once from the connection.

    :param s3_of: gives the S3 client of a target.
    """

    registry: Registry
    backends: Backends
    s3_of: "Callable[[Target], S3Client]"
    ti_id: str
    clock: Clock
    patience: Patience
    log: logging.Logger


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """The generation that a task waits for."""

    app_id: int
    generation: int


def submit(caller: Caller, request: AppRequest) -> SubmitAnswer:
    """Register the request and say in the log what that led to; nobody sends it before `place_files` has looked at its addresses."""
    answer = caller.patience.ask("Submit", lambda: caller.registry.submit(request, ti_id=caller.ti_id, hold=True))
    for warning in answer.warnings:
        caller.log.warning("%s", warning)
    app, generation = answer.app, answer.generation
    match answer.outcome:
        case "started":
            caller.log.info("Application %s (%s) generation %s accepted.", app.id, app.app_key, generation)
        case "replacing":
            caller.log.info(
                "Application %s (%s) generation %s follows once generation %s is proven dead.",
                app.id,
                app.app_key,
                generation,
                app.generation,
            )
        case "attached":
            caller.log.info(
                "Reattached to application %s generation %s (%s), not resubmitted.", app.id, generation, answer.attempt.phase.value
            )
        case "result":
            caller.log.info(
                "Reattached to application %s generation %s, not resubmitted: it has ended (%s).",
                app.id,
                generation,
                answer.attempt.phase.value,
            )
    return answer


def place_files(caller: Caller, answer: SubmitAnswer, files: DagFiles) -> None:
    """Check the addresses, upload what is missing, and say that the generation may be sent.

    A file that isn't there ends the generation: it could never run, and the next submit begins another one. If an observer
    has sent it already, Spark's own failure tells.
    """
    attempt = answer.attempt
    if attempt.phase not in {AppPhase.NEW, AppPhase.WAIT_CLUSTER}:
        return
    app_id, generation = answer.app.id, answer.generation
    try:
        caller.patience.ask("Upload", lambda: _bring(caller, answer, files))
    except PermanentError as error:
        if _refuse(caller, answer, str(error)) or not attempt.artifacts_ready:
            raise
        caller.log.warning("%s The application was sent meanwhile.", error)
    if not attempt.artifacts_ready:
        caller.patience.ask("Submit", lambda: caller.registry.ready(app_id, generation, ti_id=caller.ti_id))


def advance_now(caller: Caller, held: Held) -> AppDetail:
    """Take the steps that are possible now and return where the generation is; what isn't is left to the loop."""
    try:
        take_steps(caller, held)
    except TemporaryError as error:
        caller.log.warning("Left to the observer: %s", error)
    return caller.patience.ask("Look", lambda: caller.registry.detail(held.app_id, held.generation, ti_id=caller.ti_id))


def take_steps(caller: Caller, held: Held) -> AppDetail:
    """Act for the application once, log what was done, and return its current generation."""
    from platyspark_provider.reconciler.advance import advance

    detail, report = advance(
        caller.registry, caller.backends, app_id=held.app_id, ti_id=caller.ti_id, holder=process_name(), clock=caller.clock
    )
    for line in report.done:
        caller.log.info("%s", line)
    for line in report.skipped:
        caller.log.info("Left to the observer: %s", line)
    return detail


def acknowledge(caller: Caller, held: Held) -> None:
    """Say that the task has taken the generation's end: it is never handed out again.

    A refusal (the task was cleared meanwhile) does not hide how the application ended.
    """
    try:
        caller.patience.ask("Acknowledge", lambda: caller.registry.acknowledge(held.app_id, held.generation, ti_id=caller.ti_id))
    except PermanentError as error:
        caller.log.warning("Application %s generation %s was not acknowledged: %s", held.app_id, held.generation, error)


def _bring(caller: Caller, answer: SubmitAnswer, files: DagFiles) -> None:
    from platyspark_provider.packaging.artifacts import head, upload_missing

    if not files.uris and not answer.missing_uploads:
        return
    s3_client = caller.s3_of(answer.target)
    for uri in files.uris:
        head(s3_client, uri)
    report = upload_missing(s3_client, files.paths, answer.missing_uploads)
    for uri in report.uploaded:
        caller.log.info("Uploaded %s", uri)


def _refuse(caller: Caller, answer: SubmitAnswer, message: str) -> bool:
    """End a generation that can't run as FAILED and acknowledged; under our claim nobody sends it in between.

    False when that was not possible: it was sent, belongs to another task, or waits for the end of the one before it (then
    the next submit of its key replaces it).
    """
    app_id, generation, ti_id = answer.app.id, answer.generation, caller.ti_id
    registry = caller.registry
    if answer.app.generation != generation:
        return False
    try:
        claims = registry.claim([ClaimRequest(kind="app", id=app_id)], holder=process_name(), ti_id=ti_id)
        epoch = claims[0].epoch
        if epoch is None:
            return False
        registry.ready(app_id, generation, ti_id=ti_id)
        ended = SendEnded(app_id=app_id, generation=generation, epoch=epoch, result="rejected", message=message)
        (taken,) = registry.record([ended], ti_id=ti_id)
        registry.release(claims, ti_id=ti_id)
        if taken.accepted:
            registry.acknowledge(app_id, generation, ti_id=ti_id)
        return taken.accepted
    except PlatySparkError as error:
        caller.log.warning("Application %s generation %s could not be ended: %s", app_id, generation, error)
        return False
