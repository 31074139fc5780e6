"""One file a revision; each is idempotent, and additive within a minor release."""
