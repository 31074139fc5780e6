"""What governance writes down while it decides: where each value came from, and what the owner should know."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from platyspark_provider.core.profiles import Profile


@dataclass(slots=True)
class Notes:
    """Grows while one request is resolved; `provenance` as `governance.Resolution` has it."""

    provenance: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def take(self, name: str, profile: Profile) -> Any:
        """Return a field of the profile, and note where it came from."""
        self.provenance[name] = profile.source_of(name)
        return getattr(profile, name)

    def merge(self, name: str, asked: Mapping[str, str], profile: Profile) -> dict[str, str]:
        """Return a mapping of the profile with what was asked for over it, and note where each value came from."""
        base: Mapping[str, str] = getattr(profile, name)
        self.provenance.update({f"{name}.{key}": profile.source_of(f"{name}.{key}") for key in base})
        self.provenance.update({f"{name}.{key}": "request" for key in asked})
        return {**base, **asked}
