"""Kill runs at many points, repeat their commands until they succeed, and compare the results with undisturbed runs.

    python benchmarks/kill.py --output FOLDER                     20 kills in each mode
    python benchmarks/kill.py --output FOLDER --mode full --kills 100

Modes: full (all weights), lora, two (two processes), seeds, sweep, folds, scale, ensemble, best, push. Half of the kills come
before the n-th file operation of a kind (create or open a file for writing, rename, make a folder, remove, link, synchronize;
for push: connect), the others at a random time: half of those kill the main process, half kill all processes of the command
at once. A third of the commands are killed again while they resume. After that, a loop repeats the command, as a queue would,
at most 4 times.

A result is
    ok        the command succeeded, and the model, the predictions and the names of all files equal an undisturbed run
    stuck     no repetition succeeded within its time limit
    lost      it succeeded with other weights or predictions, or with files missing or left over

Each result is a line of FOLDER/kills.jsonl. A repeated command computes only the missing kills. The models are tiny; a kill
takes about 10 s on one core. Commands run in processes that are forked from this one, which has loaded the libraries.
"""

import argparse
import ctypes
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks" / "kill_hook"))
os.environ.update(
    HF_HUB_OFFLINE="1",
    HF_DATASETS_OFFLINE="1",
    ACCELERATE_USE_CPU="true",
    OMP_NUM_THREADS="1",
    TOKENIZERS_PARALLELISM="false",
)
sys.modules.pop("sitecustomize", None)
from sitecustomize import install  # noqa: E402 - the hook, which sees the path above

WORDS = {"praise": "good lovely fine great", "complaint": "broken late wrong lost", "question": "how when which does"}
MODES = ("full", "lora", "two", "seeds", "sweep", "folds", "scale", "ensemble", "best", "push")
# Modes that use finished runs: the undisturbed runs of these modes.
NEEDS = {"push": ("full",), "ensemble": ("full", "lora")}
KINDS = ("open", "rename", "mkdir", "remove", "rmdir", "link", "fsync")
ATTEMPTS, SECONDS = 4, 240
# A token of the local Hub, and the number of Linux' PR_SET_CHILD_SUBREAPER.
TOKEN, _SUBREAPER = "hf_alice", 36


@dataclass(frozen=True)
class Command:
    """A command of a mode: its words without and with --resume, and how its result is read."""

    first: list[str]
    again: list[str]
    folder: Path
    result: Callable[[], dict[str, str]]
    environment: dict[str, str]
    forks: bool


@dataclass(frozen=True)
class Kill:
    """When a command is killed: before an operation (`rename:3`), or after a number of seconds."""

    at: str | None = None
    seconds: float | None = None
    everything: bool = False

    def __str__(self) -> str:
        if self.at is not None:
            return f"before {self.at}"
        return f"after {self.seconds:.2f} s" + (", all processes" if self.everything else "")


# --- the workplace: rows, tiny model, recipes


def prepare(folder: Path) -> dict[str, Path]:
    """Write the rows, a tiny model and the recipes, and return the paths of the recipes by method."""
    from ft_toolkit.models.tiny import make_tiny_model

    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(48):
        label = list(WORDS)[number % 3]
        choice = WORDS[label].split()
        text = " ".join([choice[number % 4], *(["the lamp"] * (number % 7)), choice[(number + 1) % 4]])
        rows.append({"id": f"r{number}", "text": f"{text} {number}", "label": label})
    for name, part in {"train": rows[:32], "validation": rows[32:40], "test": rows[40:]}.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in part), encoding="utf-8")
    if not (folder / "model" / "config.json").is_file():
        make_tiny_model(folder / "model", [row["text"] for row in rows], "bert")
    recipes = {}
    for method in ("full", "lora"):
        recipe = {
            "task": "text_classification",
            "model": {"name": str(folder / "model"), "dropout": 0.2},
            "data": {name: str(folder / f"{name}.jsonl") for name in ("train", "validation", "test")}
            | {"max_length": 64},
            "method": method,
            "training": {"learning_rate": 1e-3, "num_train_epochs": 4, "examples_per_batch": 8, "save_steps": 3},
            "evaluation": {"bootstrap_samples": 100, "baselines": ["majority"]},
        }
        recipes[method] = folder / f"{method}.yaml"
        recipes[method].write_text(json.dumps(recipe), encoding="utf-8")
    return recipes


