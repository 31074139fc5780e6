"""Who this process is, in leases and claims."""

import os
import socket
import uuid
from functools import lru_cache


def process_name() -> str:
    """Return host, process id and a nonce; the same for a process's life, new after a fork."""
    pid = os.getpid()
    return f"{socket.gethostname()}:{pid}:{_nonce(pid)}"


@lru_cache(maxsize=1)
def _nonce(pid: int) -> str:
    return uuid.uuid4().hex[:8]
