"""profiles.yaml on disk: re-read when it changes, the last good content kept, mistakes named with their line."""

import logging
import os
from pathlib import Path

import pytest

from platyspark_provider.errors import ProfilesInvalid, ProfilesUnavailable
from platyspark_provider.profiles_file import ProfilesFile, profiles_from_text

GOOD = "environment: prod\nprofiles:\n  big:\n    step_concurrency: 4\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a good file."""
    path = tmp_path / "profiles.yaml"
    path.write_text(GOOD)
    return path


def test_profiles_without_a_file_are_built_in() -> None:
    profiles = ProfilesFile(None, environment="dev", artifacts="s3://b/x")
    assert (profiles.current().environment, profiles.current().artifacts, profiles.error) == ("dev", "s3://b/x", None)


def test_profiles_file_is_read_again_only_when_it_changes(file: Path) -> None:
    profiles = ProfilesFile(file)
    first = profiles.current()
    assert first.profiles["big"].step_concurrency == 4
    assert profiles.current() is first
    file.write_text(GOOD.replace("4", "40"))
    assert profiles.current().profiles["big"].step_concurrency == 40


def test_profiles_file_of_the_same_size_is_seen_by_its_time(file: Path) -> None:
    profiles = ProfilesFile(file)
    profiles.current()
    file.write_text(GOOD.replace("4", "5"))
    os.utime(file, ns=(1, 1))
    assert profiles.current().profiles["big"].step_concurrency == 5


def test_profiles_file_with_a_broken_edit_keeps_the_last_good_and_says_so_once(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    profiles = ProfilesFile(file)
    profiles.current()
    file.write_text("profiles: {big: {step_concurrency: many}}\n")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert profiles.current().profiles["big"].step_concurrency == 4
    assert "line 1: profiles.big.step_concurrency" in str(profiles.error)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "last good content" in caplog.text
    file.write_text(GOOD + "# mended\n")
    assert profiles.error is None


def test_profiles_file_that_vanishes_keeps_the_last_good_content(file: Path) -> None:
    profiles = ProfilesFile(file)
    profiles.current()
    file.unlink()
    assert "big" in profiles.current().profiles
    assert "can't be read" in str(profiles.error)


def test_profiles_file_never_good_is_refused_until_it_is(tmp_path: Path) -> None:
    path = tmp_path / "profiles.yaml"
    profiles = ProfilesFile(path)
    with pytest.raises(ProfilesUnavailable, match=r"can't be read.*\[platyspark\] profiles_file"):
        profiles.current()
    path.write_text(GOOD)
    assert "big" in profiles.current().profiles


def test_profiles_file_never_good_names_file_line_and_key_and_may_be_asked_for_again(tmp_path: Path) -> None:
    path = tmp_path / "profiles.yaml"
    path.write_text("profiles:\n  big:\n    nodes: 3\n")
    with pytest.raises(ProfilesUnavailable) as refused:
        ProfilesFile(path).current()
    assert str(refused.value).startswith(f"{path} can't be used: line 3: profiles.big.nodes: unknown key")
    assert (refused.value.status, refused.value.fields["line"], refused.value.retry_after) == (503, 3, 30.0)


def test_profiles_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "profiles.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ProfilesUnavailable, match="can't be read"):
        ProfilesFile(path).current()


@pytest.mark.parametrize("artifacts", ["not-s3"])
def test_profiles_with_a_bad_setting_are_refused_without_a_file(artifacts: str) -> None:
    with pytest.raises(ProfilesUnavailable, match="artifacts: 'not-s3'"):
        ProfilesFile(None, artifacts=artifacts).current()


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("a: [1\nb: 2\n", 2, "no YAML"),
        ("environment: a\nenvironment: b\n", 2, "'environment' stands twice"),
        ("profiles:\n  big:\n    size: 3\n", 3, "profiles.big.size: unknown key"),
        ("profiles:\n  big:\n    subnets:\n      - a\n      - 5\n", 5, "profiles.big.subnets.1: must be text"),
        ("profiles:\n  big:\n    extends: nothing\n", 3, "no profile 'nothing'"),
        ("- a\n- b\n", 1, "must be a mapping, not a list"),
        ("policies:\n  conf:\n    spark.a:\n      max: lots\n", 4, "'lots' is no limit"),
        ("profiles:\n  big:\n    instance_groups: [{role: MASTER, count: 1}]\n", 3, "instance_type is missing"),
    ],
)
def test_profiles_text_with_a_mistake_names_its_line(text: str, line: int, message: str) -> None:
    with pytest.raises(ProfilesInvalid, match=message) as refused:
        profiles_from_text(text)
    assert f"line {line}:" in str(refused.value)


@pytest.mark.parametrize("text", ["environment: a\x01b\n", "a: [1\n"])
def test_profiles_file_that_is_no_yaml_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "profiles.yaml"
    path.write_text(text)
    with pytest.raises(ProfilesUnavailable, match="no YAML"):
        ProfilesFile(path).current()


def test_profiles_text_runs_no_code() -> None:
    with pytest.raises(ProfilesInvalid, match="could not determine a constructor"):
        profiles_from_text("environment: !!python/object/apply:os.getcwd []\n")


def test_profiles_text_with_anchors_and_merges_is_fine() -> None:
    profiles = profiles_from_text("profiles:\n  a: &a\n    step_concurrency: 2\n  b:\n    <<: *a\n    dedicated: true\n")
    assert (profiles.profiles["b"].step_concurrency, profiles.profiles["b"].dedicated) == (2, True)


def test_profiles_text_of_odd_keys_is_refused() -> None:
    with pytest.raises(ProfilesInvalid):
        profiles_from_text("? [a, b]\n: 1\n")
