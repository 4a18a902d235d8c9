"""The task contract, over every task found and every kind of checkpoint it takes.

encode -> pad -> the loss is a sum -> gradients reach every trainable weight -> a perfect prediction has the best score ->
any batching gives the same total loss and the same predictions -> saved and loaded it predicts the same.
"""

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from accelerate import Accelerator
from transformers import AutoConfig

from ft_toolkit.core.errors import ModelError
from ft_toolkit.data import stored_features
from ft_toolkit.evaluation.predictor import Predictor
from ft_toolkit.inference.reload_check import _largest_difference
from ft_toolkit.models.adapters import attach, head_modules
from ft_toolkit.models.pretrained import PAIR, load_model, load_tokenizer, read_pretrained
from ft_toolkit.models.tiny import ARCHITECTURES
from ft_toolkit.recipe.methods import FreezeMethod, FullMethod, Ia3Method, LoraMethod
from ft_toolkit.tasks import find_tasks
from ft_toolkit.tasks.base import Features, Task
from ft_toolkit.tasks.display.prediction_form import AnyKeys
from ft_toolkit.training.collate import make_collate

pytestmark = pytest.mark.trains

SETTINGS: dict[str, list[dict[str, Any]]] = {
    "text_classification": [
        {},
        {"class_weights": "balanced"},
        {"class_weights": "sqrt", "focal_gamma": 2.0, "label_smoothing": 0.1},
        {"problem_type": "multi_label_classification"},
        {
            "problem_type": "multi_label_classification",
            "class_weights": "balanced",
            "focal_gamma": 2.0,
            "label_smoothing": 0.1,
        },
        {"problem_type": "regression"},
        {"long_texts": "windows"},
    ],
    "ner": [{}, {"stride": 4}, {"class_weights": "sqrt", "focal_gamma": 2.0, "label_smoothing": 0.1}],
    "generative_question_answering": [
        {"max_target_length": 12},
        {"max_target_length": 12, "num_beams": 2},
        {"max_target_length": 12, "label_smoothing": 0.1},
    ],
    "summarization": [
        {"max_target_length": 12},
        {"max_target_length": 12, "num_beams": 2},
        {"max_target_length": 12, "label_smoothing": 0.1},
    ],
    "code_generation": [
        {"max_new_tokens": 8},
        {"max_new_tokens": 6, "do_sample": True, "num_return_sequences": 2},
    ],
    "dialogue": [{"max_new_tokens": 8}],
    "text_generation": [
        {"max_new_tokens": 12},
        {"max_new_tokens": 6, "do_sample": True, "top_p": 0.9, "num_return_sequences": 2},
        {"max_new_tokens": 6, "num_beams": 2, "no_repeat_ngram_size": 2},
    ],
    "translation": [{"max_target_length": 12, "source_language": "en", "target_language": "de"}],
}
METHODS = [
    FullMethod(),
    LoraMethod(name="lora", target_modules="all-linear"),
    LoraMethod(name="lora", target_modules="attention"),
    LoraMethod(name="dora"),
    Ia3Method(name="ia3"),
    FreezeMethod(name="freeze", frozen_layers=1),
    FreezeMethod(name="freeze", frozen_layers="all"),
]


def taken_by(task: Task, architecture: str) -> bool:
    """Say whether transformers has a model of this architecture for the task."""
    made = ARCHITECTURES[architecture]
    kinds = {"AutoModelForMaskedLM": "encoder", "AutoModelForCausalLM": "decoder"}
    auto_class = task.auto_class.get(kinds.get(made.auto_class, "encoder-decoder"))
    if auto_class is None or not hasattr(transformers, auto_class):
        return False
    config = type(AutoConfig.for_model(architecture))
    if auto_class == PAIR:  # an encoder that can be a decoder, too
        auto_class = "AutoModelForCausalLM"
    mapping = getattr(getattr(transformers, auto_class), "_model_mapping", None)
    return mapping is None or config in mapping


CASES = [
    pytest.param(task, settings, model, id=f"{name}-{'-'.join(map(str, settings.values())) or 'default'}-{model}")
    for name, task in find_tasks().items()
    for number, settings in enumerate(SETTINGS.get(name, [{}]))
    for model in ARCHITECTURES
    if taken_by(task, model) and (number == 0 or model in ("bert", "gpt2"))
]


