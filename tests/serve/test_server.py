"""A server as a real process, without torch: requests, refusals and operations."""

import json
import shutil
import signal
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from serve_process import TOKEN, Running
from small_export import write_export

from ft_toolkit import runtime
from ft_toolkit.serve.app import MODEL_FAILED

PREDICT = "/models/demo/predict"
LONG = "the lamp " * 30


def rows(*texts: Any) -> dict[str, Any]:
    return {"rows": [{"text": text} for text in texts]}


def test_answers_are_those_of_the_model(server: Running, first: Path) -> None:
    texts = ["good lovely lamp", "broken", "", "caf\u00e9 \u4f60\u597d \U0001f600"]
    status, headers, body = server.send("POST", PREDICT, rows(*texts))
    assert (status, body["model"], body["notes"]) == (200, "demo", [])
    expected = runtime.load(first)([{"text": text} for text in texts])
    assert [p["label"] for p in body["predictions"]] == [p["label"] for p in expected]
    for ours, theirs in zip(body["predictions"], expected, strict=True):
        assert ours["probabilities"] == pytest.approx(theirs["probabilities"], abs=2e-5)
    assert headers["x-content-type-options"] == "nosniff"
    pair = {"rows": [{"text": "good", "text_pair": "broken"}]}
    assert server.send("POST", PREDICT, pair)[0] == 200


# request -> status and a part of the message. The message never has the text of the request.
REFUSED: list[tuple[Any, int, str]] = [
    (b'{"rows": [', 422, "JSON decode error"),
    (b"", 422, "Field required"),
    (b"\xff\xfe{}", 422, "JSON decode error"),
    (b'{"rows": [{"text": NaN}]}', 422, "rows[0].text: Input should be a valid string"),
    (b'{"rows": [{"text": "\\ud800"}]}', 422, "rows[0].text"),
    (b"[" * 1900 + b"]" * 1900, 400, "error parsing the body"),
    (b'{"rows": ' + b'{"a":' * 300 + b"1" + b"}" * 300 + b"}", 422, "rows: Input should be a valid list"),
    ([], 422, "valid dictionary"),
    ("secret text", 422, "valid dictionary"),
    ({}, 422, "rows: Field required"),
    ({"rows": []}, 422, "at least 1 item"),
    ({"rows": [], "more": 1}, 422, "more: Extra inputs"),
    (rows(*"abcdef"), 422, "at most 5 items"),
    (rows(1), 422, "rows[0].text: Input should be a valid string"),
    (rows(None), 422, "rows[0].text"),
    (rows(["secret text"]), 422, "rows[0].text"),
    (rows("ok", LONG), 422, "rows[1].text: String should have at most 200 characters"),
    ({"rows": ["secret text"]}, 422, "rows[0]: Input should be"),
    ({"rows": [{"txet": "secret text"}]}, 422, "rows[0].txet: Extra inputs"),
    ({"rows": [{"text": "a"}, {"text": "b", "text_pair": "c"}]}, 422, "required in all rows"),
    (rows("x" * 5000), 413, "more than 4,000 bytes"),
    (b"x" * 20_000, 413, "more than 4,000 bytes"),
]


def test_wrong_requests_are_refused_with_a_reason(server: Running) -> None:
    for body, expected, message in REFUSED:
        status, _, content = server.send("POST", PREDICT, body)
        assert status == expected, (body, content)
        assert message in content["error"], (body, content)
        assert "secret" not in content["error"]
    assert server.send("POST", "/models/other/predict", rows("a"))[0] == 404
    assert server.send("GET", PREDICT)[0] == 405
    assert server.send("POST", "/models/demo/stream", {"row": {"text": "a"}})[0] == 404
    assert server.predict("demo", "still fine")[0] == 200


def test_a_row_on_which_the_model_fails_does_not_affect_others(server: Running) -> None:
    results: list[tuple[str, int, Any]] = []

    def send(text: str) -> None:
        results.append((text, *server.predict("demo", text)))

    threads = [threading.Thread(target=send, args=(text,)) for text in ("good", "crash", "bad lamp") * 6]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {(text, status) for text, status, _ in results} == {("good", 200), ("crash", 500), ("bad lamp", 200)}
    assert {body["error"] for text, _, body in results if text == "crash"} == {MODEL_FAILED}
    event = server.wait("prediction_failed")
    assert event["error"] == "ModelError" and any("session.py" in line for line in event["stack"])


