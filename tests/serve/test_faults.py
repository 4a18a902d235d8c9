"""Overload, lost clients and signals: open requests are answered, others are refused, and nothing hangs or leaks."""

import contextlib
import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from serve_process import Running
from small_export import write_export

pytestmark = pytest.mark.slow
TEXT = "good lamp " * 30
PREDICT = "/models/slow/predict"


@pytest.fixture(scope="module")
def slow_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export that needs some tenths of a second for 64 rows."""
    return write_export(tmp_path_factory.mktemp("served") / "slow", 1, depth=3000)


@pytest.fixture
def server(slow_model: Path) -> Iterator[Running]:
    with Running(f"slow={slow_model}", "--max-queue", 128, "--max-rows", 128, "--max-connections", 40) as running:
        yield running


def rows(n: int) -> dict[str, Any]:
    return {"rows": [{"text": TEXT}] * n}


def in_threads(server: Running, bodies: list[dict[str, Any]]) -> list[tuple[int, dict[str, str], Any]]:
    """Send requests at the same time, and return the responses."""
    results: list[Any] = [None] * len(bodies)

    def send(number: int) -> None:
        results[number] = server.send("POST", PREDICT, bodies[number])

    threads = [threading.Thread(target=send, args=(number,)) for number in range(len(bodies))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    return results


def test_a_full_queue_is_refused_with_the_time_to_wait(server: Running) -> None:
    results = in_threads(server, [rows(60)] * 12)
    statuses = [status for status, _, _ in results]
    assert set(statuses) == {200, 503} and statuses.count(200) >= 2, statuses
    for status, headers, body in results:
        if status == 503:
            assert 1 <= int(headers["retry-after"]) <= 60 and "too many rows" in body["error"]
        else:
            assert len(body["predictions"]) == 60
    assert server.predict("slow", "good")[0] == 200


def test_small_requests_are_answered_while_a_large_one_runs(server: Running) -> None:
    large = threading.Thread(target=server.send, args=("POST", PREDICT, rows(128)))
    large.start()
    time.sleep(0.1)
    assert server.predict("slow", "good")[0] == 200
    large.join(60)
    assert not large.is_alive()


def test_an_error_in_a_later_batch_names_the_row_of_the_request(server: Running) -> None:
    body = rows(100)
    body["rows"][90] = {"text": "good", "text_pair": "bad"}
    status, _, content = server.send("POST", PREDICT, body)
    assert status == 422
    assert content["error"].startswith("row 65: column 'text_pair' is missing"), content


def test_too_many_connections_are_refused(server: Running) -> None:
    idle = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(45)]
    time.sleep(0.3)
    with pytest.raises((ConnectionError, AssertionError)):
        status, _, _ = server.send("GET", "/health")
        assert status != 503
    for client in idle:
        client.close()
    time.sleep(0.5)
    assert server.send("GET", "/health")[0] == 200


def test_lost_clients_leave_nothing_behind(server: Running) -> None:
    process = psutil.Process(server.process.pid)
    body = json.dumps(rows(64)).encode()
    head = server.head(PREDICT, body)
    server.predict("slow", TEXT)
    sizes = []
    for _ in range(3):
        for _ in range(30):
            client = socket.create_connection(("127.0.0.1", server.port))
            client.sendall(head + body)
            client.close()
        time.sleep(0.5)
        assert server.predict("slow", "good")[0] == 200
        sizes.append((process.memory_info().rss >> 20, process.num_fds(), process.num_threads()))
    assert 'ftk_queue_rows{model="slow"} 0' in server.send("GET", "/metrics")[2]
    assert sizes[2][0] - sizes[1][0] < 20, sizes
    # a connection may not be closed yet
    assert sizes[2][1] <= sizes[1][1] + 2 and sizes[2][2] == sizes[1][2], sizes
    assert any(event.get("status") == 499 for event in server.events)


def test_sigterm_finishes_open_requests(server: Running) -> None:
    results: list[Any] = []
    threads = [
        threading.Thread(target=lambda: results.append(server.send("POST", PREDICT, rows(40)))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    server.process.send_signal(signal.SIGTERM)
    server.wait("stopping")
    with pytest.raises(OSError):
        for _ in range(50):
            client = server.connect(5)
            client.connect()
            client.close()
            time.sleep(0.05)
    for thread in threads:
        thread.join(60)
    assert [status for status, _, _ in results] == [200] * 3
    assert server.process.wait(30) == 0


def test_requests_beyond_the_time_limits_end(slow_model: Path) -> None:
    options = ("--timeout", 0.2, "--stop-timeout", 0, "--max-rows", 256)
    with Running(f"slow={slow_model}", *options) as server:
        results = in_threads(server, [rows(256)] * 2)
        assert [status for status, _, _ in results] == [504] * 2
        assert "no answer within 0.2 seconds" in results[0][2]["error"]
        threading.Thread(target=lambda: socket_ends(server)).start()
        time.sleep(0.05)
        assert server.stop() in (0, 1)


def socket_ends(server: Running) -> None:
    """Send a request without its body, and wait until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", server.port)) as client, contextlib.suppress(ConnectionError):
        client.sendall(b"POST " + PREDICT.encode() + b" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{")
        client.recv(1000)


def test_no_request_is_lost_while_versions_change(tmp_path: Path) -> None:
    pointer = tmp_path / "current"
    versions = [write_export(tmp_path / str(seed), seed) for seed in (1, 2)]
    pointer.symlink_to(versions[0])
    results: list[tuple[int, str]] = []
    is_over = threading.Event()

    def send(server: Running) -> None:
        while not is_over.is_set():
            status, body = server.predict("demo", "good lamp")
            results.append((status, json.dumps(body)))

    with Running(f"demo={pointer}") as server:
        threads = [threading.Thread(target=send, args=(server,)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for number in range(1, 9):
            new = tmp_path / "new"
            new.symlink_to(versions[number % 2])
            new.replace(pointer)
            server.process.send_signal(signal.SIGHUP)
            end = time.monotonic() + 20
            while sum(event["event"] == "reloaded" for event in server.events) < number and time.monotonic() < end:
                time.sleep(0.02)
        is_over.set()
        for thread in threads:
            thread.join()
        assert sum(event["event"] == "reloaded" for event in server.events) == 8
    assert {status for status, _ in results} == {200}
    # each answer is the one of its version
    assert len({body for _, body in results}) == 2


def test_a_killed_server_can_be_started_again_on_its_port(slow_model: Path) -> None:
    with Running(f"slow={slow_model}") as server:
        client = server.connect(10)
        client.request("POST", PREDICT, json.dumps(rows(60)), {"content-type": "application/json"})
        time.sleep(0.1)
        server.process.kill()
        with pytest.raises((ConnectionError, TimeoutError)):
            client.getresponse()
        client.close()
        port = server.port
    with Running(f"slow={slow_model}", "--port", port) as server:
        assert server.predict("slow", "good")[0] == 200


def test_an_address_in_use_is_an_error(slow_model: Path, here: Any) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        refused = here("serve", slow_model, "--port", taken.getsockname()[1], check=False)
    assert refused.returncode == 2
    assert "Address already in use; stop the other server, or choose another --port" in refused.stderr
