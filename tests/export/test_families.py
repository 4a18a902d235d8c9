"""Which model families can be exported as a graph: the table of the README, and an export for each "yes"."""

from pathlib import Path
from typing import Any

import pytest

from ft_toolkit.core.errors import ModelError
from ft_toolkit.export.graph import write_graph
from ft_toolkit.export.source import graph_refusal
from ft_toolkit.export.write_model import graph_facts
from ft_toolkit.models.pretrained import load_model, load_tokenizer, read_pretrained
from ft_toolkit.models.tiny import ARCHITECTURES
from ft_toolkit.tasks import find_tasks
from ft_toolkit.training.speedups.last_block import shorten_last_block

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
TASKS = [name for name, task in find_tasks().items() if graph_refusal(task) is None]
FAMILIES = {
    "bert": "BERT", "distilbert": "DistilBERT", "roberta": "RoBERTa", "albert": "ALBERT", "electra": "ELECTRA",
    "deberta-v2": "DeBERTa-v2", "modernbert": "ModernBERT", "gpt2": "GPT-2", "llama": "Llama", "t5": "T5", "bart": "BART",
    "marian": "Marian",
}  # fmt: skip
ENCODER_DECODERS = [name for name, made in ARCHITECTURES.items() if made.auto_class == "AutoModelForSeq2SeqLM"]


def test_the_readme_says_which_families_have_a_graph() -> None:
    assert FAMILIES.keys() == ARCHITECTURES.keys()
    lines = [f"| graph | {' | '.join(name.replace('_', ' ') for name in TASKS)} |", "|---|" + "---|" * len(TASKS)]
    for architecture, family in FAMILIES.items():
        cell = "-" if architecture in ENCODER_DECODERS else "yes"
        lines.append(f"| {family} | {' | '.join([cell] * len(TASKS))} |")
    assert "\n".join(lines) in README, "the table of the README should be:\n" + "\n".join(lines)


@pytest.mark.slow
@pytest.mark.parametrize("name", TASKS)
@pytest.mark.parametrize("architecture", [name for name in FAMILIES if name not in ENCODER_DECODERS])
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
    facts = graph_facts(tokenizer, task.graph, [*inputs, "attention_mask"])
    assert write_graph(model, tmp_path, facts, per_token=task.graph.per_token) < 1e-5


def test_tasks_without_a_graph_are_refused_with_the_reason() -> None:
    reasons = {name: graph_refusal(task) for name, task in find_tasks().items() if name not in TASKS}
    assert set(reasons) == {"language_modelling", "summarization", "text_generation", "translation"}
    assert all(reason is not None and reason.endswith("Use --format transformers") for reason in reasons.values())
    assert "token by token" in str(reasons["summarization"])


def test_a_graph_with_unknown_inputs_is_refused(tiny_bert: str, tmp_path: Path) -> None:
    tokenizer, task = load_tokenizer(Path(tiny_bert)), find_tasks()["ner"]
    assert task.graph is not None
    facts = graph_facts(tokenizer, task.graph, ["input_ids", "attention_mask", "bbox"])
    with pytest.raises(ModelError, match="inputs input_ids, attention_mask, bbox: a graph can have"):
        write_graph(None, tmp_path, facts, per_token=True)
