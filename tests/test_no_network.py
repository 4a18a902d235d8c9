"""No test, and no process that a test starts, can connect to another machine (tests/no_network)."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.tries_to_connect
ATTEMPTS: list[Callable[[], object]] = [
    lambda: socket.create_connection(("192.0.2.1", 80), timeout=1),
    lambda: socket.create_connection(("huggingface.co", 443), timeout=1),
    lambda: socket.getaddrinfo("huggingface.co", 443),
    lambda: socket.socket(socket.AF_INET6, socket.SOCK_STREAM).connect(("2001:db8::1", 80)),
    lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("192.0.2.1", 53)),
    lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(("192.0.2.1", 53)),
]


@pytest.fixture(autouse=True)
def record() -> Iterator[Path]:
    """The file that records attempts; it is emptied at the end, because the tests here make some on purpose."""
    path = Path(os.environ["FT_TOOLKIT_TEST_CONNECTIONS"])
    yield path
    path.write_text("")


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_a_connection_to_another_machine_is_refused_and_recorded(attempt: Callable[[], object], record: Path) -> None:
    with pytest.raises(PermissionError, match="a test tried to connect to"):
        attempt()
    assert record.read_text().count("\n") == 1


def test_a_connection_of_another_process_is_refused_and_recorded(record: Path) -> None:
    code = "import socket; socket.create_connection(('192.0.2.1', 80))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "PermissionError: a test tried to connect to '192.0.2.1'" in done.stderr
    assert "192.0.2.1" in record.read_text()


def test_connections_on_this_machine_are_allowed(record: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        for host in ("127.0.0.1", "localhost"):
            socket.create_connection((host, server.getsockname()[1]), timeout=5).close()
    first, second = socket.socketpair()
    first.close()
    second.close()
    assert record.read_text() == ""
