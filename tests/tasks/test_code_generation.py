"""Code generation: rows, what the model reads, where a body ends, scores, and tests that need two consents."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ft_toolkit.core.errors import DataError, UsageError
from ft_toolkit.core.limited_program import refusal
from ft_toolkit.models.pretrained import load_tokenizer, read_pretrained
from ft_toolkit.tasks import code_generation as task
from ft_toolkit.tasks.text.nearest import nearest_rows
from ft_toolkit.tasks.text.token_targets import IGNORED

PROMPT = 'def double(x):\n    """Return 2 x."""'
ROW = {"id": "1", "prompt": PROMPT, "body": "    return 2 * x", "tests": "assert double(3) == 6"}
NO_SCORES = {"nll": None, "tokens": 0, "bytes": 0, "correct": 0}
needs_limits = pytest.mark.skipif(refusal() is not None, reason=f"code cannot run with limits here: {refusal()}")


def read(*rows: Any, where: str = "rows.jsonl") -> tuple[list[Any], list[str]]:
    checked, notes = task.read_rows(rows, task.Settings(), where)
    return list(checked), notes


def schema_for(folder: str, **settings: Any) -> Any:
    tokenizer = load_tokenizer(Path(folder))
    return task.find_schema(task.Settings(**settings), read(ROW)[0], None, read_pretrained(Path(folder), tokenizer))


def test_the_loss_covers_the_body_and_the_end_token(tiny_gpt2: str) -> None:
    tokenizer, schema = load_tokenizer(Path(tiny_gpt2)), schema_for(tiny_gpt2)
    features = task.encode(read({**ROW, "prompt": PROMPT + "  \n\n"})[0], tokenizer, schema, 200)
    (ids,), (target,) = features.inputs["input_ids"], features.targets
    learned = [token for token in target if token != IGNORED]
    assert tokenizer.decode(learned) == f"    return 2 * x{tokenizer.eos_token}"
    assert tokenizer.decode(ids[1:]) == f"{PROMPT}\n    return 2 * x{tokenizer.eos_token}"


def test_line_ends_and_blank_lines_around_a_body_are_removed() -> None:
    (row,), notes = read({"prompt": "def f():\r\n", "body": "\r\n\r\n    a = 1\r\n\r\n    return a  \r\n\r\n"})
    assert row["body"] == "    a = 1\n\n    return a" and row["prompt"] == "def f():\n" and notes == []
    (row,), _ = read({"prompt": "def größe():", "body": "\treturn 'ö'", "tests": None})
    assert row["tests"] == "" and row["body"] == "\treturn 'ö'"


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": 5}, "column 'prompt' must be text; found 5"),
        ({"prompt": " "}, "column 'prompt' must be text; found ' '"),
        ({"prompt": None}, "column 'prompt' must be text; found None"),
        ({"body": ["    pass"]}, "column 'body' must be text; found ['    pass']"),
        ({"body": "\n"}, "column 'body' must be text"),
        ({"body": None}, "column 'body' is missing"),
        (
            {"body": "return 1"},
            "column 'body' must be indented as in the file, below its signature; its first line is 'return 1'",
        ),
        ({"tests": 3.5}, "column 'tests' must be text; found 3.5"),
    ],
)
def test_wrong_rows_are_refused(row: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError) as refused:
        read(ROW, {**ROW, "id": "x", **row}, where="a.jsonl")
    assert str(refused.value).startswith("a.jsonl: row 2 (id x): ") and message in str(refused.value)


def test_notes_on_bodies_that_cannot_be_written_or_tested() -> None:
    _, notes = read(
        {**ROW, "body": '    x = """\nleft"""\n    return x'},
        {**ROW, "prompt": "def f(x:"},
        {**ROW, "tests": "def check(candidate):\n    assert candidate(1) == 2"},
        {**ROW, "tests": "def check(candidate):\n    assert candidate(1) == 2\n\ncheck(double)"},
    )
    assert [note.split(" ")[0] for note in notes] == ["1", "1", "1"]
    assert "indented less" in notes[0] and "not valid Python" in notes[1] and "define a function check" in notes[2]


def test_rows_to_predict_need_no_body() -> None:
    rows, notes = task.read_rows([{"prompt": PROMPT}, ROW], None, "x")
    assert all("body" not in row for row in rows) and "1 of 2 rows have no 'body'" in notes[0]
    assert task.read_rows([{"prompt": PROMPT, "body": None}], None, "x") == ([{"prompt": PROMPT}], [])


def test_generation_stops_at_the_left_margin_and_a_shallower_line_is_cut(tiny_gpt2: str) -> None:
    schema = schema_for(tiny_gpt2, stop_strings=["# end"])
    assert {"# end", "\ndef"[:2], "\n#", "\n@", "\n)"} <= set(schema.decoding.stop_strings)
    assert not any(stop.endswith((" ", "\t")) for stop in schema.decoding.stop_strings)
    assert schema_for(tiny_gpt2, num_beams=2).decoding.stop_strings == ()
    features = task.encode([{"prompt": PROMPT}], load_tokenizer(Path(tiny_gpt2)), schema, 100)
    (prediction,) = task.decode(
        [(None, [["\n    a = 1\n\n    b\n  c\n    d"]])], features, [{"prompt": PROMPT}], schema
    )
    assert prediction == {"code": "    a = 1\n\n    b"}


def test_scores_of_the_first_sample(tiny_gpt2: str) -> None:
    rows, _ = read(ROW, ROW, ROW, ROW)
    written = ["    return 2 * x  \n", "    return 3 * x", "    return (", ""]
    arrays = task.to_arrays([{"code": text, **NO_SCORES} for text in written], rows, schema_for(tiny_gpt2))
    metrics = task.metrics(task.Settings())
    assert list(metrics) == [
        *("perplexity", "loss_per_token", "bits_per_byte", "accuracy"),
        *("exact_match", "edit_similarity", "parses"),
    ]

    def per_row(name: str) -> list[float]:
        return [metrics[name].fn(arrays[0][i : i + 1], arrays[1][i : i + 1]) for i in range(4)]

    assert per_row("exact_match") == [1, 0, 0, 0]
    assert per_row("edit_similarity") == pytest.approx([1, 1 - 1 / 16, 1 - 5 / 16, 0])
    assert per_row("parses") == [1, 1, 0, 0]
    assert task.details(*arrays, schema_for(tiny_gpt2)) == {"code": {"bodies": 4, "not valid Python": 2}}


def test_tests_need_the_recipe_and_the_environment(
    tiny_gpt2: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(task.RUN_GENERATED_CODE, raising=False)
    with pytest.raises(UsageError, match=r"task.run_tests=true runs, on this machine, code that the model wrote"):
        schema_for(tiny_gpt2, run_tests=True)
    rows, _ = read(ROW)
    decoded = [{"code": "    return 2 * x", **NO_SCORES}]
    monkeypatch.setattr(task.limited_program, "run_limited", lambda source: pytest.fail("generated code was run"))
    monkeypatch.setenv(task.RUN_GENERATED_CODE, "1")
    arrays, _ = task.to_arrays(decoded, rows, schema_for(tiny_gpt2))
    assert np.isnan(arrays[0, -3:]).all(), "not asked for by the recipe"
    asked = task.load_schema(schema_json(schema_for(tiny_gpt2), run_tests=True))
    monkeypatch.delenv(task.RUN_GENERATED_CODE)
    arrays = task.to_arrays(decoded, rows, asked)
    assert np.isnan(arrays[0][0, -3:]).all(), "not allowed by the environment, such as for the folder of a stranger"
    assert "not run" in task.details(*arrays, asked)["tests"]


def schema_json(schema: Any, **changes: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return {**json.loads(json.dumps(asdict(schema))), **changes}


@needs_limits
@pytest.mark.processes
def test_samples_are_tested_with_limits(tiny_gpt2: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(task.RUN_GENERATED_CODE, "1")
    schema = schema_for(tiny_gpt2, run_tests=True, do_sample=True, num_return_sequences=5)
    rows, _ = read(ROW, ROW, {**ROW, "tests": " "})
    right, wrong, cheat = "    return 2 * x", "    return 3 * x", "    import os\n    os._exit(0)"
    samples = [[right, wrong, cheat, right, "    return ("], [wrong] * 5, [right] * 5]
    decoded = [{"code": texts[0], "samples": texts, **NO_SCORES} for texts in samples]
    arrays = task.to_arrays(decoded, rows, schema)
    assert arrays[0][:, -3:-1].tolist()[:2] == [[5, 2], [5, 0]] and np.isnan(arrays[0][2, -3:]).all()
    metrics = task.metrics(task.Settings(run_tests=True, do_sample=True, num_return_sequences=5))
    assert metrics["pass_at_1"].fn(*arrays) == pytest.approx(0.2)
    assert metrics["pass_at_5"].fn(*arrays) == pytest.approx(0.5)
    assert metrics["pass_at_5"].fn(arrays[1], arrays[1]) == 1
    expected = {"rows with tests": 2, "programs": 10, "passed": 2, "timed out": 0, "failed": 8}
    assert task.details(*arrays, schema)["tests"] == expected


@needs_limits
@pytest.mark.processes
def test_the_true_bodies_of_the_card_pass_their_tests() -> None:
    folder = Path(__file__).parents[2] / "data_cards" / "small_functions"
    rows = [json.loads(line) for path in sorted(folder.glob("*.jsonl")) for line in path.read_text().splitlines()]
    programs = "\n".join(f"{row['prompt']}\n{row['body']}\n{row['tests']}\n" for row in rows)
    assert task.limited_program.run_limited(programs) == "passed"
    assert len({row["id"] for row in rows}) == len({row["prompt"] for row in rows}) == 61
    assert read(*rows)[1] == []


def test_baselines_copy_bodies() -> None:
    rows, _ = read(
        ROW,
        {"prompt": 'def last_item(items):\n    """Return the last item."""', "body": "    return items[-1]"},
        {"prompt": "def a():", "body": "    pass"},
        {"prompt": "def b():", "body": "    pass"},
    )
    asked = [{"prompt": 'def get_last(items):\n    """Return the last of the items."""'}]
    answers = {
        name: task.TASK.baselines[name].predict(rows, asked, None, 0)[0]["code"]
        for name in ("nearest", "frequent_body")
    }
    assert answers == {"nearest": "    return items[-1]", "frequent_body": "    pass"}
    assert nearest_rows(["?", "!"], ["?"]) == [0], "texts without a word"
