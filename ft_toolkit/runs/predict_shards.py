"""Predict the files of a folder: a folder of shards goes in, and a folder of shards with the same names comes out.

Each shard is predicted as `ftk predict` predicts one file. With another executor than `local`, or with --parallel, each shard
is a job (see `runs/executors/`).
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ft_toolkit.core.errors import ChildRunError, FtkError, Interrupted, UsageError, one_of
from ft_toolkit.core.files import unfinished_file, write_json
from ft_toolkit.core.quiet import quiet_libraries
from ft_toolkit.core.run_folder import LOGS
from ft_toolkit.data.formats import find_formats
from ft_toolkit.data.unpacking import SUFFIXES
from ft_toolkit.inference.open_finished import open_finished
from ft_toolkit.inference.predict import OUTPUT_TYPES, Target, predict, read_rows
from ft_toolkit.recipe.reading import Reading
from ft_toolkit.runs.executors import Execution
from ft_toolkit.runs.executors.base import Job
from ft_toolkit.runs.executors.run_jobs import run_jobs
from ft_toolkit.runtime.finished_model import FinishedModel

# The facts about the command that wrote a folder of predictions.
COMMAND = ".command.json"


@dataclass(frozen=True)
class ShardRequest:
    """The files of `source` are predicted into files of `output`.

    `columns`, `base`, `reading` and `with_inputs` are those of `predict`. `resume` leaves out the shards that are finished, and
    `resume_with` is the command that does so.
    """

    model: str
    source: Path
    output: Path
    columns: dict[str, str]
    resume_with: str
    base: str | None = None
    reading: Reading | None = None
    resume: bool = False
    execution: Execution = field(default_factory=Execution)
    with_inputs: bool = False

    def facts(self) -> dict[str, Any]:
        """Return what must be the same when the command is resumed."""
        reading = None if self.reading is None else self.reading.model_dump(mode="json")
        values = {"MODEL": self.model, "--input": str(self.source), "--column": self.columns, "--base": self.base}
        return {**values, "--reading": reading, "--with-inputs": self.with_inputs}


def predict_shards(request: ShardRequest, say: Callable[[str], None]) -> None:
    """Predict every shard that has no predictions yet; `say` prints a line per shard.

    After an error, no further shard is started, and the finished ones are kept. Raises UsageError for a folder without shards
    and for an output folder of another command, ChildRunError for a shard that failed, and Interrupted.
    """
    shards = find_shards(request.source)
    outputs = _outputs(shards, request.output)
    _claim(request, outputs)
    left = [(shard, output) for shard, output in zip(shards, outputs, strict=True) if not output.exists()]
    if len(left) < len(shards):
        say(f"{len(shards) - len(left)} of {len(shards)} shards are finished")
    if request.execution.is_separate:
        jobs = [_job(request, shard, output) for shard, output in left]
        if jobs:
            run_jobs(jobs, request.execution, request.output / LOGS, say, request.resume_with)
    else:
        _predict_here(request, left, say)
    say(f"wrote {request.output} ({len(shards)} shards)")


def find_shards(folder: Path) -> list[Path]:
    """Return the data files in a folder, in alphabetical order. Raises UsageError if there are none."""
    known = {*find_formats(), *SUFFIXES}
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    shards = [path for path in files if path.suffix.lower() in known]
    if not shards:
        listing = f"; found {one_of([path.name for path in files])}" if files else ""
        raise UsageError(f"{folder}: no data files in this folder, such as .jsonl, .csv or .parquet{listing}")
    return shards


def _outputs(shards: list[Path], folder: Path) -> list[Path]:
    """Return the output file of each shard: csv for csv files, and jsonl for all others. Raises UsageError for equal names."""
    outputs: dict[Path, Path] = {}
    for shard in shards:
        name = shard.name
        while Path(name).suffix.lower() in SUFFIXES:
            name = Path(name).stem
        suffix = Path(name).suffix.lower()
        output = folder / f"{Path(name).stem}{suffix if suffix in OUTPUT_TYPES else OUTPUT_TYPES[0]}"
        if output in outputs:
            raise UsageError(f"{outputs[output].name} and {shard.name} would both be written to {output}; rename one")
        outputs[output] = shard
    return list(outputs)


def _claim(request: ShardRequest, outputs: list[Path]) -> None:
    """Write the facts about the command to the output folder. Raises UsageError if another command wrote it."""
    path, facts = request.output / COMMAND, request.facts()
    if request.output.exists() and not request.output.is_dir():
        raise UsageError(f"{request.output}: is a file; --input is a folder, so --output must be one")
    if path.is_file():
        saved = json.loads(path.read_text(encoding="utf-8"))
        if changed := [name for name, value in facts.items() if saved.get(name) != value]:
            raise UsageError(
                f"{request.output} has predictions of another command ({one_of(changed)} differs); use another folder"
            )
    existing = [output.name for output in outputs if output.exists()]
    if existing and not request.resume:
        raise UsageError(
            f"{request.output} already has {one_of(existing, limit=3)}; add --resume to predict only the missing shards, or "
            "use another folder"
        )
    if existing and not path.is_file():
        raise UsageError(f"--resume: {request.output} was not written by this command; use another folder")
    request.output.mkdir(parents=True, exist_ok=True)
    write_json(path, facts)


def _predict_here(request: ShardRequest, left: list[tuple[Path, Path]], say: Callable[[str], None]) -> None:
    """Predict shards in this process, with one model."""
    loaded = open_finished(request.model, request.base) if left else None
    for number, (shard, output) in enumerate(left, 1):
        say(f"{shard.name} ({number} of {len(left)})")
        try:
            _predict(loaded or request.model, shard, output, request)
        except Interrupted as stopped:
            raise Interrupted(
                stopped.exit_code - 128, f"stopped; the finished shards are kept. Resume with:\n  {request.resume_with}"
            ) from None
        except FtkError as error:
            kept = f"The finished shards are kept. Resume with:\n  {request.resume_with}"
            raise ChildRunError(f"{shard}: {error}\n{kept}", error.exit_code) from error


def _predict(model: str | FinishedModel, shard: Path, output: Path, request: ShardRequest) -> None:
    rows = read_rows(None, shard, request.reading)
    resume = unfinished_file(output).is_file()
    predict(
        model, rows, request.columns, Target(output, shard, resume, request.reading, request.with_inputs), request.base
    )


def _job(request: ShardRequest, shard: Path, output: Path) -> Job:
    """Return the job that calls `predict_shard`."""
    arguments = {
        "model": request.model,
        "shard": str(shard),
        "output": str(output),
        "columns": request.columns,
        "base": request.base,
        "reading": None if request.reading is None else request.reading.model_dump(mode="json"),
        "with_inputs": request.with_inputs,
    }
    log = request.output / LOGS / f"{output.name}.log"
    return Job(shard.name, request.output, f"{__name__}:{predict_shard.__name__}", arguments, log)


def predict_shard(
    model: str,
    shard: str,
    output: str,
    columns: dict[str, str],
    base: str | None,
    reading: dict[str, Any] | None,
    *,
    with_inputs: bool,
) -> None:
    """Predict a shard in the process of a job."""
    how = None if reading is None else Reading.model_validate(reading)
    request = ShardRequest(
        model, Path(shard).parent, Path(output).parent, columns, "", base, how, with_inputs=with_inputs
    )
    with quiet_libraries():
        _predict(model, Path(shard), Path(output), request)
