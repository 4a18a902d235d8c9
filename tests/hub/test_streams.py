"""`data.stream_rows` with a data set on a Hub on loopback: only the files that are needed are read."""

import json

import pytest
import yaml

ROWS = [f"row {i} of the stream, {'lamp ' * (i % 7)}" for i in range(60)]
FILES = [f"train-{number}.jsonl" for number in range(3)]


def lines(texts):
    return "".join(json.dumps({"text": text}) + "\n" for text in texts)


@pytest.fixture
def recipe(tiny_gpt2, tmp_path):
    """A recipe that reads 12 rows at a time, from `data` in the recipe's folder."""
    (tmp_path / "held_out.txt").write_text("a text\nanother text\n", encoding="utf-8")
    values = {
        "task": "language_modelling",
        "model": {"name": tiny_gpt2},
        "data": {"stream_rows": 12, "max_length": 16},
        "training": {"learning_rate": 1e-3, "examples_per_batch": 4, "max_steps": 20, "logging_steps": 1},
        "evaluation": {"bootstrap_samples": 100, "baselines": [], "eval_steps": 20},
    }
    path = tmp_path / "recipe.yaml"
    path.write_text(yaml.safe_dump(values), encoding="utf-8")
    return path


@pytest.mark.slow
def test_a_run_reads_only_the_files_that_it_trains_on(recipe, server, ftk, tmp_path):
    shards = {name: lines(ROWS[20 * number : 20 * number + 20]).encode() for number, name in enumerate(FILES)}
    validation = {"validation.jsonl": lines(["a text", "another text"]).encode()}
    server.hub.put("dataset", "alice/texts", shards | validation)
    (tmp_path / "rows.jsonl").write_text(lines(ROWS), encoding="utf-8")
    local = ftk("run", recipe, "--output", "local", "data.train=rows.jsonl", "data.validation=held_out.txt")
    assert local.returncode == 0, local.stderr
    streamed = ftk("run", recipe, "--output", "streamed", "data.hub=alice/texts")
    assert streamed.returncode == 0, streamed.stderr
    weights = [(tmp_path / run / "model/model.safetensors").read_bytes() for run in ("local", "streamed")]
    assert weights[0] == weights[1]
    assert json.loads((tmp_path / "streamed/results.json").read_text())["training"]["stream"]["rows"] == 36
    requested = {request.path.rpartition("/")[2] for request in server.hub.log if "/resolve/" in request.path}
    assert {name: name in requested for name in FILES} == dict(zip(FILES, [True, True, False], strict=True))
