"""Compare the speed of exported models with the same model in torch, in a transformers pipeline and in plain onnxruntime.

    ftk run sst2.yaml --output RUN
    ftk export RUN ONNX --format onnx
    ftk export RUN INT8 --format onnx-int8
    python benchmarks/export.py --run RUN --onnx ONNX --int8 INT8 --rows ROWS.tsv [ROWS.tsv ...]

All contenders predict the same 2,000 rows from text to label, in turns, with OMP_NUM_THREADS threads each. On a machine with
other work only the ratios have a meaning: other work slows all contenders of a round.

    int8, onnx        ft_toolkit.runtime.load
    torch             ft_toolkit.load, in the precision of the run
    pipeline          transformers.pipeline with the same model object, batches of 32, float32 and bfloat16
    plain onnx        onnxruntime.InferenceSession on the float32 graph, batches of 32 in the order of the rows

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

ROWS, SINGLE, BATCH, STARTS = 2000, 60, 32, 3
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


def contenders(run: Path, onnx: Path, int8: Path) -> dict[str, Contender]:
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
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(onnx / "model" / "model.onnx"), options, ["CPUExecutionProvider"])
    labels = list(loaded.schema.labels)
    names = [each.name for each in session.get_inputs()]

    def by(model: Any) -> Contender:
        return lambda texts: [each["label"] for each in model(list(texts))]

    def in_session(texts: Texts) -> list[str]:
        predicted = []
        for start in range(0, len(texts), BATCH):
            batch = tokenizer(
                list(texts[start : start + BATCH]), padding=True, truncation=True, max_length=128, return_tensors="np"
            )
            logits = session.run(["logits"], {name: batch[name].astype(np.int64) for name in names})[0]
            predicted += [labels[i] for i in logits.argmax(-1)]
        return predicted

    def in_pipe(pipe: Any) -> Contender:
        return lambda texts: [each["label"] for each in pipe(list(texts), truncation=True, max_length=128)]

    return {
        "int8": by(quantized),
        "onnx": by(exported),
        f"torch ({loaded.contract.mixed_precision})": by(loaded),
        **{name: in_pipe(pipe) for name, pipe in pipes.items()},
        "plain onnx": in_session,
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


def main() -> None:
    """Measure all contenders and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("run", "onnx", "int8"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--rows", type=Path, nargs="+", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    texts, gold = read_rows(arguments.rows)
    models = contenders(arguments.run, arguments.onnx, arguments.int8)
    correct = {}
    throughput: dict[str, list[float]] = {name: [] for name in models}
    latency: dict[str, list[float]] = {name: [] for name in models}
    for name, model in models.items():
        correct[name] = sum(a == b for a, b in zip(model(texts), gold, strict=True)) / len(texts)
    for number in range(arguments.rounds):
        for name, model in models.items():
            throughput[name].append(len(texts) / seconds_of(model, texts))
            latency[name] += [seconds_of(model, [text]) for text in texts[:: len(texts) // SINGLE]]
        print(f"round {number + 1} of {arguments.rounds}", file=sys.stderr, flush=True)
    text = texts[0]
    predict = [sys.executable, "-m", "ft_toolkit", "predict"]
    starts = start_up(
        {
            "int8": [*predict, str(arguments.int8), text],
            "onnx": [*predict, str(arguments.onnx), text],
            "torch": [*predict, str(arguments.run), text],
            "pipeline": [sys.executable, "-c", PIPELINE, str(arguments.run / "model"), text],
        }
    )
    print(f"{machine()['processor']}, {os.environ.get('OMP_NUM_THREADS', 'all')} threads, {len(texts)} rows")
    print(
        ", ".join(f"{name} {version}" for name, version in versions(("torch", "transformers", "onnxruntime")).items())
    )
    rates = {name: statistics.median(values) for name, values in throughput.items()}
    p50 = {name: statistics.median(values) * 1000 for name, values in latency.items()}
    print(
        "\n| | accuracy | rows/s | int8 is faster by | p50 of one row, ms | int8 is faster by |\n|---|---:|---:|---:|---:|---:|"
    )
    for name in models:
        by_round = [ours / theirs for ours, theirs in zip(throughput["int8"], throughput[name], strict=True)]
        print(
            f"| {name} | {correct[name]:.4f} | {rates[name]:.0f} | {statistics.median(by_round):.2f} | {p50[name]:.1f} | "
            f"{p50[name] / p50['int8']:.2f} |"
        )
    print("\n| start-up | seconds |\n|---|---:|")
    for name, seconds in starts.items():
        print(f"| {name} | {seconds:.2f} |")


if __name__ == "__main__":
    main()
