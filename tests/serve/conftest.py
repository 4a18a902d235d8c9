"""A small exported model, and a server of it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from serve_process import TOKEN, Running
from small_export import write_export


@pytest.fixture(scope="session")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an exported classifier."""
    return write_export(tmp_path_factory.mktemp("served") / "first", 1)


@pytest.fixture(scope="module")
def server(first: Path) -> Iterator[Running]:
    """A server with a token and small limits, in a process without torch."""
    options = ("--max-rows", 5, "--max-characters", 200, "--max-body", 4000, "--read-timeout", 1, "--timeout", 20)
    with Running(f"demo={first}", *options, token=TOKEN) as running:
        yield running
