"""The HTTP API: thin routes over the registry, an explicit auth dependency on each. Never calls AWS, never blocks the event loop."""
