"""Count the tracebacks of random input: python benchmarks/fuzz.py [--cases 50000] [--state FILE] [--seconds 3600]

Runs the tests of tests/fuzz in parts, each in a process of its own with bounded memory, and adds a line per part to the state
file. Interrupted, it continues with the parts that are missing. It ends with the counts per test and the causes of all
tracebacks. A case that takes longer than 120 s counts as a traceback (Hang), as does a part that ends without a result.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# Tests that load a model or a run folder, and their shares of these cases. A case of a model folder takes 0.05 s, a case of a
# run folder 0.5 s, a case of all other tests about a millisecond.
LOADING = {
    "test_model_folders.py::test_a_changed_finished_model": 0.22,
    "test_model_folders.py::test_a_changed_adapter": 0.22,
    "test_model_folders.py::test_a_changed_ensemble": 0.12,
    "test_model_folders.py::test_a_changed_checkpoint": 0.22,
    "test_run_folders.py::test_verbs_that_read_a_run": 0.08,
    "test_run_folders.py::test_verbs_that_load_its_model": 0.05,
    "test_run_folders.py::test_a_dry_run_of_a_resumed_run": 0.03,
    "test_predict_inputs.py::test_any_words_after_predict": 0.03,
    "test_predict_inputs.py::test_predictions_of_any_file": 0.03,
}
PARTS = 4
# PyTorch reserves about 5 GiB of addresses.
MEMORY_BYTES = 16 * 2**30
PART_SECONDS = 3600


def find_tests() -> list[str]:
    """Return the names of all fuzz tests, without the parameters of pytest."""
    command = [sys.executable, "-m", "pytest", "--collect-only", "-m", "", str(ROOT / "tests" / "fuzz")]
    lines = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    names = [line.partition("[")[0].rpartition("/")[2] for line in lines if "::" in line]
    return sorted(dict.fromkeys(names))


def run_part(test: str, number: int, n_cases: int) -> dict[str, Any]:
    """Run a part of a test and return its record: cases, tracebacks, causes, seconds, and peak memory in MiB."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "record.json"
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--hypothesis-seed={number}"]
        environment = os.environ | {
            "FT_TOOLKIT_FUZZ_RECORD": str(file),
            "FT_TOOLKIT_FUZZ_CASES": str(n_cases),
            "HF_HUB_OFFLINE": "1",
        }
        process = subprocess.Popen(
            [*command, "-m", "", f"--basetemp={folder}/files", f"tests/fuzz/{test}"],
            cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES)),
        )  # fmt: skip
        try:
            output, _ = process.communicate(timeout=PART_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            output, _ = process.communicate()
        records = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    record: dict[str, Any] = {"test": test, "part": number, "seconds": round(time.monotonic() - started, 1)}
    if not records:
        return record | {"cases": 0, "tracebacks": 1, "causes": {f"no result: {output[-300:]}": 1}, "slowest": 0}
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
    return record | next(iter(records.values())) | {"peak_mib": peak}


def summarize(records: list[dict[str, Any]]) -> None:
    """Print the counts per test and in total, and the causes of the tracebacks."""
    total: Counter[str] = Counter()
    causes: Counter[str] = Counter()
    print(f"{'test':<75} {'cases':>7} {'tracebacks':>10} {'slowest':>8}")
    for test in sorted({record["test"] for record in records}):
        own = [record for record in records if record["test"] == test]
        cases, tracebacks = (sum(record[key] for record in own) for key in ("cases", "tracebacks"))
        kind = "loading" if test in LOADING else "parsing"
        total.update({kind: cases, f"{kind} tracebacks": tracebacks})
        for record in own:
            causes.update(record["causes"])
        print(f"{test:<75} {cases:>7,} {tracebacks:>10,} {max(record['slowest'] for record in own):>7.1f}s")
    print()
    for kind in ("parsing", "loading"):
        print(f"{kind}: {total[kind]:,} cases, {total[f'{kind} tracebacks']:,} tracebacks")
    print(f"hangs: {sum(n for cause, n in causes.items() if cause.startswith('Hang'))}")
    print(f"peak memory: {max((record.get('peak_mib', 0) for record in records), default=0):,} MiB")
    for cause, n in causes.most_common():
        print(f"{n:>7} {cause}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=50_000, help="cases in all: 90%% parsing, 10%% loading")
    parser.add_argument("--state", type=Path, default=Path("fuzz.jsonl"), help="file with a line per finished part")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="start no part after this time")
    parser.add_argument("--seed", type=int, default=0, help="another number gives other cases")
    parser.add_argument("--only", default="", help="tests whose name contains this text")
    arguments = parser.parse_args()
    tests = [test for test in find_tests() if arguments.only in test]
    lines = arguments.state.read_text(encoding="utf-8").splitlines() if arguments.state.is_file() else []
    records = [json.loads(line) for line in lines]
    done = {(record["test"], record["part"]) for record in records}
    n_parsing = sum(test not in LOADING for test in tests)
    started = time.monotonic()
    for number in range(arguments.seed * PARTS, (arguments.seed + 1) * PARTS):
        for test in tests:
            share = 0.1 * LOADING[test] if test in LOADING else 0.9 / n_parsing
            if (test, number) in done or time.monotonic() - started > arguments.seconds:
                continue
            record = run_part(test, number, -(-round(share * arguments.cases) // PARTS))
            records.append(record)
            with arguments.state.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
            print(
                f"{test} part {number}: {record['cases']:,} cases, {record['tracebacks']} tracebacks",
                file=sys.stderr,
                flush=True,
            )
    summarize(records)


if __name__ == "__main__":
    main()
