"""An exported text generator behind HTTP, without torch."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from serve_process import Running
from small_export import write_writer
from test_streaming import events_of


@pytest.fixture(scope="module")
def writer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder: Path = write_writer(tmp_path_factory.mktemp("served") / "writer")
    with Running(f"writer={folder}") as running:
        yield running


def test_the_text_arrives_word_by_word_up_to_the_stop_string(writer: Running) -> None:
    status, _, body = writer.send("POST", "/models/writer/stream", {"row": {"prompt": "w1 w11"}})
    *pieces, (kind, last) = events_of(body)
    assert (status, kind) == (200, "prediction") and len(pieces) > 4
    text = " w12 w13 w14 w15 w16 w17 "
    assert last["predictions"] == [{"continuation": text}]
    assert text.startswith("".join(piece["text"] for _, piece in pieces))
    whole = writer.send("POST", "/models/writer/predict", {"rows": [{"prompt": "w1 w11"}, {"prompt": "w16"}]})[2]
    assert [each["continuation"] for each in whole["predictions"]] == [text, " w17 "]


def test_a_row_is_a_prompt(writer: Running) -> None:
    (facts,) = writer.send("GET", "/models")[2]
    assert facts["can_stream"] and facts["columns"].keys() == {"prompt"} and facts["columns"]["prompt"]["required"]
    for row in ({}, {"text": "w1"}, {"prompt": "w1", "completion": "w2"}):
        assert writer.send("POST", "/models/writer/predict", {"rows": [row]})[0] == 422
