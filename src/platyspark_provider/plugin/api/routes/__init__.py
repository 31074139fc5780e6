"""One module per part of the API; no `from __future__ import annotations` here, or FastAPI misreads the dependencies."""
