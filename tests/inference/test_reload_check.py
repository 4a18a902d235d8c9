"""The reload check of a complete run."""

import json

import pytest


@pytest.mark.slow
def test_a_label_with_a_line_separator_does_not_split_a_prediction(write_recipe, here, tmp_path):
    """The fresh process writes its predictions as JSON lines, where U+2028 inside a text is no line end."""
    rows = [{"text": f"{word} {i}", "label": f"{word}\u2028x"} for i in range(8) for word in ("good", "bad")]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    files = dict.fromkeys(("data__train", "data__validation", "data__test"), str(tmp_path / "rows.jsonl"))
    here("run", write_recipe(**files, training__max_steps=1), "--output", tmp_path / "run")
    check = json.loads((tmp_path / "run/results.json").read_text(encoding="utf-8"))["reload_proof"]
    assert check["rows"] == len(rows)
