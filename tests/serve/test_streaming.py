"""Generated texts as server-sent events, from a model in torch."""

import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from serve_process import Running

import ft_toolkit

pytestmark = pytest.mark.slow
DOCUMENT = "The kettle leaks at the base and the lid does not close."


@pytest.fixture(scope="module")
def summarizer(tmp_path_factory: pytest.TempPathFactory, tiny: Any, here: Any) -> Path:
    """A run folder of a tiny T5 that writes long texts."""
    folder = tmp_path_factory.mktemp("served")
    row = {"document": DOCUMENT, "summary": "a kettle leaks"}
    (folder / "rows.jsonl").write_text((json.dumps(row) + "\n") * 8, encoding="utf-8")
    recipe = {
        "task": {"name": "summarization", "max_target_length": 64, "min_new_tokens": 60},
        "model": {"name": tiny("t5")},
        "data": {name: str(folder / "rows.jsonl") for name in ("train", "validation")} | {"max_length": 32},
        "training": {"learning_rate": 1e-2, "max_steps": 20, "examples_per_batch": 4, "mixed_precision": "no"},
        "evaluation": {"bootstrap_samples": 100, "baselines": []},
    }
    (folder / "tiny.yaml").write_text(json.dumps(recipe), encoding="utf-8")
    here("run", folder / "tiny.yaml", "--output", folder / "run")
    return folder / "run"


@pytest.fixture(scope="module")
def server(summarizer: Path) -> Iterator[Running]:
    with Running(f"summary={summarizer}", torch=True) as running:
        yield running


def events_of(text: str) -> list[tuple[str, Any]]:
    blocks = [block.split("\n") for block in text.strip().split("\n\n")]
    return [(kind.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for kind, data in blocks]


def test_the_pieces_are_the_text_of_the_prediction(server: Running, summarizer: Path) -> None:
    status, headers, body = server.send("POST", "/models/summary/stream", {"row": {"document": DOCUMENT}})
    assert (status, headers["content-type"]) == (200, "text/event-stream; charset=utf-8")
    *pieces, (kind, last) = events_of(body)
    assert kind == "prediction" and {kind for kind, _ in pieces} == {"text"} and len(pieces) > 3
    summary = last["predictions"][0]["summary"]
    assert summary.startswith("".join(piece["text"] for _, piece in pieces))
    assert {"summary": summary} == ft_toolkit.load(summarizer)({"document": DOCUMENT})
    status, _, whole = server.send("POST", "/models/summary/predict", {"rows": [{"document": DOCUMENT}]})
    assert (status, whole["predictions"]) == (200, [{"summary": summary}])


def test_an_invalid_row_and_a_lost_client(server: Running) -> None:
    assert server.send("POST", "/models/summary/stream", {"row": {}})[0] == 422
    body = json.dumps({"row": {"document": DOCUMENT}}).encode()
    head = server.head("/models/summary/stream", body)
    for _ in range(10):
        client = socket.create_connection(("127.0.0.1", server.port))
        client.sendall(head + body)
        client.recv(300)
        client.close()
    started = time.monotonic()
    assert server.send("POST", "/models/summary/predict", {"rows": [{"document": "short"}]})[0] == 200
    assert time.monotonic() - started < 20
    assert 'ftk_queue_rows{model="summary"} 0' in server.send("GET", "/metrics")[2]
