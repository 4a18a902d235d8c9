"""Compare the speed of exported models with the same model in torch, in a transformers pipeline and in plain onnxruntime.

    ftk run sst2.yaml --output RUN
    ftk export RUN ONNX --format onnx
    ftk export RUN INT8 --format onnx-int8
    python benchmarks/export.py --run RUN --onnx ONNX --int8 INT8 --rows ROWS.tsv [ROWS.tsv ...] [--setfit-onnx FILE]

All contenders predict the same 2,000 rows from text to label, in turns of 200 rows, with OMP_NUM_THREADS threads
each. On a machine with other work only the ratios have a meaning: other work slows all contenders of a turn.

    int8, onnx        ft_toolkit.runtime.load
    torch             ft_toolkit.load, in the precision of the run
    pipeline          transformers.pipeline with the same model object, batches of 32, float32 and bfloat16
    plain onnx        onnxruntime.InferenceSession on the float32 graph, batches of 32 in the order of the rows
    setfit onnx       the same on the graph of setfit's exporter (peers/setfit_onnx.py writes the file)

sentence-transformers has an ONNX backend of its own, which needs optimum-onnx. It does not work with transformers 5:
"cannot import name 'get_parameter_dtype' from 'transformers.modeling_utils'" (sentence-transformers 6.2.0, optimum 2.1.0,
optimum-onnx 0.1.0, installed with --no-deps; the last one requires transformers below 4.58).

Start-up is the time of a new process from its start to the first answer.
"""

import argparse
import copy
import csv
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from transformers import AutoTokenizer, pipeline

import ft_toolkit
from ft_toolkit import runtime
from ft_toolkit.core.environment import machine, versions

ROWS, SLICE, SINGLE, BATCH, STARTS = 2000, 200, 10, 32, 3
Texts = Sequence[str]
Contender = Callable[[Texts], list[str]]
PIPELINE = (
    "from transformers import pipeline; import sys; "
    "print(pipeline('text-classification', model=sys.argv[1], tokenizer=sys.argv[1])(sys.argv[2]))"
)


def read_rows(paths: Sequence[Path]) -> tuple[list[str], list[str]]:
    """Return the texts and the labels of the first rows of tab-separated files."""
    rows: list[dict[str, str]] = []
    for path in paths:
        with path.open(encoding="utf-8", newline="") as file:
            rows += csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
    return [row["text"] for row in rows[:ROWS]], [row["label"] for row in rows[:ROWS]]


def contenders(run: Path, onnx: Path, int8: Path, setfit: Path | None) -> dict[str, Contender]:
    """Return the contenders: texts -> labels."""
    loaded = ft_toolkit.load(run)
    exported, quantized = runtime.load(onnx), runtime.load(int8)
    plain = copy.deepcopy(loaded.model).float()
    half = copy.deepcopy(plain).to(torch.bfloat16)
    tokenizer = AutoTokenizer.from_pretrained(loaded.folder)
    pipes = {
        name: pipeline("text-classification", model=model, tokenizer=tokenizer, batch_size=BATCH, device="cpu")
        for name, model in (("pipeline float32", plain), ("pipeline bfloat16", half))
    }
    labels = list(loaded.schema.labels)

    def by(model: Any) -> Contender:
        return lambda texts: [each["label"] for each in model(list(texts))]

    def in_session(path: Path) -> Contender:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
        names = [each.name for each in session.get_inputs()]

        def predict(texts: Texts) -> list[str]:
            predicted = []
            for start in range(0, len(texts), BATCH):
                batch = tokenizer(
                    list(texts[start : start + BATCH]),
                    padding=True,
                    truncation=True,
                    max_length=128,
                    return_tensors="np",
                )
                logits = session.run(["logits"], {name: batch[name].astype(np.int64) for name in names})[0]
                predicted += [labels[i] for i in logits.argmax(-1)]
            return predicted

        return predict

    def in_pipe(pipe: Any) -> Contender:
        return lambda texts: [each["label"] for each in pipe(list(texts), truncation=True, max_length=128)]

    return {
        "int8": by(quantized),
        "onnx": by(exported),
        f"torch ({loaded.contract.mixed_precision})": by(loaded),
        **{name: in_pipe(pipe) for name, pipe in pipes.items()},
        "plain onnx": in_session(onnx / "model" / "model.onnx"),
        **({} if setfit is None else {"setfit onnx": in_session(setfit)}),
    }


