"""The profiles that are in force."""

from typing import Any

from fastapi import APIRouter

from platyspark_provider.plugin.api import answers
from platyspark_provider.plugin.api.auth import ServicesDep
from platyspark_provider.plugin.api.problems import problems
from platyspark_provider.plugin.api.public import PublicDep
from platyspark_provider.registry.views import profile_view

router = APIRouter(prefix="/profiles", tags=["profiles"], responses=problems(401, 403, 422, 503))


@router.get("", operation_id="list_profiles", response_model=answers.ProfileCollectionResponse)
def list_profiles(public: PublicDep, services: ServicesDep) -> dict[str, Any]:
    """List the profiles with every value and where it came from; values that look secret are hidden."""
    profiles = public.profiles()
    found = [profile_view(profile, profiles) for _, profile in sorted(profiles.profiles.items())]
    error = services.profiles.error
    return {
        "profiles": found,
        "total_entries": len(found),
        "environment": profiles.environment,
        "error": None if error is None else str(error),
    }
