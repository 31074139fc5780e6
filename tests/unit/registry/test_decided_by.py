"""What the routes stand on: decisions know the quotas of profiles.yaml, and a broken file stops nothing that runs."""

from pathlib import Path

from platyspark_provider.profiles_file import ProfilesFile
from platyspark_provider.registry.decided_by import policy_of
from platyspark_provider.settings import Settings


def test_policy_of_profiles_holds_their_quotas_beside_the_settings_numbers(tmp_path: Path) -> None:
    file = tmp_path / "profiles.yaml"
    file.write_text("targets: {default: {max_clusters: 2}}\npolicies: {max_apps: 9}\n")
    policy = policy_of(Settings(lease=7.0), ProfilesFile(file))
    assert (policy.lease_s, policy.max_apps_of("ads"), dict(policy.max_clusters)) == (7.0, 9, {"default": 2})


def test_policy_of_profiles_that_were_never_good_sets_no_quota(tmp_path: Path) -> None:
    file = tmp_path / "profiles.yaml"
    file.write_text("targts: {}\n")
    assert policy_of(Settings(), ProfilesFile(file)) == Settings().policy()
