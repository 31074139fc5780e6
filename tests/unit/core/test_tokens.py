"""What a token may be called and may open."""

import pytest

from platyspark_provider.core.tokens import check_token, hash_of_secret
from platyspark_provider.errors import InvalidRequest


@pytest.mark.parametrize(
    ("name", "scopes", "teams", "message"),
    [
        ("", ["worker"], [], "no token name"),
        ("a b", ["worker"], [], "no token name"),
        ("x", [], [], "needs a scope"),
        ("x", ["wroker"], [], "Did you mean 'worker'"),
        ("x", ["reconciler"], ["ads"], "acts on the applications of all teams"),
        ("x", ["worker"], ["a b"], "'a b' is no team name"),
    ],
)
def test_check_token_with_a_mistake_names_it(name: str, scopes: list[str], teams: list[str], message: str) -> None:
    with pytest.raises(InvalidRequest, match=message):
        check_token(name, scopes, teams)


def test_check_token_of_a_teams_worker_token_is_fine() -> None:
    check_token("ads-workers.1", ["worker", "scrape"], ["ads"])


def test_hash_of_secret_is_one_way_and_stable() -> None:
    assert hash_of_secret("a") == hash_of_secret("a") != hash_of_secret("b")
    assert "a" * 3 not in hash_of_secret("aaa")[:3]
