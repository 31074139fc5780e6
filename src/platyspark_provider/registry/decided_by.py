"""What an api-server and a command decide by: the profiles that the settings name, and the settings' numbers with their quotas."""

from pathlib import Path

from platyspark_provider.core.records import Policy
from platyspark_provider.errors import ProfilesUnavailable
from platyspark_provider.profiles_file import ProfilesFile
from platyspark_provider.settings import Settings


def profiles_of(settings: Settings) -> ProfilesFile:
    """Return the profiles that the settings name."""
    path = Path(settings.profiles_file) if settings.profiles_file else None
    return ProfilesFile(path, environment=settings.environment, artifacts=settings.artifacts or None)


def policy_of(settings: Settings, profiles: ProfilesFile) -> Policy:
    """Return the numbers of the settings with the quotas of the newest good profiles.

    A file that was never good sets no quotas and stops nothing that runs.
    """
    try:
        return profiles.current().with_quotas(settings.policy())
    except ProfilesUnavailable:
        return settings.policy()