def test_the_token_is_required_and_never_shown(server: Running) -> None:
    for wrong in ("", "Bearer", f"bearer {TOKEN}", f"Bearer {TOKEN}x", f"Bearer {TOKEN[:-1]}", "Bearer \u00fc", TOKEN):
        for method, path in (("POST", PREDICT), ("GET", "/models"), ("GET", "/metrics"), ("GET", "/openapi.json")):
            body = rows("a") if method == "POST" else None
            status, headers, content = server.send(method, path, body, authorization=wrong)
            assert status == 401, (wrong, path)
            assert headers["www-authenticate"] == "Bearer"
            assert TOKEN not in json.dumps(content)
    for path in ("/", "/page.js", "/page.css", "/health", "/ready"):
        assert server.send("GET", path, authorization="")[0] == 200
    command = Path(f"/proc/{server.process.pid}/cmdline")
    assert not command.exists() or TOKEN.encode() not in command.read_bytes()
    assert not any(TOKEN in line for line in server.lines)


def test_head_is_get_without_a_body(server: Running) -> None:
    for path in ("/", "/page.js", "/health", "/ready", "/metrics", "/models", "/openapi.json"):
        status, headers, body = server.send("HEAD", path)
        assert (status, body) == (200, ""), path
        assert headers["content-type"] == server.send("GET", path)[1]["content-type"]
    assert server.send("HEAD", "/metrics", authorization="")[0] == 401
    assert server.send("HEAD", PREDICT)[0] == 405
    assert server.send("HEAD", "/nowhere")[0] == 404


def test_slow_and_silent_clients_are_closed(server: Running) -> None:
    head = f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {TOKEN}\r\n".encode()
    unfinished = [b"", b"GET / HT", head, head + b"Content-Type: application/json\r\nContent-Length: 50\r\n\r\n{"]
    clients = [socket.create_connection(("127.0.0.1", server.port)) for _ in unfinished]
    for client, start in zip(clients, unfinished, strict=True):
        client.settimeout(10)
        client.sendall(start)
    assert server.predict("demo", "in between")[0] == 200
    for number, client in enumerate(clients):
        answer = b""
        while received := client.recv(1000):
            answer += received
        assert answer.startswith(b"HTTP/1.1 408"), number
        client.close()
    gone = socket.create_connection(("127.0.0.1", server.port))
    gone.sendall(head + b"Content-Type: application/json\r\nContent-Length: 26\r\n\r\n" + b'{"rows": [{"text": "gone"}')
    gone.close()
    broken = socket.create_connection(("127.0.0.1", server.port))
    broken.sendall(b"\x16\x03\x01 not http\r\n\r\n")
    assert broken.recv(100).startswith(b"HTTP/1.1 400")
    broken.close()
    assert server.predict("demo", "still fine")[0] == 200


def test_metrics_models_and_openapi(server: Running) -> None:
    server.predict("demo", "one", "two")
    families = {family.name: family for family in text_string_to_metric_families(server.send("GET", "/metrics")[2])}
    samples = {s.name: s.value for s in families["ftk_rows"].samples}
    assert samples["ftk_rows_total"] >= 2
    assert families["ftk_batch_seconds"].type == "histogram"
    version = families["ftk_model_info"].samples[0].labels["version"]
    assert {"ftk_requests", "ftk_request_seconds", "ftk_queue_rows", "process_resident_memory_bytes"} <= set(families)
    (facts,) = server.send("GET", "/models")[2]
    assert (facts["name"], facts["version"], facts["task"]) == ("demo", version, "text_classification")
    assert facts["columns"].keys() == {"text", "text_pair"}
    described = server.send("GET", "/openapi.json")[2]
    predict = described["paths"][PREDICT]["post"]
    schemas = described["components"]["schemas"]
    row = schemas["demo_row"]
    assert row["required"] == ["text"] and row["properties"]["text"]["maxLength"] == 200
    assert schemas["demo_request"]["properties"]["rows"]["maxItems"] == 5
    assert schemas["ScoredLabel"]["required"] == ["label", "score", "probabilities"]
    assert {"200", "401", "413", "422", "429", "503"} <= predict["responses"].keys()
    assert server.send("GET", "/health")[2] == {"status": "ok", "models": []}
    page, policy = server.send("GET", "/")[2], server.send("GET", "/")[1]["content-security-policy"]
    assert "unsafe" not in policy and "default-src 'none'" in policy
    assert "<style" not in page and "onclick" not in page and page.count("<script") == page.count("<script src=")


