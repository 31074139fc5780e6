"""IAM policies of deploy/iam as IAM judges them, for what they use: Allow and Deny, wildcards, string conditions."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "deploy" / "iam"
ACCOUNT, REGION = "111122223333", "eu-west-1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One action on one resource; `context` holds the condition keys that the call would bring."""

    action: str
    resource: str
    context: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """One statement of a policy."""

    sid: str
    effect: str
    actions: Sequence[str]
    resources: Sequence[str]
    conditions: Mapping[str, Mapping[str, Any]]

    def covers(self, asked: Asked) -> bool:
        """Tell whether the statement speaks of this."""
        in_words = any(_like(asked.action.lower(), action.lower()) for action in self.actions)
        return in_words and any(_like(asked.resource, one) for one in self.resources) and self._holds(asked.context)

    def _holds(self, context: Mapping[str, str]) -> bool:
        return all(_meets(operator, context.get(key), wanted) for operator, keys in self.conditions.items() for key, wanted in keys.items())


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """A policy document."""

    statements: Sequence[Statement]

    def allows(self, asked: Asked) -> bool:
        """Tell whether IAM lets it through: some statement allows it, and none denies it."""
        effects = {one.effect for one in self.statements if one.covers(asked)}
        return "Allow" in effects and "Deny" not in effects

    def grants(self) -> set[tuple[str, str]]:
        """Return every (statement, action) that is allowed."""
        return {(one.sid, action) for one in self.statements if one.effect == "Allow" for action in one.actions}

    def used_by(self, asked: Asked) -> set[tuple[str, str]]:
        """Return the (statement, action) pairs that let something through."""
        return {
            (one.sid, action)
            for one in self.statements
            if one.effect == "Allow" and one.covers(asked)
            for action in one.actions
            if _like(asked.action, action)
        }


def read_policy(name: str) -> Policy:
    """Read deploy/iam/<name>.json."""
    document = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    assert document["Version"] == "2012-10-17"
    return Policy(statements=[_statement(one) for one in document["Statement"]])


def _statement(raw: Mapping[str, Any]) -> Statement:
    assert set(raw) <= {"Sid", "Effect", "Action", "Resource", "Condition"}, raw
    assert raw["Effect"] in {"Allow", "Deny"}
    return Statement(
        sid=raw["Sid"],
        effect=raw["Effect"],
        actions=_list(raw["Action"]),
        resources=_list(raw["Resource"]),
        conditions=raw.get("Condition", {}),
    )


def _list(value: Any) -> list[str]:
    return [value] if isinstance(value, str) else list(value)


def _meets(operator: str, value: str | None, wanted: Any) -> bool:
    """Judge one condition; a key that the call does not bring meets none of these."""
    if value is None:
        return False
    match operator:
        case "StringEquals":
            return value in _list(wanted)
        case "StringLike":
            return any(_like(value, one) for one in _list(wanted))
        case _:
            raise AssertionError(f"condition {operator} is not judged here")


def _like(text: str, pattern: str) -> bool:
    """Match * and ? as IAM does; square brackets mean themselves."""
    return fnmatchcase(text, pattern.replace("[", "[[]"))