def command_of(mode: str, recipes: dict[str, Path], folder: Path, work: Path, url: str) -> Command:
    """Return the command of a mode that writes to `folder`."""
    environment: dict[str, str] = {}
    if mode == "push":
        repo = f"alice/{folder.name}"
        words = ["push", str(work / "reference_full"), repo]
        environment = {
            "HF_ENDPOINT": url,
            "HF_TOKEN": TOKEN,
            "HF_HOME": str(work / "hub_home"),
            "NO_PROXY": "127.0.0.1",
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        }
        return Command(words, words, folder, lambda: pushed_files(url, repo), environment, forks=False)
    words = ["run", str(recipes["lora" if mode == "lora" else "full"]), "--output", str(folder)]
    if mode == "sweep":
        words = ["sweep", str(recipes["full"]), "training.learning_rate=0.001,0.01", "--output", str(folder)]
        return Command(words, words, folder, lambda: files_of(folder), environment, forks=True)
    if mode == "ensemble":
        members = [str(work / f"reference_{name}") for name in NEEDS[mode]]
        words = ["ensemble", *members, "--output", str(folder)]
        return Command(words, words, folder, lambda: files_of(folder), environment, forks=True)
    if mode == "best":  # the time is not the limit, so that each search tries the same candidates
        words = ["best", str(recipes["full"]), "training.max_steps=6", "--minutes", "600", "--output", str(folder)]
        return Command(words, words, folder, lambda: files_of(folder), environment, forks=True)
    if mode in ("folds", "scale"):
        parts = ["--k", "2"] if mode == "folds" else ["--shares", "0.25,0.5,1"]
        words = [mode, str(recipes["full"]), *parts, "--output", str(folder)]
        return Command(words, [*words, "--resume"], folder, lambda: files_of(folder), environment, forks=True)
    words += {"two": ["--processes", "2"], "seeds": ["training.seeds=[1,2]"]}.get(mode, [])
    return Command(words, [*words, "--resume"], folder, lambda: files_of(folder), environment, forks=mode != "two")


def files_of(folder: Path) -> dict[str, str]:
    """Return the sha256 of each model file and of the predictions, and "" for the other files, by relative path."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not name.startswith("logs/"):
            is_equal = name.endswith((".safetensors", "predictions.jsonl", "examples.npz", "tokenizer.json"))
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest() if is_equal else ""
    return found


def pushed_files(url: str, repo: str) -> dict[str, str]:
    """Return the object id of each file of a repository on the local Hub; "" for the card, which has the repository's name."""
    address = f"{url}/api/models/{repo}/tree/main?recursive=true"
    with urlopen(Request(address, headers={"Authorization": f"Bearer {TOKEN}"})) as answer:
        return {each["path"]: "" if each["path"] == "README.md" else each["oid"] for each in json.load(answer)}


# --- processes


def start(command: Command, words: list[str], kill: Kill | None, log: Path, counts: Path | None = None) -> int:
    """Start a command in a new session, with the hook if it is killed before an operation; return its process id."""
    at = kill.at if kill is not None and kill.at is not None else "none"
    if command.forks:
        process = os.fork()
        if process:
            return process
        _run_here(command, words, at, log, counts)
    python_path = os.pathsep.join([str(ROOT / "benchmarks" / "kill_hook"), str(ROOT)])
    environment = {**os.environ, **command.environment, "PYTHONPATH": python_path}
    if at != "none" or counts is not None:
        environment |= {"KILL_AT": at, "KILL_FOLDER": str(command.folder)}
        environment |= {"KILL_COUNTS": str(counts)} if counts is not None else {}
        environment |= {"KILL_LAUNCHED": "1"} if "--processes" in words else {}
    with log.open("ab") as file:
        started = subprocess.Popen(
            [sys.executable, "-m", "ft_toolkit", *words],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env=environment,
            start_new_session=True,
        )
    return started.pid


def _run_here(command: Command, words: list[str], at: str, log: Path, counts: Path | None) -> None:
    """Run a command line in this process, which was forked, and end the process."""
    code = 1
    try:
        os.setsid()
        with log.open("ab") as file, Path(os.devnull).open("rb") as nothing:
            os.dup2(nothing.fileno(), 0)
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        install(at, str(command.folder), None if counts is None else str(counts))
        from ft_toolkit.cli.app import main

        sys.argv = ["ftk", *words]
        main()
        code = 0
    except SystemExit as left:
        code = int(left.code or 0)
    finally:
        if counts is not None and code == 0:
            import atexit

            atexit._run_exitfuncs()
        sys.stdout.flush()
        os._exit(code)