def test_the_log_has_facts_and_no_texts(server: Running) -> None:
    server.predict("demo", "a private sentence")
    _, headers, _ = server.send("POST", PREDICT, rows(["a private list"]))
    end = time.monotonic() + 10
    while not any(event.get("id") == headers["x-request-id"] for event in server.events) and time.monotonic() < end:
        time.sleep(0.02)
    good, bad = [event for event in server.events if event["event"] == "request"][-2:]
    assert (good["status"], good["rows"], good["route"], good["level"]) == (200, 1, PREDICT, "info")
    assert bad["status"] == 422
    assert not any("private" in line for line in server.lines)
    assert all(line.startswith("{") for line in server.lines)


def test_without_a_token_only_requests_for_this_machine_are_answered(first: Path) -> None:
    """A page of a browser, whose name was redirected to 127.0.0.1, could otherwise read predictions."""
    with Running(f"demo={first}", "--rate", 1, "--max-queue", 1) as server:
        assert server.send("GET", "/ready", host="example.org")[0] == 421
        for host in (f"localhost:{server.port}", "[::1]", "127.0.0.1"):
            assert server.send("GET", "/ready", host=host)[0] == 200
        assert server.predict("demo", "a")[0] == 200
        status, headers, body = server.send("POST", PREDICT, rows("b"))
        assert (status, headers["retry-after"]) == (429, "1")
        assert "requests per second" in body["error"]
        assert server.stop() == 0
        assert [event["event"] for event in server.events if event["event"] != "request"][-3:-1] == [
            "stopping",
            "stopped",
        ]


def test_a_new_version_is_taken_up_and_a_broken_one_is_not(first: Path, tmp_path: Path) -> None:
    pointer = tmp_path / "current"
    pointer.symlink_to(first)
    second = write_export(tmp_path / "second", 2)

    def point_to(folder: Path) -> dict[str, Any]:
        new = tmp_path / "new"
        new.symlink_to(folder)
        new.replace(pointer)
        return reload()

    def reload() -> dict[str, Any]:
        seen = len(server.events)
        server.process.send_signal(signal.SIGHUP)
        end = time.monotonic() + 30
        while time.monotonic() < end:
            done = [event for event in server.events[seen:] if event["event"].startswith("reload")]
            if done:
                return done[0]
            time.sleep(0.02)
        raise AssertionError(server.lines)

    with Running(f"demo={pointer}") as server:
        _, before = server.predict("demo", "good")
        assert reload()["event"] == "reload_unchanged"
        assert point_to(second)["event"] == "reloaded"
        _, after = server.predict("demo", "good")
        assert after["version"] != before["version"]
        assert after["predictions"] != before["predictions"]
        broken = tmp_path / "broken"
        broken.mkdir()
        failed = point_to(broken)
        assert failed["event"] == "reload_failed" and "not the folder of a finished run" in failed["error"]
        mixed = relabelled(write_export(tmp_path / "third", 3), tmp_path / "mixed")
        failed = point_to(mixed)
        assert failed["event"] == "reload_failed" and "answers differ from predictions.jsonl" in failed["error"]
        (mixed / "model" / "model.onnx").write_bytes(b"damaged")
        failed = reload()
        assert failed["event"] == "reload_failed" and "the graph cannot be loaded" in failed["error"]
        assert server.predict("demo", "good") == (200, after)
        assert 'ftk_reloads_total{model="demo",outcome="failed"} 3' in server.send("GET", "/metrics")[2]
        # back to the first version
        assert point_to(first)["event"] == "reloaded"
        assert server.predict("demo", "good") == (200, before)


def relabelled(export: Path, target: Path) -> Path:
    """Return a copy of an export whose saved predictions have another label, as those of other weights."""
    shutil.copytree(export, target)
    path = target / "predictions.jsonl"
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    for record in records:
        record["label"] = next(label for label in record["probabilities"] if label != record["label"])
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return target
