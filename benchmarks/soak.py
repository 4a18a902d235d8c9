"""Train for a long time with an evaluation and checkpoints every few steps; memory, handles, threads and disk must be flat.

    python benchmarks/soak.py --output FOLDER --minutes 30

A tiny BERT is trained on a few rows with a checkpoint every 3 steps and an evaluation every 5. Every 5 seconds, the script
reads the resident memory, the open handles and the threads of the command, and the size of its run folder without the records
of steps and evaluations (metrics.jsonl and state.json), which grow with the length of a run. At the end, SIGTERM stops the run.

The first quarter is the warm-up. Memory and disk are flat if the median of the last quarter is at most 1% above the median of
the second quarter. Handles and threads are flat if their maximum in the last quarter is not above their maximum in the second
quarter. The samples are in FOLDER/samples.jsonl, and the result is printed as a table. The exit code is 1 if a quantity is not
flat.
"""

import argparse
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import psutil
from kill import prepare

SECONDS_PER_SAMPLE = 5.0
# The allowed growth from the second to the last quarter as a share, and the function that summarizes a quarter.
ALLOWED = {
    "memory_mib": (0.01, statistics.median),
    "handles": (0.0, max),
    "threads": (0.0, max),
    "disk_kib": (0.01, statistics.median),
}
GROWING = ("metrics.jsonl", "state.json")


def size_of(folder: Path) -> int:
    """Return the bytes of the complete files in a folder, without the records that grow with the length of a run."""
    total = 0
    for path in folder.rglob("*"):
        if path.name not in GROWING and not any(part.startswith(".") for part in path.relative_to(folder).parts):
            try:
                total += path.stat().st_size if path.is_file() else 0
            except FileNotFoundError:  # replaced by a new checkpoint in the meantime
                continue
    return total


def steps_of(folder: Path) -> int:
    """Return the last step in metrics.jsonl."""
    path = folder / "metrics.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return json.loads(lines[-1])["step"] if lines else 0


def soak(output: Path, minutes: float) -> list[dict[str, float]]:
    """Train for a number of minutes, and return the samples."""
    recipe = prepare(output)["full"]
    run = output / "run"
    shutil.rmtree(run, ignore_errors=True)
    settings = [
        "training.max_steps=1000000",
        "training.save_steps=3",
        "training.logging_steps=50",
        "evaluation.eval_steps=5",
        "evaluation.early_stopping_patience=null",
    ]
    words = [sys.executable, "-m", "ft_toolkit", "run", str(recipe), *settings, "--output", str(run), "--quiet"]
    samples: list[dict[str, float]] = []
    with (output / "soak.log").open("w") as log, (output / "samples.jsonl").open("w") as file:
        process = subprocess.Popen(words, stdout=log, stderr=log, env=os.environ)
        watched, started = psutil.Process(process.pid), time.monotonic()
        while time.monotonic() - started < minutes * 60:
            time.sleep(SECONDS_PER_SAMPLE)
            if process.poll() is not None:
                raise SystemExit(f"the run ended with exit code {process.returncode}; see {output / 'soak.log'}")
            sample = {
                "seconds": round(time.monotonic() - started, 1),
                "memory_mib": round(watched.memory_info().rss / 2**20, 2),
                "handles": watched.num_fds(),
                "threads": watched.num_threads(),
                "disk_kib": round(size_of(run) / 1024, 1),
            }
            samples.append(sample)
            file.write(json.dumps(sample) + "\n")
            file.flush()
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=120)
    print(f"{steps_of(run):,} steps, {len(samples)} samples in {minutes:g} minutes, exit code {process.returncode}")
    return samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=30)
    arguments = parser.parse_args()
    samples = soak(arguments.output.resolve(), arguments.minutes)
    quarter = len(samples) // 4
    print("| quantity | second quarter | last quarter | largest | growth | flat |\n|---|---|---|---|---|---|")
    is_flat = True
    for name, (allowed, summary) in ALLOWED.items():
        values = [sample[name] for sample in samples]
        before, after = summary(values[quarter : 2 * quarter]), summary(values[-quarter:])
        growth = after / before - 1
        is_flat &= growth <= allowed
        print(
            f"| {name} | {before:g} | {after:g} | {max(values):g} | {growth:+.2%} | {'yes' if growth <= allowed else 'no'} |"
        )
    sys.exit(not is_flat)


if __name__ == "__main__":
    main()
