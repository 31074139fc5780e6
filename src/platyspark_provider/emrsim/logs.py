"""Ship logs to S3 as EMR does: gzipped under the cluster's LogUri, a while after their process ended, and now and then while it runs.

`<LogUri>/<cluster>/steps/<step>/{controller,stderr,stdout}.gz` and, for cluster-mode drivers,
`<LogUri>/<cluster>/containers/<application>/<container>/{stderr,stdout}.gz`. What is still to be sent is known from the files alone.
"""

import gzip
import logging
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from botocore.exceptions import BotoCoreError, ClientError

from platyspark_provider.emrsim.ports import StepLaunch
from platyspark_provider.emrsim.runner_fetch import s3_client, split_s3
from platyspark_provider.emrsim.runner_records import AppFolder, Site, StepFolder
from platyspark_provider.emrsim.yarn_apps import view_application

logger = logging.getLogger(__name__)

_TICK_S = 0.5
_RETRY_S = 5.0
_SENT = "logs_sent"


class LogConfig(Protocol):
    """What is read of emrsim's knobs."""

    log_delay_s: float


def step_log_uri(launch: StepLaunch) -> str | None:
    """Return the S3 folder of a step's logs; None when its cluster keeps none."""
    return None if not launch.log_uri else f"{launch.log_uri.rstrip('/')}/{launch.cluster_id}/steps/{launch.step_id}"


def container_log_uri(launch: StepLaunch, app: AppFolder, attempt: int) -> str | None:
    """Return the S3 folder of a container's logs; None when its cluster keeps none."""
    if not launch.log_uri:
        return None
    return f"{launch.log_uri.rstrip('/')}/{launch.cluster_id}/containers/{app.id}/{app.container_id(attempt)}"


class LogShipper:
    """One thread that sends what is due.

    :param interval_s: how often the logs of a process that still runs are sent
    """

    def __init__(self, site: Site, config: LogConfig, interval_s: float) -> None:
        self._site = site
        self._interval_s = interval_s
        self._config = config
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="emrsim-logs", daemon=True)
        self._done: set[str] = set()
        self._retry_at: dict[str, float] = {}
        self._next_copy: dict[str, float] = {}
        self._client: Any = None

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread; what is not sent yet is sent by the next shipper on the same folder."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(_TICK_S):
            for folder in self._pending():
                try:
                    self._tend(folder)
                except (BotoCoreError, ClientError) as error:
                    self._retry_at[folder.id] = time.time() + _RETRY_S
                    logger.info("%s: S3 is not reachable, logs wait: %s", folder.id, error)
                except Exception:  # one bad folder must not stop the others
                    self._retry_at[folder.id] = time.time() + _RETRY_S
                    logger.exception("%s: shipping its logs failed; trying again", folder.id)

    def _pending(self) -> list[StepFolder | AppFolder]:
        folders: list[StepFolder | AppFolder] = [
            *(self._site.step(step_id) for step_id in self._site.step_ids() if step_id not in self._done),
            *(self._site.app(application_id) for application_id in self._site.application_ids() if application_id not in self._done),
        ]
        self._done.update(folder.id for folder in folders if folder.has(_SENT))
        return [folder for folder in folders if folder.id not in self._done]

    def _tend(self, folder: StepFolder | AppFolder) -> None:
        now = time.time()
        if isinstance(folder, AppFolder):
            view_application(folder)  # gives a vanished one its end
        if now < self._retry_at.get(folder.id, 0.0):
            return
        ended = folder.exit()
        if ended is not None:
            if now >= float(ended["ended_at"]) + self._config.log_delay_s:
                self._send(folder)
                folder.mark(_SENT)
        elif now >= self._next_copy.setdefault(folder.id, now + self._interval_s):
            self._next_copy[folder.id] = now + self._interval_s
            self._send(folder)

    def _send(self, folder: StepFolder | AppFolder) -> None:
        for uri, paths in self._uploads(folder).items():
            where = split_s3(uri)
            if where is None:
                logger.warning("%s: LogUri %s is no S3 address; no logs are kept", folder.id, uri)
                continue
            bucket, prefix = where
            for path in paths:
                if path.is_file() and not self._put(bucket, f"{prefix}/{path.name}.gz", path):
                    return

    def _uploads(self, folder: StepFolder | AppFolder) -> Mapping[str, list[Path]]:
        if isinstance(folder, StepFolder):
            launch = folder.launch()
            uri = step_log_uri(launch) if launch else None
            return {uri: [folder.log(name) for name in ("controller", "stderr", "stdout")]} if uri else {}
        described = folder.describe()
        launch = self._site.step(described["step_id"]).launch() if described else None
        if described is None or launch is None or described["deploy_mode"] != "cluster":
            return {}
        found = {container_log_uri(launch, folder, attempt): folder.logs(attempt) for attempt in range(1, folder.attempt + 1)}
        return {uri: [logs / "stderr", logs / "stdout"] for uri, logs in found.items() if uri}

    def _put(self, bucket: str, key: str, path: Path) -> bool:
        """Upload one file; False when the bucket takes no logs, which is final (EMR keeps none then, and the step is none the worse)."""
        self._client = self._client or s3_client(self._site.endpoint_url)
        body = gzip.compress(path.read_bytes(), compresslevel=1)
        try:
            self._client.put_object(Bucket=bucket, Key=key, Body=body, ContentType="application/gzip")
        except ClientError as error:
            status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
            if status >= 500:
                raise
            logger.warning("s3://%s/%s: not written, no logs are kept: %s", bucket, key, error)
            return False
        return True
