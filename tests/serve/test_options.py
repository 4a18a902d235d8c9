"""The options of the server."""

from pathlib import Path

import pytest

from ft_toolkit.core.errors import UsageError
from ft_toolkit.serve.guard import ADDRESSES, Rate
from ft_toolkit.serve.options import Limits, ModelSource, Options, check_address, is_loopback, parse_models, read_token


def test_names_of_models(tmp_path: Path) -> None:
    (tmp_path / "a=b").mkdir()
    words = ["sst2=runs/demo", "runs/ner/", "qa=owner/model@v1", "owner/small", f"x={tmp_path}/a=b"]
    assert parse_models(words) == (
        ModelSource("sst2", "runs/demo"),
        ModelSource("ner", "runs/ner/"),
        ModelSource("qa", "owner/model@v1"),
        ModelSource("small", "owner/small"),
        ModelSource("x", f"{tmp_path}/a=b"),
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["a=runs/x", "a=runs/y"], "two models have the name 'a'"),
        (["runs/x", "other/x"], "two models have the name 'x'"),
        (["a b=runs/x"], "'a b' cannot be the name of a model"),
        (["../=runs/x"], "cannot be the name"),
        (["=runs/x"], "'' cannot be the name"),
        (["a="], "the folder of the model is missing"),
    ],
)
def test_wrong_names_are_refused(words: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        parse_models(words)


def test_a_weak_token_is_refused_without_being_shown() -> None:
    assert read_token({}) is None
    assert read_token({"FTK_SERVE_TOKEN": "x" * 16}) == "x" * 16
    for weak in (
        "",
        "mellon",
        "with a space in the text",
        "sn\u00f6wfl\u00e4ke-sn\u00f6wfl\u00e4ke",
        "line\nbreak-line-break",
    ):
        with pytest.raises(UsageError) as refused:
            read_token({"FTK_SERVE_TOKEN": weak})
        assert not weak or weak not in str(refused.value)
    options = Options((), "127.0.0.1", 1, Limits(), "x" * 16)
    assert "xxxx" not in repr(options)


def test_other_machines_need_a_token() -> None:
    for host in ("127.0.0.1", "127.8.8.8", "::1", "localhost"):
        assert is_loopback(host)
        check_address(host, None)
    for host in ("0.0.0.0", "::", "10.1.2.3", "example.org", "localhost.example.org", ""):
        assert not is_loopback(host)
        check_address(host, "x" * 16)
        with pytest.raises(UsageError, match="requires a token"):
            check_address(host, None)


def test_the_rate_is_counted_per_address() -> None:
    rate = Rate(2.0)
    assert [rate.wait_seconds("a") > 0 for _ in range(3)] == [False, False, True]
    assert rate.wait_seconds("b") == 0
    assert 0 < rate.wait_seconds("a") <= 0.5
    for number in range(ADDRESSES + 10):
        rate.wait_seconds(str(number))
    assert len(rate._buckets) == ADDRESSES
