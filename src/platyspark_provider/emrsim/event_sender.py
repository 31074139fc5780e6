"""Send events to an SQS queue from a thread of its own: best effort, and lost, doubled, late or out of order where a test wants that."""

import itertools
import json
import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from botocore.config import Config

from platyspark_provider.emrsim.clock import Clock
from platyspark_provider.emrsim.config import SimConfig
from platyspark_provider.emrsim.events import event_from_change
from platyspark_provider.emrsim.records import StateChange

log = logging.getLogger(__name__)

POLL_S = 0.05
BATCH = 10
HELD_BACK_S = 1.0
ACCESS_KEY = "emrsim-events"
_COUNTED = ("made", "sent", "lost", "doubled", "delayed", "reordered", "failed")

Send = Callable[[str, str, Sequence[str]], None]


@dataclass(slots=True, kw_only=True)
class _Waiting:
    """An event on its way; one that is `held_since` lets the next one pass first, but waits no longer than a second for it."""

    order: float
    due: float
    queue_url: str
    event: dict[str, Any]
    held_since: float | None = None


class EventSender:
    """Take changes at once and send their events later; a queue that fails costs the events, nothing else.

    :param send: sends bodies to a queue (URL, region, bodies); None sends over HTTP
    :param real_clock: seconds by which an event that lets the next one pass is held back
    """

    def __init__(self, config: SimConfig, clock: Clock, send: Send | None = None, real_clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._clock = clock
        self._send = send or SqsSender()
        self._real_clock = real_clock
        self._lock = threading.Lock()
        self._waiting: list[_Waiting] = []
        self._numbers = itertools.count(1)
        self._last = 0.0
        self._counters: Counter[str] = Counter()
        self._plan: tuple[float, ...] = ()
        self._dice = random.Random()  # noqa: S311 - seeded with the plan, not secret
        self._in_flight = 0
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None

    def take(self, changes: Sequence[StateChange]) -> None:
        """Decide what becomes of the changes' events; returns at once."""
        queue_url = self._config.events_queue_url
        if not queue_url:
            return
        with self._lock:
            self._seed()
            for event in map(event_from_change, changes):
                if event is not None:
                    self._enqueue(queue_url, event)
        self._wake.set()

    def start(self) -> None:
        """Start the thread that sends until `close`."""
        thread = threading.Thread(target=self._run, name="emrsim-events", daemon=True)
        thread.start()
        self._thread = thread  # now that it can be joined; a `close` that came first makes it end at once

    def close(self) -> None:
        """Stop sending; events on their way are lost."""
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def counters(self) -> dict[str, int]:
        """Return how many events were made, sent, lost and so on, and how many are on their way."""
        with self._lock:
            return {**{name: self._counters[name] for name in _COUNTED}, "waiting": len(self._waiting) + self._in_flight}

    def deliver(self) -> None:
        """Send what is due now."""
        with self._lock:
            due = self._take_due()
            self._in_flight = len(due)
        try:
            for (queue_url, region), group in itertools.groupby(due, lambda one: (one.queue_url, one.event["region"])):
                bodies = [json.dumps(one.event) for one in group]
                for start in range(0, len(bodies), BATCH):
                    self._deliver_batch(queue_url, region, bodies[start : start + BATCH])
        finally:
            with self._lock:
                self._in_flight = 0

    def _seed(self) -> None:
        """Throw the dice anew when the plan was changed."""
        config = self._config
        plan = (config.event_seed, config.event_loss, config.event_double, config.event_delay, config.event_reorder)
        if plan != self._plan:
            self._plan = plan
            self._dice.seed(config.event_seed)

    def _enqueue(self, queue_url: str, event: dict[str, Any]) -> None:
        config, dice = self._config, self._dice
        self._last = float(next(self._numbers))
        self._counters["made"] += 1
        is_lost, is_doubled = dice.random() < config.event_loss, dice.random() < config.event_double
        is_reordered = dice.random() < config.event_reorder
        delays = [dice.random() < config.event_delay and dice.random() * config.event_delay_s for _ in range(1 + is_doubled)]
        if is_lost:
            self._counters["lost"] += 1
            return
        self._counters["doubled"] += is_doubled
        self._counters["reordered"] += is_reordered
        for delay_s in delays:
            self._counters["delayed"] += bool(delay_s)
            one = _Waiting(order=self._last + 1.5 * is_reordered, due=self._clock() + delay_s, queue_url=queue_url, event=event)
            one.held_since = self._real_clock() if is_reordered else None
            self._waiting.append(one)

    def _take_due(self) -> list[_Waiting]:
        now, real = self._clock(), self._real_clock()
        due = [one for one in self._waiting if one.due <= now and self._may_go(one, real)]
        chosen = set(map(id, due))
        self._waiting = [one for one in self._waiting if id(one) not in chosen]
        return sorted(due, key=lambda one: one.order)

    def _may_go(self, one: _Waiting, real: float) -> bool:
        return one.held_since is None or one.order < self._last + 1 or real >= one.held_since + HELD_BACK_S

    def _deliver_batch(self, queue_url: str, region: str, bodies: list[str]) -> None:
        try:
            self._send(queue_url, region, bodies)
        except Exception:
            log.warning("%d events did not reach %s", len(bodies), queue_url, exc_info=True)
            outcome = "failed"
        else:
            outcome = "sent"
        with self._lock:
            self._counters[outcome] += len(bodies)
            self._in_flight -= len(bodies)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._wake.wait(POLL_S)
            self._wake.clear()
            if not self._stopping.is_set():
                self.deliver()


class SqsSender:
    """Send bodies to SQS queues at the address that their URL names."""

    def __init__(self) -> None:
        self._clients: dict[tuple[str, str], Any] = {}

    def __call__(self, queue_url: str, region: str, bodies: Sequence[str]) -> None:
        """Send up to 10 bodies.

        :raises OSError: the queue refused some of them
        """
        entries = [{"Id": str(number), "MessageBody": body} for number, body in enumerate(bodies)]
        answer = self._client(queue_url, region).send_message_batch(QueueUrl=queue_url, Entries=entries)
        if refused := answer.get("Failed"):
            raise OSError(f"{queue_url} refused {len(refused)} of {len(entries)} events: {refused[0].get('Message')}")

    def _client(self, queue_url: str, region: str) -> Any:
        parts = urlsplit(queue_url)
        endpoint = f"{parts.scheme}://{parts.netloc}"
        if (endpoint, region) not in self._clients:
            import boto3  # the first event pays for it, not the start

            session = boto3.session.Session(aws_access_key_id=ACCESS_KEY, aws_secret_access_key=ACCESS_KEY)
            make_client: Any = session.client
            config = Config(connect_timeout=2, read_timeout=10, retries={"total_max_attempts": 1}, proxies={})
            self._clients[endpoint, region] = make_client("sqs", region_name=region, endpoint_url=endpoint, config=config)
        return self._clients[endpoint, region]
