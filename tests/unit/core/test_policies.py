"""The platform team's rules, read strictly and held to."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platyspark_provider.core.policies import ConfRule, Policies, RuntimeRule, TeamRules, hold_conf, hold_runtime, read_policies
from platyspark_provider.errors import InvalidRequest, PolicyViolated, ProfilesInvalid

KEY = "spark.executor.memory"


@pytest.mark.parametrize(
    ("value", "rule", "held"),
    [
        ("8g", ConfRule(ceiling="16g"), "8g"),
        ("16384m", ConfRule(ceiling="16g"), "16384m"),
        ("16384", ConfRule(ceiling="16g"), "16384"),
        ("32g", ConfRule(ceiling="16g", clamp=True), "16g"),
        ("512m", ConfRule(floor="1g", clamp=True), "1g"),
        ("2g", ConfRule(floor="1g", ceiling="4g"), "2g"),
        ("2g", ConfRule(force="3g"), "3g"),
        ("3g", ConfRule(force="3g"), "3g"),
    ],
)
def test_hold_conf_within_or_clamped_returns_value(value: str, rule: ConfRule, held: str) -> None:
    assert hold_conf(KEY, value, rule, waiver="us").value == held


@pytest.mark.parametrize(
    ("value", "rule", "message"),
    [
        ("32g", ConfRule(ceiling="16g"), "32g was asked for; at most 16g is allowed.*ask us for a waiver"),
        ("99999", ConfRule(ceiling="16g"), "at most 16g"),
        ("1m", ConfRule(floor="1g"), "at least 1g"),
        ("x", ConfRule(forbid=True), "may not be set"),
    ],
)
def test_hold_conf_beyond_a_limit_says_what_is_allowed(value: str, rule: ConfRule, message: str) -> None:
    with pytest.raises(PolicyViolated, match=message) as refused:
        hold_conf(KEY, value, rule, waiver="us")
    assert refused.value.fields["key"] == KEY


def test_hold_conf_of_unreadable_value_says_which_unit() -> None:
    with pytest.raises(InvalidRequest, match=r"conf spark.executor.memory: 'lots' is no size.*limits it to 16g"):
        hold_conf(KEY, "lots", ConfRule(ceiling="16g"), waiver="us")


def test_hold_conf_warns_only_whom_it_overrules() -> None:
    rule = ConfRule(force="3g")
    assert hold_conf(KEY, "2g", rule, waiver="us").warning is not None
    assert hold_conf(KEY, "2g", rule, waiver="us", checked=False).warning is None
    assert hold_conf(KEY, "x", ConfRule(forbid=True), waiver="us", checked=False).value == "x"


@pytest.mark.parametrize(
    ("asked", "rule", "seconds", "source"),
    [
        (None, None, None, None),
        (60, None, "60", None),
        (None, RuntimeRule(ceiling=100), "100", "policy ceiling"),
        (60, RuntimeRule(ceiling=100), "60", None),
        (200, RuntimeRule(ceiling=100, clamp=True), "100", "policy ceiling"),
    ],
)
def test_hold_runtime_returns_what_holds(asked: int | None, rule: RuntimeRule | None, seconds: str | None, source: str | None) -> None:
    held = hold_runtime(asked, rule, waiver="us")
    assert (held.value if held else None, held.source if held else None) == (seconds, source)


def test_hold_runtime_beyond_ceiling_is_refused() -> None:
    with pytest.raises(PolicyViolated, match="max_runtime = 200 s"):
        hold_runtime(200, RuntimeRule(ceiling=100), waiver="us")


def test_policies_of_a_team_stand_over_the_general_ones() -> None:
    general, own = ConfRule(ceiling="8g"), ConfRule(ceiling="64g")
    rules = Policies(
        conf={KEY: general, "spark.x": general},
        max_runtime=RuntimeRule(ceiling=10),
        teams={"ml": TeamRules(conf={KEY: own}), "bi": TeamRules(max_runtime=RuntimeRule(ceiling=5))},
    )
    assert rules.for_team("ml").rule_of(KEY) is own
    assert rules.for_team("ml").rule_of("spark.x") is general
    assert rules.for_team("ml").max_runtime == RuntimeRule(ceiling=10)
    assert rules.for_team("bi").max_runtime == RuntimeRule(ceiling=5)
    assert rules.for_team("ads") is rules


def test_rule_of_prefers_the_exact_key_then_the_longest_pattern() -> None:
    a, b, c = ConfRule(forbid=True), ConfRule(force="1"), ConfRule(force="2")
    rules = Policies(conf={"spark.*": a, "spark.hadoop.*": b, "spark.hadoop.x": c})
    assert [rules.rule_of(k) for k in ("spark.hadoop.x", "spark.hadoop.y", "spark.z", "other")] == [c, b, a, None]


def test_read_policies_of_full_section_returns_rules() -> None:
    section = {
        "conf": {KEY: {"min": "1g", "max": "16g", "clamp": True}, "spark.a": {"force": 4}, "spark.b": {"forbid": True}},
        "max_runtime": {"max": "12h", "clamp": True},
        "tags": {"cost_center": 42},
        "teams": {"ml": {"conf": {KEY: {"max": "64g"}}, "max_runtime": "2d", "profiles": ["big"]}},
        "waiver": "#data-platform",
    }
    rules = read_policies(section, ("policies",))
    assert rules.conf[KEY] == ConfRule(floor="1g", ceiling="16g", clamp=True)
    assert rules.max_runtime == RuntimeRule(ceiling=43_200, clamp=True)
    assert dict(rules.tags) == {"cost_center": "42"}
    assert rules.teams["ml"] == TeamRules(conf={KEY: ConfRule(ceiling="64g")}, max_runtime=RuntimeRule(ceiling=172_800), profiles=("big",))


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ({"conf": {KEY: {}}}, "says nothing"),
        ({"conf": {KEY: {"maximum": 3}}}, "Did you mean 'max'"),
        ({"conf": {KEY: {"force": "x", "max": 3}}}, "force and forbid stand alone"),
        ({"conf": {KEY: {"forbid": True, "max": 3}}}, "force and forbid stand alone"),
        ({"conf": {KEY: {"max": "lots"}}}, "'lots' is no limit"),
        ({"conf": {KEY: {"min": "4g", "max": "2g"}}}, "min 4g is above max 2g"),
        ({"conf": {KEY: {"min": "4", "max": "2g"}}}, "of another unit"),
        ({"max_runtime": {"clamp": True}}, "max is missing"),
        ({"max_runtime": "never"}, "is no duration"),
    ],
)
def test_read_policies_with_a_mistake_names_it(section: Any, message: str) -> None:
    with pytest.raises(ProfilesInvalid, match=message):
        read_policies(section, ("policies",))


@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_hold_conf_with_clamp_never_exceeds_the_ceiling(asked: int, ceiling: int) -> None:
    held = hold_conf("spark.executor.instances", str(asked), ConfRule(ceiling=str(ceiling), clamp=True), waiver="us")
    assert int(held.value) == min(asked, ceiling)
