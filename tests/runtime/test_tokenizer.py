"""The tokenizer of the runtime gives the tokens of transformers, for every family."""

from pathlib import Path
from typing import Any

import pytest

from ft_toolkit.core.export_records import ExportedGraph
from ft_toolkit.export.write_model import graph_facts
from ft_toolkit.models.pretrained import load_tokenizer
from ft_toolkit.models.tiny import ARCHITECTURES
from ft_toolkit.runtime.tokenizer import RuntimeTokenizer
from ft_toolkit.tasks import find_tasks

TEXTS = [
    "the lamp is late",
    "",
    " two  spaces\n",
    "caf\u00e9 CAFE\u0301 \u4f60\u597d \U0001f600",
    "[SEP] </s> <unk> [MASK]",
    "x" * 300,
]
LISTS = {"return_offsets_mapping": True, "return_special_tokens_mask": True}


def _as_lists(encodings: Any) -> dict[str, list[Any]]:
    return {
        name: [each if isinstance(each, int) else list(each) for each in lists] for name, lists in encodings.items()
    }


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_tokens_of_every_family(architecture: str, tiny_tokenizer: Any, tmp_path: Path) -> None:
    tokenizer = load_tokenizer(tiny_tokenizer(architecture))
    task = find_tasks()["text_classification"]
    assert task.graph is not None
    facts: ExportedGraph = graph_facts(tokenizer, task.graph.outputs, ["input_ids"])
    tokenizer.backend_tokenizer.save(str(tmp_path / "tokenizer.json"))
    ours = RuntimeTokenizer(tmp_path, facts)
    for role in ("pad", "unk", "bos", "eos", "cls", "sep"):
        assert getattr(ours, f"{role}_token_id") == getattr(tokenizer, f"{role}_token_id"), role
    for options in (
        {},
        {"return_attention_mask": False},
        {"add_special_tokens": False, **LISTS},
        {"truncation": True, "max_length": 7, **LISTS},
        {"truncation": True, "max_length": 7, "return_overflowing_tokens": True, **LISTS},
    ):
        for pairs in (None, TEXTS[::-1]):
            expected, given = tokenizer(TEXTS, pairs, **options), ours(TEXTS, pairs, **options)
            assert _as_lists(given) == _as_lists(expected)
            windows = range(len(given["input_ids"]))
            assert [given.sequence_ids(i) for i in windows] == [expected.sequence_ids(i) for i in windows]
    assert list(ours("the lamp", "is late")["input_ids"]) == list(tokenizer("the lamp", "is late")["input_ids"])
