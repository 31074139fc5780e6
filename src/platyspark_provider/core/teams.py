"""Which team a request counts for, and what that team may name."""

import re

from platyspark_provider.core.notes import Notes
from platyspark_provider.core.profiles import Profile, Profiles
from platyspark_provider.errors import InvalidRequest, PolicyViolated

DEFAULT_TEAM = "default"
_TEAM = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


def team_of(asked: str | None, profile: Profile, team_of_task: str | None, notes: Notes) -> str:
    """Return the team of a request; the task's owner never counts: Airflow's default "airflow" would own everything."""
    check_team(asked, team_of_task)
    choices = ((asked, "request"), (profile.team, profile.source_of("team")), (team_of_task, "DAG tag"), (DEFAULT_TEAM, "built-in"))
    team, source = next((team, source) for team, source in choices if team)
    if not _TEAM.fullmatch(team):
        raise InvalidRequest(f"team {team!r} is no name.", hint="Letters, digits, '_', '.', '-', up to 64.", field="team")
    notes.provenance["team"] = source
    return team


def check_team(asked: str | None, team_of_task: str | None) -> None:
    """Raise `PolicyViolated` for a request that names another team than the tag its DAG shows to everybody."""
    if asked and team_of_task and asked != team_of_task:
        raise PolicyViolated(
            f"team {asked!r} was asked for, but the DAG has the tag 'team:{team_of_task}'.",
            hint="Leave team= away, or change the tag.",
            key="team",
            asked=asked,
            allowed=team_of_task,
        )


def check_team_profile(team: str, profile: Profile, profiles: Profiles) -> None:
    """Raise `PolicyViolated` for a profile that the team may not use."""
    own = profiles.policies.teams.get(team)
    if own is not None and own.profiles and profile.name not in own.profiles:
        raise PolicyViolated(
            f"Team {team!r} may not use profile {profile.name!r}; it may use {', '.join(own.profiles)}.",
            hint=f"Choose one of them, or ask {profiles.policies.waiver} for a waiver.",
            key="cluster",
            asked=profile.name,
            allowed=", ".join(own.profiles),
        )
