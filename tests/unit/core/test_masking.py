"""What looks like a secret is not shown; what does not is shown as it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platyspark_provider.core.masking import MASK, hidden, masked, masked_text


@pytest.mark.parametrize(
    "key",
    ["spark.hadoop.fs.s3a.secret.key", "spark.db.password", "spark.hadoop.fs.s3a.access.key", "api_key", "github.token", "PrivateKey"],
)
def test_masked_hides_values_of_keys_that_sound_secret(key: str) -> None:
    assert masked({key: "hunter2"}) == {key: MASK}
    assert masked([{"Properties": {key: "hunter2"}}]) == [{"Properties": {key: MASK}}]
    assert masked({key: ["hunter2"]}) == {key: [MASK]}


def test_masked_leaves_other_values_and_types() -> None:
    values = {"spark.executor.memory": "8g", "count": 3, "flag": True, "none": None, "credentials.provider": "com.acme.Provider"}
    assert masked(values) == values


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("jdbc:postgresql://h/db?user=u&password=hunter2&ssl=1", f"jdbc:postgresql://h/db?user=u&password={MASK}&ssl=1"),
        ("https://user:hunter2@host/path", f"https://user:{MASK}@host/path"),
        ("-Dtoken=hunter2", f"-Dtoken={MASK}"),
        ("s3://bucket/key=2026/part", "s3://bucket/key=2026/part"),
    ],
)
def test_masked_text_hides_what_stands_behind_a_telling_word(text: str, shown: str) -> None:
    assert masked_text(text) == shown
    assert masked({"url": text}) == {"url": shown}


@given(st.dictionaries(st.text(), st.text(min_size=1)))
def test_hidden_keeps_names_and_no_value(values: dict[str, str]) -> None:
    assert hidden(values) == dict.fromkeys(values, MASK)
