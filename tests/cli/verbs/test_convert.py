"""The command `ftk convert`."""

import json


def test_the_command_prints_how_the_file_was_read(here, tmp_path):
    (tmp_path / "in.csv").write_bytes("Review;Stars\ncaf\u00e9;2\n".encode("cp1252"))
    words = ["--task", "text_classification", "--column", "text=Review", "--column", "label=Stars"]
    done = here("convert", tmp_path / "in.csv", tmp_path / "out.jsonl", *words)
    assert "note: columns are separated by semicolons" in done.stdout
    assert done.stdout.endswith("out.jsonl (1 row, read as csv)\n")
    assert json.loads((tmp_path / "out.jsonl").read_text(encoding="utf-8")) == {"text": "caf\u00e9", "label": "2"}
