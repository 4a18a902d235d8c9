"""A head with other labels than the task is replaced; a head with the same labels is kept."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from ft_toolkit.models.new_head import head_note
from ft_toolkit.models.pretrained import load_model, load_tokenizer, read_pretrained
from ft_toolkit.tasks.text_classification import TASK


def head_of(folder: Path, labels: list[str], *, chosen: bool) -> tuple[Any, Any]:
    """Return the modules that are new, and the output layer of a model for these labels."""
    tokenizer = load_tokenizer(folder)
    rows = [{"text": "x", "label": label} for label in labels]
    settings = TASK.settings(labels=labels) if chosen else TASK.settings()
    schema = TASK.find_schema(settings, rows, None, read_pretrained(folder, tokenizer))
    loaded = load_model(folder, TASK, schema, tokenizer, dropout=None, seed=0)
    output = getattr(loaded.model, "classifier", None) or loaded.model.score
    return loaded.new_modules, output.weight.detach()


@pytest.mark.parametrize(
    ("saved", "labels", "chosen", "is_new"),
    [
        (["neg", "pos"], ["neg", "pos"], False, False),
        (["neg", "pos"], ["a_good", "b_bad"], False, True),
        (["neg", "pos"], ["a_good", "b_bad"], True, True),
        (["neg", "pos"], ["0", "1"], False, True),
        (["LABEL_0", "LABEL_1"], ["0", "1"], False, False),
        (["LABEL_0", "LABEL_1"], ["neg", "pos"], True, False),
        (["LABEL_0", "LABEL_1"], ["neg", "pos"], False, True),
    ],
)
@pytest.mark.parametrize("model", ["tiny_bert", "tiny_gpt2"])
def test_a_head_is_kept_only_for_its_own_labels(
    saved: list[str], labels: list[str], chosen: bool, is_new: bool, model: str, request: Any, tmp_path: Path
) -> None:
    source = request.getfixturevalue(model)
    torch.manual_seed(7)
    old = AutoModelForSequenceClassification.from_pretrained(source, num_labels=2, id2label=dict(enumerate(saved)))
    old.save_pretrained(tmp_path)
    load_tokenizer(Path(source)).save_pretrained(tmp_path)
    new_modules, weight = head_of(tmp_path, labels, chosen=chosen)
    before = (old.classifier if model == "tiny_bert" else old.score).weight.detach()
    assert bool(new_modules) == is_new
    assert torch.equal(weight, before) != is_new
    if is_new:
        assert weight.abs().max() > 0 and torch.equal(weight, head_of(tmp_path, labels, chosen=chosen)[1]), "seeded"


def test_a_note_names_both_sets_of_labels() -> None:
    raw = SimpleNamespace(id2label={0: "neg", 1: "pos"})
    note = head_note("a/model", raw, {0: "good", 1: "bad"})
    assert note is not None and "a/model: its head has the labels neg, pos, the rows have good, bad" in note
    assert (
        head_note("m", raw, {0: "pos", 1: "neg"})
        is head_note("m", raw, {0: "score"})
        is head_note("m", raw, {})
        is None
    )
    assert head_note("m", SimpleNamespace(id2label={0: "LABEL_0", 1: "LABEL_1"}), {0: "a", 1: "b"}) is None
