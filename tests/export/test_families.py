"""An export for each family and task of the README's table.

For generated texts, see test_generation_graph.py and test_language_models.py.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ft_toolkit.core.errors import ModelError
from ft_toolkit.export.graph import write_graph
from ft_toolkit.export.source import graph_refusal
from ft_toolkit.export.write_model import graph_facts
from ft_toolkit.models.pretrained import load_model, load_tokenizer, read_pretrained
from ft_toolkit.tasks import find_tasks
from ft_toolkit.training.speedups.last_block import shorten_last_block

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
TASKS = {name: task for name, task in find_tasks().items() if task.graph is not None}
FAMILIES = {
    "bert": "BERT", "distilbert": "DistilBERT", "roberta": "RoBERTa", "albert": "ALBERT", "electra": "ELECTRA",
    "deberta-v2": "DeBERTa-v2", "modernbert": "ModernBERT", "gpt2": "GPT-2", "llama": "Llama", "t5": "T5", "bart": "BART",
    "marian": "Marian",
}  # fmt: skip


def _table() -> list[list[str]]:
    """Return the cells of the README's table of families and tasks, which tests/test_contract.py checks."""
    lines = README[README.index("| | code generation |") :].split("\n\n")[0].splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def _supported() -> list[tuple[str, str]]:
    """Return the pairs of architecture and task that the table says "yes" to, without generated texts."""
    head, _, *rows = _table()
    names = {family: architecture for architecture, family in FAMILIES.items()}
    columns = [(i, name.replace(" ", "_")) for i, name in enumerate(head)]
    return [(names[row[0]], task) for row in rows for i, task in columns if task in TASKS and row[i] == "yes"]


def test_the_readme_says_what_has_a_graph() -> None:
    assert [name for name, task in find_tasks().items() if graph_refusal(task) is not None] == []
    assert 'writes a graph for every "yes" of this table' in README.replace("\n", " ")
    assert len(_supported()) > 25


@pytest.mark.slow
@pytest.mark.parametrize(("architecture", "name"), _supported())
def test_every_family_of_the_table_has_a_graph(architecture: str, name: str, tiny: Any, tmp_path: Path) -> None:
    folder, task = Path(tiny(architecture)), find_tasks()[name]
    assert task.graph is not None
    settings = task.settings(name=name)
    rows, _ = task.read_rows(task.sample_rows(settings), settings, "sample rows")
    tokenizer = load_tokenizer(folder)
    schema = task.find_schema(settings, rows, None, read_pretrained(folder, tokenizer))
    model = load_model(folder, task, schema, tokenizer, dropout=None, seed=3).model
    shorten_last_block(model)  # as a finished model is loaded
    inputs = task.encode(rows, tokenizer, schema, 48).inputs
    facts = graph_facts(tokenizer, task.graph.outputs, [*inputs, "attention_mask"])
    assert write_graph(model, tmp_path, facts, per_token=task.graph.per_token) < 1e-5


def test_a_task_without_a_graph_is_refused_with_the_reason() -> None:
    task = replace(find_tasks()["ner"], graph=None)
    assert "the task does not say how an exported model predicts. Use --format transformers" in str(graph_refusal(task))


def test_a_graph_with_unknown_inputs_is_refused(tiny_bert: str, tmp_path: Path) -> None:
    tokenizer, task = load_tokenizer(Path(tiny_bert)), find_tasks()["ner"]
    assert task.graph is not None
    facts = graph_facts(tokenizer, task.graph.outputs, ["input_ids", "attention_mask", "bbox"])
    with pytest.raises(ModelError, match="inputs input_ids, attention_mask, bbox: a graph can have"):
        write_graph(None, tmp_path, facts, per_token=True)
