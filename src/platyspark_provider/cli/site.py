"""What commands stand on besides the store: the profiles that the settings name."""

from pathlib import Path

from platyspark_provider.profiles_file import ProfilesFile
from platyspark_provider.settings import Settings

PROFILES_LOG = "platyspark_provider.profiles_file"


def profiles_file(settings: Settings) -> ProfilesFile:
    """Return the profiles that the settings of this machine name."""
    path = Path(settings.profiles_file) if settings.profiles_file else None
    return ProfilesFile(path, environment=settings.environment, artifacts=settings.artifacts or None)
