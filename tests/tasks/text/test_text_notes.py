"""Notes on texts that the prefix, the prompt or the tokenizer changes."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from ft_toolkit.api import load
from ft_toolkit.models.pretrained import load_tokenizer, read_pretrained
from ft_toolkit.tasks import find_tasks

TASKS = find_tasks()


def notes(task_name: str, folder: str, texts: list[tuple[str, str]], **settings: Any) -> list[str]:
    task = TASKS[task_name]
    tokenizer = load_tokenizer(Path(folder))
    names = ("source", "target") if task_name == "translation" else ("document", "summary")
    rows = [dict(zip(names, pair, strict=True)) for pair in texts]
    schema = task.find_schema(task.settings(**settings), rows, None, read_pretrained(Path(folder), tokenizer))
    return task.notes(rows, task.encode(rows, tokenizer, schema, 64), tokenizer, schema)


@pytest.mark.parametrize(
    ("task", "architecture", "settings", "texts", "note"),
    [
        (
            "summarization",
            "t5",
            {},
            ["summarize: a", "Summarize: b", "c"],
            "2 of 3 texts begin with 'summarize:' already, and task.prefix adds it again; remove it from the texts, or set "
            'task.prefix=""',
        ),
        ("summarization", "t5", {"prefix": ""}, ["summarize: a"], None),
        ("summarization", "t5", {}, ["a summarize: b"], None),
        (
            "translation",
            "t5",
            {"source_language": "en", "target_language": "de"},
            ["translate English to German: a"],
            "1 of 1 texts begin with 'translate English to German:' already",
        ),
        ("translation", "marian", {"prefix": ">>deu<< "}, [">>deu<< a"], "1 of 1 texts begin with '>>deu<<' already"),
        (
            "summarization",
            "gpt2",
            {},
            ["a\n\nTL;DR:", "b tl;dr:"],
            "2 of 2 texts end with 'TL;DR:' already, and task.prompt",
        ),
        (
            "translation",
            "gpt2",
            {"source_language": "en", "target_language": "de"},
            ["English: a"],
            "1 of 1 texts begin with 'English:' already, and task.prompt adds it again; remove it from the texts, or set "
            "task.prompt to a text without it",
        ),
    ],
)
def test_doubled_prefixes(
    task: str, architecture: str, settings: Any, texts: list[str], note: str | None, tiny: Any
) -> None:
    found = notes(task, tiny(architecture), [(text, "x") for text in texts], max_target_length=8, **settings)
    assert len(found) == (note is not None)
    assert all(text.startswith(str(note)) for text in found)


def test_targets_that_the_tokenizer_changes(tiny: Any) -> None:
    pairs = [("a", "the lamp"), ("b", "The Lamp is broken"), ("c", "灯")]
    (note,) = notes("summarization", tiny("bert"), pairs, max_target_length=20)
    assert note.startswith(
        "the tokenizer changes 2 of the first 3 targets, so the model cannot generate them as they are"
    )
    assert "'The Lamp is broken' becomes 'the lamp is broken'" in note
    assert notes("summarization", tiny("t5"), pairs, max_target_length=20) == []


def test_a_loaded_model_warns_of_a_doubled_prefix(tiny: Any, tmp_path: Path) -> None:
    folder, task = tmp_path / "model", TASKS["summarization"]
    shutil.copytree(tiny("t5"), folder)
    settings = task.settings(max_target_length=4)
    schema = task.find_schema(settings, [], None, read_pretrained(folder, load_tokenizer(folder)))
    contract = {
        "task": "summarization",
        "schema": asdict(schema),
        "settings": {"name": "summarization"},
        "max_length": 32,
    }
    contract |= {"mixed_precision": "no", "tokens_per_batch": 512, "base_model": None}
    (folder / "inference.json").write_text(json.dumps(contract), encoding="utf-8")
    with pytest.warns(
        UserWarning, match=r"1 of 2 texts begin with 'summarize:' already, and task.prefix adds it again"
    ):
        assert len(load(folder)(["summarize: the lamp", "the lamp"])) == 2
