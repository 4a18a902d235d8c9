"""The files of a run folder, and the checks of an output folder. Imports no heavy library."""

import shlex
import shutil
from pathlib import Path

from ft_toolkit.core.errors import UsageError
from ft_toolkit.core.hub_names import is_hub_id, split_revision

# The files of a run folder. `run_records` has the types of the JSON files.
RECIPE = "recipe.yaml"
ENVIRONMENT = "environment.json"
RESULTS = "results.json"
METRICS = "metrics.jsonl"
PREDICTIONS = "predictions.jsonl"
ATTRIBUTIONS = "attributions.jsonl"
EXAMPLES = "examples.npz"
REPORT = "report.html"
CARD = "README.md"
MODEL = "model"
# The rows that `ft_toolkit.fine_tune` got from memory, written before the run starts.
INPUT_ROWS = "input_rows"
# The rows that cannot be read and were left out (data.on_bad_rows=skip), with the reasons.
SKIPPED_ROWS = "skipped_rows.jsonl"
# A checkpoint to resume from, and the weights with the best validation score.
CHECKPOINTS = "checkpoints"
LAST_CHECKPOINT, BEST_CHECKPOINT = f"{CHECKPOINTS}/last", f"{CHECKPOINTS}/best"
# In the folder of a cross-validation.
FOLDS, FOLDS_PAGE = "folds.json", "folds.html"
# In the folder of a sweep: the results, the page, the recipe of the best trial, and Optuna's journal of the trials.
SWEEP, SWEEP_PAGE, BEST_RECIPE, SWEEP_JOURNAL = "sweep.json", "sweep.html", "best.yaml", "journal.log"
# In the folder of a command that starts several runs: the output of each run in a separate process.
LOGS = "logs"
# In a checkpoint.
STATE = "state.json"
# In the folder of a learning curve.
LEARNING_CURVE, LEARNING_CURVE_PAGE = "scale.json", "scale.html"
# In a model folder.
INFERENCE = "inference.json"
TRAINING_ROWS = "training_rows.npz"
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = "adapter_model.safetensors"
# In the model folder of an ensemble: the list of its members, and the folder with their model folders.
ENSEMBLE, MEMBERS = "ensemble.json", "members"
# In the model folder of an adapter: the folder with the config of the base model for this task. A config.json beside
# adapter_config.json would make transformers take the folder for a complete model.
BASE_CONFIG = "base_config"


def check_folder(output: Path | None, *, resume: bool) -> None:
    """Raise UsageError when a run must not write to `output`, or when there is no run to resume."""
    if resume and output is None:
        raise UsageError("--resume requires the run folder: --output FOLDER")
    if output is None:
        return
    if resume and not output.is_dir():
        raise UsageError(f"{output}: run folder not found; nothing to resume")
    for results, page in ((RESULTS, REPORT), (FOLDS, FOLDS_PAGE)):
        if resume and (output / results).is_file():
            raise UsageError(f"{output}: the run is already finished; see {output / page}")
    if not resume and output.exists() and not (output.is_dir() and _has_only_input_rows(output)):
        raise UsageError(f"{output} exists and is not empty. Choose another --output, or resume the run with --resume")


def _has_only_input_rows(folder: Path) -> bool:
    """Return whether a folder is empty, apart from input rows."""
    return all(path.name == INPUT_ROWS for path in folder.iterdir())


def claim(name: str, output: Path | None, *, resume: bool, parent: str = "runs") -> str:
    """Create the run folder and return its path: `output`, or NAME in `parent` with the next free number. Raises UsageError."""
    check_folder(output, resume=resume)
    if output is not None:
        output.mkdir(parents=True, exist_ok=True)
        return str(output)
    number = 1
    while True:
        folder = Path(parent) / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return str(folder)


def remove_if_bare(folder: Path) -> None:
    """Delete a run folder without a recipe and without input rows."""
    if not (folder / RECIPE).exists() and not (folder / INPUT_ROWS).exists():
        shutil.rmtree(folder, ignore_errors=True)


def resume_command(command: str, folder: Path) -> str:
    """Return the command that resumes the run that `command` started in `folder`."""
    return shlex.join([*without_folder(command), "--output", str(folder), "--resume"])


def without_folder(command: str) -> list[str]:
    """Return the arguments of a command without --output and --resume."""
    return [word for word in _without_options(shlex.split(command), ("--output",)) if word != "--resume"]


def without_execution(command: str) -> list[str]:
    """Return the arguments of a command without --output, --resume and the options that say where its runs are computed."""
    return _without_options(without_folder(command), ("--executor", "--executor-option", "--parallel"))


def _without_options(words: list[str], options: tuple[str, ...]) -> list[str]:
    """Return words without options that have a value: `--name VALUE` and `--name=VALUE`."""
    kept: list[str] = []
    is_value = False
    for word in words:
        if not is_value and word not in options and not word.startswith(tuple(f"{name}=" for name in options)):
            kept.append(word)
        is_value = not is_value and word in options
    return kept


def is_local(name: str) -> bool:
    """Return whether a model is a local path. Raises UsageError when it is neither an existing path nor a Hub id."""
    if Path(name).exists():
        return True
    repo, _ = split_revision(name)
    if "/" not in repo or not is_hub_id(repo):
        raise UsageError(f"{name}: not found locally, and not a Hub id (owner/name, owner/name@revision)")
    return False
