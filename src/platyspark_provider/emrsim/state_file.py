"""Keep clusters, steps and knobs in one SQLite file, so that a killed emrsim goes on where it was."""

import fcntl
import json
import sqlite3
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from platyspark_provider.emrsim.records import ClusterRecord, cluster_from_json, step_from_json

_SCHEMA = """
CREATE TABLE IF NOT EXISTS cluster (id TEXT PRIMARY KEY, body TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS step (id TEXT PRIMARY KEY, cluster_id TEXT NOT NULL, seq INTEGER NOT NULL, body TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS step_by_cluster ON step (cluster_id, seq);
CREATE TABLE IF NOT EXISTS setting (name TEXT PRIMARY KEY, body TEXT NOT NULL);
"""
_UPSERT_CLUSTER = "INSERT INTO cluster (id, body) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET body = excluded.body"
_UPSERT_STEP = "INSERT INTO step (id, cluster_id, seq, body) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET body = excluded.body"
_UPSERT_SETTING = "INSERT INTO setting (name, body) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET body = excluded.body"


class StateInUse(RuntimeError):
    """Another emrsim works on the same data folder."""


class StateFile:
    """Read and write the records; callers hold the engine's lock. A save is one transaction: all of it or nothing.

    :raises StateInUse: another process has the file; the claim ends with the process, however it ends
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._claim = path.with_suffix(".lock").open("a")
        try:
            fcntl.flock(self._claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._claim.close()
            raise StateInUse(f"another emrsim uses {path.parent}; stop it or give another --data folder") from error
        self._db = sqlite3.connect(path, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.executescript(_SCHEMA)

    def load(self) -> dict[str, ClusterRecord]:
        """Return all clusters with their steps, by id."""
        clusters = {}
        for cluster_id, body in self._db.execute("SELECT id, body FROM cluster"):
            clusters[cluster_id] = cluster_from_json(json.loads(body))
        for cluster_id, body in self._db.execute("SELECT cluster_id, body FROM step ORDER BY cluster_id, seq"):
            clusters[cluster_id].add_step(step_from_json(json.loads(body)))
        for cluster in clusters.values():
            cluster.changed_steps.clear()
        return clusters

    def save(self, clusters: Iterable[ClusterRecord]) -> None:
        """Write what is marked as changed and clear the marks."""
        dirty = [cluster for cluster in clusters if cluster.changed or cluster.changed_steps]
        if not dirty:
            return
        with self._db:
            for cluster in dirty:
                if cluster.changed:
                    self._db.execute(_UPSERT_CLUSTER, (cluster.id, json.dumps(cluster.to_json())))
                rows = [(step.id, cluster.id, step.seq, json.dumps(step.to_json())) for step in cluster.changed_steps.values()]
                self._db.executemany(_UPSERT_STEP, rows)
        for cluster in dirty:
            cluster.changed = False
            cluster.changed_steps.clear()

    def load_setting(self, name: str) -> dict[str, Any]:
        """Return a stored JSON object, {} if there is none."""
        row = self._db.execute("SELECT body FROM setting WHERE name = ?", (name,)).fetchone()
        return dict(json.loads(row[0])) if row else {}

    def save_setting(self, name: str, body: dict[str, Any]) -> None:
        """Store a JSON object under a name."""
        with self._db:
            self._db.execute(_UPSERT_SETTING, (name, json.dumps(body)))

    def close(self) -> None:
        """Close the file and give up the claim."""
        self._db.close()
        self._claim.close()