def seconds_of(call: Callable[..., object], *arguments: Any, **options: Any) -> float:
    """Return the wall-clock seconds of a call."""
    started = time.perf_counter()
    call(*arguments, **options)
    return time.perf_counter() - started


def start_up(commands: dict[str, list[str]]) -> dict[str, float]:
    """Return the median seconds from the start of a process to its first answer, measured in turns."""
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(STARTS):
        for name, command in commands.items():
            seconds[name].append(seconds_of(subprocess.run, command, check=True, capture_output=True))
    return {name: statistics.median(values) for name, values in seconds.items()}


def table(
    correct: dict[str, int], seconds: dict[str, list[float]], latency: dict[str, list[float]], rows: int
) -> list[str]:
    """Return the table of the contenders after `rows` rows. The ratios are medians over the slices."""
    lines = ["| | accuracy | rows/s | int8 is faster by | p50 of one row, ms | int8 is faster by |"]
    lines.append("|---|---:|---:|---:|---:|---:|")
    p50 = {name: statistics.median(values) * 1000 for name, values in latency.items()}
    for name, values in seconds.items():
        ratio = statistics.median(theirs / ours for theirs, ours in zip(values, seconds["int8"], strict=True))
        lines.append(
            f"| {name} | {correct[name] / rows:.4f} | {rows / sum(values):.0f} | {ratio:.2f} | {p50[name]:.1f} | "
            f"{p50[name] / p50['int8']:.2f} |"
        )
    return lines


def main() -> None:
    """Measure the start-up, then all contenders on one slice of the rows after the other; print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("run", "onnx", "int8"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--rows", type=Path, nargs="+", required=True)
    parser.add_argument("--setfit-onnx", type=Path)
    arguments = parser.parse_args()
    texts, gold = read_rows(arguments.rows)
    predict = [sys.executable, "-m", "ft_toolkit", "predict"]
    starts = start_up(
        {
            "int8": [*predict, str(arguments.int8), texts[0]],
            "onnx": [*predict, str(arguments.onnx), texts[0]],
            "torch": [*predict, str(arguments.run), texts[0]],
            "pipeline": [sys.executable, "-c", PIPELINE, str(arguments.run / "model"), texts[0]],
        }
    )
    print(f"{machine()['processor']}, {os.environ.get('OMP_NUM_THREADS', 'all')} threads, {len(texts)} rows")
    print(
        ", ".join(f"{name} {version}" for name, version in versions(("torch", "transformers", "onnxruntime")).items())
    )
    print("\n| start-up | seconds | int8 is faster by |\n|---|---:|---:|")
    for name, value in starts.items():
        print(f"| {name} | {value:.2f} | {value / starts['int8']:.1f} |")
    models = contenders(arguments.run, arguments.onnx, arguments.int8, arguments.setfit_onnx)
    correct = dict.fromkeys(models, 0)
    seconds: dict[str, list[float]] = {name: [] for name in models}
    latency: dict[str, list[float]] = {name: [] for name in models}
    for model in models.values():
        model(texts[:BATCH])
    for start in range(0, len(texts), SLICE):
        part, answers = texts[start : start + SLICE], gold[start : start + SLICE]
        for name, model in models.items():
            started = time.perf_counter()
            predicted = model(part)
            seconds[name].append(time.perf_counter() - started)
            correct[name] += sum(a == b for a, b in zip(predicted, answers, strict=True))
            latency[name] += [seconds_of(model, [text]) for text in part[:: len(part) // SINGLE]]
        print("\n" + "\n".join(table(correct, seconds, latency, start + len(part))), flush=True)


if __name__ == "__main__":
    main()
