"""How applications and clusters are named, here and at the backend; every name can be parsed back."""

import re
from dataclasses import dataclass

from platyspark_provider.core.spec import ClusterSpec, content_hash, spec_hash

_SLUG = re.compile(r"[^a-z0-9]+")
_CLUSTER_NAME = re.compile(
    r"plsp/(?P<env>[a-z0-9-]{1,32})/(?P<pool>[a-z0-9-]{1,32})/(?P<key>[0-9a-f]{12})/i(?P<inst>[0-9a-f]{6})"
    r"/g(?P<gen>[0-9]+)/s(?P<send>[0-9]+)"
)
_ATTEMPT_NAME = re.compile(r"plsp-(?P<inst>[0-9a-f]{6})-(?P<app>[0-9]+)-g(?P<gen>[0-9]+)")


def slug(text: str, limit: int = 32) -> str:
    """Return `text` as `[a-z0-9-]`, at most `limit` long, never empty; user input may hold anything."""
    return _SLUG.sub("-", text.lower()).strip("-")[:limit].strip("-") or "x"


def batch_app_key(dag_id: str, task_id: str, map_index: int, run_id: str) -> str:
    """Return the key of a batch task's application; the try number is never in it."""
    return f"{dag_id}/{task_id}/{map_index}/{run_id}"


def streaming_app_key(dag_id: str, task_id: str, map_index: int) -> str:
    """Return the key of a streaming task's application, the same for all runs of its DAG."""
    return f"{dag_id}/{task_id}/{map_index}"


def cluster_key(environment: str, spec: ClusterSpec) -> str:
    """Return the 64 hex digits that two requests for one cluster share: environment, name and immutable spec."""
    return content_hash([environment, slug(spec.name), spec.target, spec_hash(spec)])


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterName:
    """The parts of a cluster's name at the backend (at most 256 characters on EMR, no `< > $ |` or backtick)."""

    environment: str
    pool: str
    key: str
    installation: str
    generation: int
    send: int

    def __str__(self) -> str:
        return f"plsp/{slug(self.environment)}/{slug(self.pool)}/{self.key[:12]}/i{self.installation}/g{self.generation}/s{self.send}"

    @property
    def incarnation(self) -> str:
        """The name up to its generation, with the delimiter: every send of one incarnation begins with it."""
        return str(self).rsplit("/", 1)[0] + "/"


def cluster_name_from_text(text: str) -> ClusterName | None:
    """Parse a cluster's name; None for a foreign cluster, whatever it resembles (`g01` is not a generation we write)."""
    hit = _CLUSTER_NAME.fullmatch(text)
    if hit is None:
        return None
    name = ClusterName(
        environment=hit["env"],
        pool=hit["pool"],
        key=hit["key"],
        installation=hit["inst"],
        generation=int(hit["gen"]),
        send=int(hit["send"]),
    )
    return name if str(name) == text else None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptName:
    """The name of one generation's run at the backend; a re-send of the same generation wears the same name."""

    installation: str
    app_id: int
    generation: int

    def __str__(self) -> str:
        return f"plsp-{self.installation}-{self.app_id}-g{self.generation}"

    @property
    def yarn_tag(self) -> str:
        """The tag by which YARN finds the driver (at most 100 ASCII characters, lower case)."""
        return f"plsp:{self.installation}:{self.app_id}:{self.generation}"


def attempt_name_from_text(text: str) -> AttemptName | None:
    """Parse a run's name; None for a foreign one. `...-g1` does not match `...-g10`."""
    hit = _ATTEMPT_NAME.fullmatch(text)
    if hit is None:
        return None
    name = AttemptName(installation=hit["inst"], app_id=int(hit["app"]), generation=int(hit["gen"]))
    return name if str(name) == text else None