def wait(process: int, kill: Kill | None, seconds: float) -> int | None:
    """Wait for a command, kill it at its time, and return its exit code (negative: a signal); None after the time limit."""
    started, killed = time.monotonic(), False
    while True:
        ended, status = os.waitpid(process, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        passed = time.monotonic() - started
        if kill is not None and kill.seconds is not None and passed >= kill.seconds and not killed:
            killed = True
            for target in processes_of(process) if kill.everything else [process]:
                _signal(target, signal.SIGKILL)
        if passed > seconds:
            for target in processes_of(process):
                _signal(target, signal.SIGKILL)
            os.waitpid(process, 0)
            return None
        time.sleep(0.01)


def processes_of(process: int) -> list[int]:
    """Return the ids of a process and of all its descendants."""
    import psutil

    try:
        return [process, *(child.pid for child in psutil.Process(process).children(recursive=True))]
    except psutil.NoSuchProcess:
        return [process]


def end_orphans(own: set[int]) -> None:
    """Wait until the processes that a killed command left have ended by themselves, except `own`; kill them after 60 s."""
    import psutil

    deadline = time.monotonic() + 60
    while children := [child for child in psutil.Process().children(recursive=True) if child.pid not in own]:
        for child in children:
            if time.monotonic() > deadline:
                _signal(child.pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(child.pid, os.WNOHANG)
        time.sleep(0.05)


def _signal(process: int, signum: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(process, signum)


# --- the campaign


@dataclass(frozen=True)
class Reference:
    """An undisturbed run of a mode: its files, its duration, and the number of its operations by kind."""

    files: dict[str, str]
    seconds: float
    counts: dict[str, int]


def measure(mode: str, make: Callable[[str], Command], work: Path) -> Reference:
    """Return the reference of a mode, from FOLDER/reference_MODE.json if it was measured before."""
    path = work / f"reference_{mode}.json"
    if not path.is_file():
        command, counts = make(f"reference_{mode}"), work / f"counts_{mode}.jsonl"
        counts.unlink(missing_ok=True)
        started = time.monotonic()
        code = wait(start(command, command.first, None, work / f"reference_{mode}.log", counts), None, SECONDS)
        if code != 0:
            raise SystemExit(f"the undisturbed run of mode {mode} failed; see {work / f'reference_{mode}.log'}")
        seconds = time.monotonic() - started
        lines = [json.loads(line) for line in counts.read_text(encoding="utf-8").splitlines()]
        total = {kind: sum(line.get(kind, 0) for line in lines) for kind in (*KINDS, "connect")}
        path.write_text(json.dumps({"files": command.result(), "seconds": seconds, "counts": total}), encoding="utf-8")
    return Reference(**json.loads(path.read_text(encoding="utf-8")))


def choose_kill(mode: str, reference: Reference, draw: random.Random) -> Kill:
    """Return a random point of a run."""
    kinds = [kind for kind in (("connect",) if mode == "push" else KINDS) if reference.counts.get(kind)]
    if draw.random() < 0.5 and kinds:
        kind = draw.choice(kinds)
        return Kill(at=f"{kind}:{draw.randint(1, reference.counts[kind])}")
    return Kill(seconds=draw.uniform(0, reference.seconds), everything=draw.random() < 0.5)


def attempt(command: Command, reference: Reference, kills: list[Kill], log: Path) -> dict[str, Any]:
    """Kill a command, repeat it until it succeeds, and return the result."""
    import psutil

    own = {child.pid for child in psutil.Process().children(recursive=True)}
    codes: list[int | None] = []
    words = command.first
    for kill in kills:
        codes.append(wait(start(command, words, kill, log), kill, SECONDS))
        words = command.again
        if codes[-1] == 0:
            break
    n_killed = sum(code != 0 for code in codes)
    while codes[-1] != 0 and len(codes) < len(kills) + ATTEMPTS:
        codes.append(wait(start(command, command.again, None, log), None, SECONDS))
    end_orphans(own)
    differences: list[str] = []
    outcome = "stuck"
    if codes[-1] == 0:
        found = command.result()
        differences = sorted(
            name for name in found.keys() | reference.files.keys() if found.get(name) != reference.files.get(name)
        )
        outcome = "lost" if differences else "ok"
    return {"outcome": outcome, "codes": codes, "killed": n_killed, "differences": differences[:20]}


def run_mode(
    mode: str, n: int, seed: int, work: Path, done: list[dict[str, Any]], url: str
) -> Iterator[dict[str, Any]]:
    """Yield the results of the kills of a mode that are not in `done`."""
    recipes = {method: work / f"{method}.yaml" for method in ("full", "lora")}
    for needed in NEEDS.get(mode, ()):
        measure(needed, lambda name, needed=needed: command_of(needed, recipes, work / name, work, url), work)
    reference = measure(mode, lambda name: command_of(mode, recipes, work / name, work, url), work)
    known = {record["number"] for record in done if record["mode"] == mode}
    for number in range(n):
        if number in known:
            continue
        draw = random.Random(f"{seed} {mode} {number}")
        kills = [choose_kill(mode, reference, draw) for _ in range(1 + (draw.random() < 1 / 3))]
        folder, log = work / f"{mode}_{number}", work / f"{mode}_{number}.log"
        shutil.rmtree(folder, ignore_errors=True)
        log.unlink(missing_ok=True)
        started = time.monotonic()
        result = attempt(command_of(mode, recipes, folder, work, url), reference, kills, log)
        record = {"mode": mode, "number": number, "kills": [str(kill) for kill in kills], **result}
        yield {**record, "seconds": round(time.monotonic() - started, 1)}
        if result["outcome"] == "ok":
            shutil.rmtree(folder, ignore_errors=True)
            log.unlink(missing_ok=True)


def table(records: list[dict[str, Any]]) -> str:
    """Return the counts by mode as a Markdown table."""
    lines = ["| mode | commands | kills | ok | lost | stuck |", "|---|---|---|---|---|---|"]
    for mode in [*(mode for mode in MODES if any(record["mode"] == mode for record in records)), "all"]:
        part = [record for record in records if mode in (record["mode"], "all")]
        outcomes = Counter(record["outcome"] for record in part)
        kills = sum(record["killed"] for record in part)
        lines.append(
            f"| {mode} | {len(part)} | {kills} | {outcomes['ok']} | {outcomes['lost']} | {outcomes['stuck']} |"
        )
    return "\n".join(lines)


def campaign(work: Path, modes: list[str], n: int, seed: int) -> list[dict[str, Any]]:
    """Run the missing kills, write each result to FOLDER/kills.jsonl, and return all results."""
    from ft_toolkit.cli.libraries import load_libraries

    work = work.resolve()
    ctypes.CDLL(None).prctl(_SUBREAPER, 1, 0, 0, 0)  # orphans of killed commands become children of this process
    load_libraries()
    import ft_toolkit.runs.best
    import ft_toolkit.runs.ensemble
    import ft_toolkit.runs.folds
    import ft_toolkit.runs.learning_curve
    import ft_toolkit.runs.seeds
    import ft_toolkit.runs.sweep  # noqa: F401 - before the fork

    prepare(work)
    path = work / "kills.jsonl"
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.is_file() else []
    for mode in modes:
        with local_hub(work) if mode == "push" else nullcontext("") as url:
            for record in run_mode(mode, n, seed, work, records, url):
                records.append(record)
                with path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(record) + "\n")
                kills = "; then ".join(record["kills"])
                print(f"{mode} {record['number']}: {kills}: {record['outcome']}, {record['seconds']} s", flush=True)
    return records


@contextmanager
def local_hub(work: Path) -> Iterator[str]:
    """Yield the address of the Hub of the tests, in a separate process: threads of this process would be lost in its forks."""
    words = [sys.executable, str(ROOT / "tests" / "hub" / "minihub_http.py"), "0", str(work / "hub")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().split()[0]
        process.kill()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--mode", choices=MODES, action="append", help="default: all modes")
    parser.add_argument("--kills", type=int, default=20, help="commands to kill in each mode")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    records = campaign(arguments.output, arguments.mode or list(MODES), arguments.kills, arguments.seed)
    print(table(records))
    sys.exit(any(record["outcome"] != "ok" for record in records))


if __name__ == "__main__":
    main()