class Case:
    """A task's sample rows, encoded for a tiny model."""

    def __init__(self, task: Task, settings: dict[str, Any], folder: str) -> None:
        self.task = task
        self.settings = task.settings(name=task.name, **settings)
        self.rows, _ = task.read_rows(task.sample_rows(self.settings), self.settings, "sample rows")
        self.tokenizer = load_tokenizer(Path(folder))
        pretrained = read_pretrained(Path(folder), self.tokenizer)
        self.schema = task.find_schema(self.settings, self.rows, None, pretrained)
        self.features = task.encode(self.rows, self.tokenizer, self.schema, 48)
        self.loaded = load_model(Path(folder), task, self.schema, self.tokenizer, dropout=None, seed=3)
        self.collate = make_collate(self.features, task, self.schema, self.tokenizer.pad_token_id)

    def loss(self, ids: list[int]) -> float:
        batch = self.collate(ids)
        with torch.no_grad():
            return float(self.task.loss_sum(self.loaded.model.eval()(**batch.inputs), batch, self.schema))

    def predictions(self, model: Any, tokens_per_batch: int) -> list[dict[str, Any]]:
        predictor = Predictor(Accelerator(), model, self.task, self.schema, self.tokenizer, tokens_per_batch)
        return self.task.decode(predictor.predict(self.features)[0], self.features, self.rows, self.schema)


@pytest.fixture
def case(request: pytest.FixtureRequest) -> Case:
    task, settings, model = request.param
    return Case(task, settings, request.getfixturevalue("tiny")(model))


def over_all_cases(test: Any) -> Any:
    return pytest.mark.parametrize("case", [pytest.param(param.values, id=param.id) for param in CASES], indirect=True)(
        test
    )


@over_all_cases
def test_the_loss_is_a_sum_whatever_the_batching(case: Case) -> None:
    everything = list(range(len(case.features.example_ids)))
    whole = case.loss(everything)
    assert case.loss([*everything, *everything]) == pytest.approx(2 * whole, rel=1e-5)
    assert math.fsum(case.loss([i]) for i in everything) == pytest.approx(whole, rel=1e-5)
    batch = case.collate(everything)
    double = case.collate([*everything, *everything])
    assert case.task.count_targets(double, case.schema) == pytest.approx(
        2 * case.task.count_targets(batch, case.schema)
    )


@over_all_cases
@pytest.mark.parametrize("method", METHODS, ids=lambda method: "-".join(map(str, method.model_dump().values())))
def test_gradients_reach_every_trainable_weight(case: Case, method: Any) -> None:
    if getattr(method, "frozen_layers", None) == "all" and not head_modules(case.loaded.model, case.loaded.new_modules):
        with pytest.raises(ModelError, match="leaves nothing to train"):
            attach(case.loaded.model, method, case.loaded.new_modules, seed=3)
        return
    model = attach(case.loaded.model, method, case.loaded.new_modules, seed=3)
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    batch = case.collate(range(len(case.features.example_ids)))
    for _ in range(2):  # LoRA's B starts at 0, so A gets its first gradient in the second step
        optimizer.zero_grad()
        case.task.loss_sum(model(**batch.inputs), batch, case.schema).backward()
        optimizer.step()
    # position embeddings beyond the text and unused vocabulary rows are part of a weight that does get one
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    without = [
        name for name, p in trained.items() if p.grad is None or not (p.grad.any() or may_cancel(case.task, name))
    ]
    assert without == []
    assert all(p.dtype == torch.float32 for p in model.parameters() if p.requires_grad)


def may_cancel(task: Task, name: str) -> bool:
    """Say whether a weight may have gradient 0: what is added to every token's logit cancels in a softmax over the tokens."""
    return task.name == "question_answering" and name.endswith("bias")


@over_all_cases
def test_a_perfect_prediction_has_the_best_score(case: Case) -> None:
    _, references = case.task.to_arrays(case.predictions(case.loaded.model, 4096), case.rows, case.schema)
    for name, metric in case.task.metrics(case.settings).items():
        if metric.needs_two_labels:
            continue
        assert metric.fn(references, references) == pytest.approx(metric.best), name


@over_all_cases
def test_padding_and_order_do_not_change_a_prediction(case: Case) -> None:
    together, alone = case.predictions(case.loaded.model, 4096), case.predictions(case.loaded.model, 1)
    assert len(together) == len(alone) == len(case.rows)
    gaps = [_largest_difference(one, other) for one, other in zip(together, alone, strict=True)]
    assert all(gap is not None and gap < 4e-6 for gap in gaps)
    keys = case.task.prediction_form(case.schema).keys
    assert keys is not AnyKeys, "a task of the package describes its keys"
    assert all(keys.model_validate(prediction) for prediction in together)


