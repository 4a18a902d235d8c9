"""Compare the speed of exported models with the run and a transformers pipeline, for any task.

    ftk run wnut17.yaml --output RUN
    ftk export RUN ONNX --format onnx
    ftk export RUN INT8 --format onnx-int8
    python benchmarks/export_tasks.py --run RUN --onnx ONNX --int8 INT8 [--rows 400]

All contenders predict the same evenly spaced rows of the test split (or of the validation split, without one) from text to
prediction, in turns, with OMP_NUM_THREADS threads each. On a machine with other work, only the ratios have a meaning. For text
generation, the rows are the prompts. The scores come from the certificates, which use the validation rows.

    int8, onnx    ft_toolkit.runtime.load
    torch         ft_toolkit.load, in the precision of the run
    pipeline      transformers.pipeline with the same model object in float32 and batches of 32, where transformers 5 has a
                  pipeline for the task: token-classification, text-generation, text-classification
"""

import argparse
import copy
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from export import seconds_of
from transformers import AutoTokenizer, pipeline

import ft_toolkit
from ft_toolkit import runtime
from ft_toolkit.core.environment import machine, versions
from ft_toolkit.core.export_records import read_certificate
from ft_toolkit.core.run_records import RunResults, read_results
from ft_toolkit.evaluation.run_rows import load_run_rows
from ft_toolkit.tasks.base import input_texts, without_answers
from ft_toolkit.tasks.text_generation import split_text

TURNS, SINGLE, BATCH = 5, 8, 32
Row = Mapping[str, Any]
Contender = Callable[[Sequence[Row]], object]
# Task -> the transformers pipeline and its arguments.
PIPELINES: dict[str, dict[str, Any]] = {
    "text_classification": {"task": "text-classification"},
    "ner": {"task": "token-classification", "aggregation_strategy": "simple"},
    "text_generation": {"task": "text-generation", "return_full_text": False},
}


def read_rows(run: Path, loaded: Any, count: int) -> list[Row]:
    """Return `count` evenly spaced rows without their answers."""
    results = read_results(run)
    assert isinstance(results, RunResults), "a single run"
    has_test = "test" in results.scores
    _, data = load_run_rows(run, results, with_test=has_test)
    rows = data.splits["test" if has_test else "validation"]
    if loaded.task.name == "text_generation":
        rows = [{"prompt": split_text(row, loaded.schema.prompt_words)[0]} for row in rows]
    count = min(count, len(rows))
    return [without_answers(rows[i * len(rows) // count], loaded.task) for i in range(count)]


def contenders(arguments: argparse.Namespace, loaded: Any) -> dict[str, Contender]:
    """Return the contenders by name."""

    def ours(model: Any) -> Contender:
        return lambda rows: model.predict_split(rows)

    models = {
        "int8": ours(runtime.load(arguments.int8)),
        "onnx": ours(runtime.load(arguments.onnx)),
        f"torch ({loaded.contract.mixed_precision})": ours(loaded),
    }
    options = PIPELINES.get(loaded.task.name)
    if options is not None:
        model = copy.deepcopy(loaded.model)
        if loaded.contract.base_model is not None:
            model = model.merge_and_unload()
        tokenizer = AutoTokenizer.from_pretrained(loaded.folder)
        pipe = pipeline(model=model.float(), tokenizer=tokenizer, batch_size=BATCH, device="cpu", **options)
        models["pipeline float32"] = lambda rows: pipe([" ".join(input_texts(row, loaded.task)) for row in rows])
    return models


def measure(models: dict[str, Contender], rows: Sequence[Row]) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Return the seconds of each turn and of single rows, by contender."""
    seconds: dict[str, list[float]] = {name: [] for name in models}
    latency: dict[str, list[float]] = {name: [] for name in models}
    for predict in models.values():
        predict(rows[:SINGLE])
    for turn in range(TURNS):
        part = rows[turn::TURNS]
        for name, predict in models.items():
            seconds[name].append(seconds_of(predict, part))
            latency[name] += [seconds_of(predict, [row]) for row in part[: SINGLE // TURNS + 1]]
    return seconds, latency


def print_certificate(name: str, folder: Path, metric: str) -> None:
    """Print a row of the table of certificates."""
    certificate = read_certificate(folder)
    changed, score = certificate.changed_answers, certificate.metrics[metric]
    interval = "-" if score.low is None or score.high is None else f"{score.low:+.4f} to {score.high:+.4f}"
    print(
        f"| {name} | {changed.count:,} of {changed.rows:,} ({changed.low:.2%} to {changed.high:.2%}) | {score.run:.4f} | "
        f"{score.export:.4f} | {interval} | {certificate.run_megabytes:,.1f} | {certificate.export_megabytes:,.1f} |"
    )


def main() -> None:
    """Print the speed of all contenders and the certificates."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("run", "onnx", "int8"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--rows", type=int, default=400)
    arguments = parser.parse_args()
    loaded = ft_toolkit.load(arguments.run)
    rows = read_rows(arguments.run, loaded, arguments.rows)
    seconds, latency = measure(contenders(arguments, loaded), rows)
    print(f"{loaded.task.name}: {len(rows)} rows; {machine()['processor']}")
    print(f"{versions(('torch', 'transformers', 'onnxruntime'))}\n")
    print("| | rows/s | int8 is faster by | p50 of one row, ms | int8 is faster by |\n|---|---:|---:|---:|---:|")
    p50 = {name: statistics.median(values) * 1000 for name, values in latency.items()}
    for name, values in seconds.items():
        ratio = statistics.median(theirs / ours for theirs, ours in zip(values, seconds["int8"], strict=True))
        print(
            f"| {name} | {len(rows) / sum(values):.1f} | {ratio:.2f} | {p50[name]:.1f} | {p50[name] / p50['int8']:.2f} |"
        )
    metric = read_results(arguments.run).main_metric
    print(f"\n| export | changed answers | {metric}: run | export | paired 95% interval | MB: run | export |")
    print("|---|---|---:|---:|---|---:|---:|")
    for name in ("onnx", "int8"):
        print_certificate(name, getattr(arguments, name), metric)


if __name__ == "__main__":
    main()
