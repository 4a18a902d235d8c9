"""Measure the memory and the start time of `ftk run` for data sets of several sizes.

    python benchmarks/data_size.py --output FOLDER [--rows 1000 100000 500000] [--tokens 40] [section.key=value ...]

Each data set is a jsonl file of random texts with 3 labels, of which a tenth is held out for validation. A tiny BERT trains 20
steps on it, twice: the second start finds the results of the first one in the cache. The output is a line per start: the peak
anonymous memory of the training process (RssAnon in /proc/PID/status, so that pages of memory-mapped files do not count), its
peak before the first step, the seconds until the first step, the seconds of the whole command, and the size of the cache. With
--gib, one file of this size and 200 steps replace the list of rows; 5 GB of longer texts:

    python benchmarks/data_size.py --output FOLDER --gib 5 --tokens 400 data.validation_fraction=0.005
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WORDS = 5000
LABELS = ("praise", "complaint", "question")


@dataclass(frozen=True)
class Start:
    """The measurements of one command. Memory in MiB."""

    rows: int
    start: str
    peak_mib: int
    peak_before_training_mib: int
    first_step_seconds: float
    seconds: float
    cache_mib: int


def write_rows(path: Path, n_tokens: int, *, n_rows: int | None = None, size: int | None = None) -> int:
    """Write rows until there are `n_rows` or the file has `size` bytes; return their number."""
    rng = random.Random(0)
    words = [f"w{number}" for number in range(WORDS)]
    count = written = 0
    with path.open("w", encoding="utf-8") as file:
        while (n_rows is None or count < n_rows) and (size is None or written < size):
            text = " ".join(rng.choices(words, k=n_tokens))
            written += file.write(json.dumps({"text": text, "label": LABELS[count % 3]}) + "\n")
            count += 1
    return count


def write_model(folder: Path) -> None:
    """Write a tiny BERT whose tokenizer has a token per word."""
    sys.path.insert(0, str(ROOT))
    from ft_toolkit.models.tiny import make_tiny_model

    folder.mkdir()
    make_tiny_model(folder, [" ".join(f"w{number}" for number in range(WORDS))])


def anonymous_mib(pid: int) -> int:
    """Return the anonymous resident memory of a process in MiB; 0 after its end."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    except (FileNotFoundError, ProcessLookupError):
        return 0
    lines = [line for line in status.splitlines() if line.startswith("RssAnon")]
    return int(lines[0].split()[1]) // 1024 if lines else 0


def folder_mib(folder: Path) -> int:
    """Return the size of the files in a folder in MiB."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) // 2**20


def measure(output: Path, n_rows: int, start: str, settings: list[str]) -> Start:
    """Run the command once and sample its memory every 20 ms."""
    run = output / "run"
    shutil.rmtree(run, ignore_errors=True)
    cache = output / "cache"
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT), "FT_TOOLKIT_CACHE": str(cache)}
    command = [sys.executable, "-m", "ft_toolkit", "run", str(output / "recipe.yaml"), "--output", str(run), *settings]
    started = time.perf_counter()
    peak = peak_before = 0
    first_step = None
    with (output / "log.txt").open("w") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT, cwd=output)
        while process.poll() is None:
            peak = max(peak, anonymous_mib(process.pid))
            if first_step is None:
                peak_before = peak
                metrics = run / "metrics.jsonl"
                if metrics.is_file() and metrics.stat().st_size:
                    first_step = time.perf_counter() - started
            time.sleep(0.02)
    if process.returncode:
        raise SystemExit(f"exit code {process.returncode}: {(output / 'log.txt').read_text()[-3000:]}")
    seconds = time.perf_counter() - started
    return Start(
        n_rows, start, peak, peak_before, round(first_step or seconds, 1), round(seconds, 1), folder_mib(cache)
    )


def main() -> None:
    """Measure each size twice and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--rows", type=int, nargs="*", default=[1000, 100_000, 500_000])
    parser.add_argument("--tokens", type=int, default=40)
    parser.add_argument("--gib", type=float)
    arguments, settings = parser.parse_known_args()
    output = arguments.output.resolve()
    output.mkdir(parents=True)
    write_model(output / "model")
    steps = 20 if arguments.gib is None else 200
    (output / "recipe.yaml").write_text(
        f"task: text_classification\nmodel: {{name: {output}/model}}\n"
        f"data: {{train: {output}/train.jsonl, validation_fraction: 0.1, max_length: 64}}\n"
        f"training: {{max_steps: {steps}, examples_per_batch: 16, learning_rate: 0.001, logging_steps: 1, head_start: none}}\n"
        "evaluation: {baselines: [majority], eval_steps: null}\n"
    )
    for n_rows in arguments.rows if arguments.gib is None else [0]:
        size = None if arguments.gib is None else int(arguments.gib * 2**30)
        count = write_rows(output / "train.jsonl", arguments.tokens, n_rows=n_rows or None, size=size)
        shutil.rmtree(output / "cache", ignore_errors=True)
        for start in ("first", "second"):
            print(json.dumps(asdict(measure(output, count, start, settings))), flush=True)


if __name__ == "__main__":
    main()