@pytest.mark.parametrize(
    "case",
    [pytest.param(param.values, id=param.id) for param in CASES if param.values[0].stream is not None],
    indirect=True,
)
def test_a_streamed_text_is_the_generated_text(case: Case) -> None:
    batch, pieces, task = case.collate([0]), [], case.task
    arguments = (case.loaded.model.eval(), batch, case.schema, case.tokenizer)
    with torch.inference_mode():
        generated = task.generate(*arguments)
        streamed = task.stream(*arguments, lambda piece: pieces.append(piece) is None)
        stopped = task.stream(*arguments, lambda piece: False)
    assert streamed == generated
    assert first_text(generated).startswith("".join(pieces))
    assert first_text(generated).startswith(first_text(stopped).rstrip("\ufffd"))


def first_text(generated: Any) -> str:
    """Return the first text of nested lists."""
    return generated if isinstance(generated, str) else first_text(generated[0])


@over_all_cases
def test_features_in_files_are_the_same(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stored_features, "PART", 5)
    files = (tmp_path / "features.arrow", tmp_path / "rows.arrow")

    def encode(rows: Any) -> Features:
        return case.task.encode(rows, case.tokenizer, case.schema, 48)

    if case.task.joins_rows(case.schema):
        stored_features.store_features(encode(case.rows), files)
    else:
        stored_features.encode_in_parts(case.rows, encode, files, lambda done, total: None)
    stored = stored_features.read_features(files)
    for field in ("example_ids", "n_tokens_cut", "answers_cut"):
        assert getattr(stored, field) == getattr(case.features, field)
    assert {name: list(lists) for name, lists in stored.inputs.items()} == case.features.inputs
    assert list(stored.targets) == case.features.targets
    assert list(stored.notes) == case.features.notes
    assert [stored.inputs["input_ids"][i] for i in range(len(stored.lengths))] == case.features.inputs["input_ids"]
    assert (stored.lengths, stored.decoder_lengths) == (case.features.lengths, case.features.decoder_lengths)


@over_all_cases
def test_the_schema_survives_json(case: Case) -> None:
    import json

    assert case.task.load_schema(json.loads(json.dumps(asdict(case.schema)))) == case.schema


FAMILIES = {
    "bert": "BERT", "distilbert": "DistilBERT", "roberta": "RoBERTa", "albert": "ALBERT", "electra": "ELECTRA",
    "deberta-v2": "DeBERTa-v2", "modernbert": "ModernBERT", "gpt2": "GPT-2", "llama": "Llama", "t5": "T5", "bart": "BART",
    "marian": "Marian",
}  # fmt: skip


def loads(task: Task, folder: Path) -> bool:
    """Say whether a checkpoint can be loaded for a task; where not, the refusal is one in words."""
    settings = task.settings(name=task.name, **SETTINGS.get(task.name, [{}])[0])
    rows, _ = task.read_rows(task.sample_rows(settings), settings, "sample rows")
    tokenizer = load_tokenizer(folder)
    try:
        schema = task.find_schema(settings, rows, None, read_pretrained(folder, tokenizer))
        load_model(folder, task, schema, tokenizer, dropout=None, seed=3)
    except ModelError:
        return False
    return True


def test_the_readme_says_what_works_with_what(tiny: Any) -> None:
    assert FAMILIES.keys() == ARCHITECTURES.keys()
    tasks = find_tasks()
    lines = [f"| | {' | '.join(name.replace('_', ' ') for name in tasks)} |", "|---|" + "---|" * len(tasks)]
    for architecture, family in FAMILIES.items():
        works = [loads(task, Path(tiny(architecture))) for task in tasks.values()]
        lines.append(f"| {family} | {' | '.join('yes' if one else '-' for one in works)} |")
    readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    assert "\n".join(lines) in readme, "the table of the README should be:\n" + "\n".join(lines)
    tried = {(param.values[0].name, param.values[2]) for param in CASES}
    shown = {
        (task, architecture)
        for architecture, line in zip(FAMILIES, lines[2:], strict=True)
        for task, cell in zip(tasks, line.split(" | ")[1:], strict=True)
        if cell.startswith("yes")
    }
    assert shown == tried, "the contract is held for every cell"
