"""What of a finished run goes to the Hub: the model, its card, and what repeats the run; no local path among it."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

from ft_toolkit.core.errors import UsageError
from ft_toolkit.core.hub_names import is_hub_id
from ft_toolkit.core.run_folder import INFERENCE, MODEL, RESULTS
from ft_toolkit.core.run_records import SeedsResults, read_results
from ft_toolkit.core.yaml12 import dump_yaml
from ft_toolkit.recipe.sections import PACKAGE_PREFIX
from ft_toolkit.report.card import card_text, eval_results_file
from ft_toolkit.report.run_files import RunFiles, read_run

# An absolute path inside a sentence or a command, on Unix or Windows: at least two parts, and not the end of an address.
_PATH = re.compile(
    r"(?<![\w:/.\\-])(?:~|[A-Za-z]:)?[/\\](?:[^\s/\\'\"=,;|<>()\[\]{}]+[/\\])+([^\s/\\'\"=,;|<>()\[\]{}]+)"
)
# transformers' own record of where it read something.
_SOURCE_KEYS = ("_name_or_path", "name_or_path")

Files = dict[str, Path | bytes]


def find_run(folder: Path) -> Path:
    """Return the folder of a finished run; of a run over several seeds, that of the best. Raises UsageError."""
    if not (folder / RESULTS).is_file():
        inside = (folder.parent / RESULTS).is_file() and (folder / INFERENCE).is_file()
        hint = (
            f"; give the run folder: {folder.parent}" if inside else "; a run folder that 'ftk run' finished is needed"
        )
        raise UsageError(f"{folder}: no results.json{hint}")
    results = read_results(folder)
    run = folder / results.best.folder if isinstance(results, SeedsResults) else folder
    if not (run / MODEL / INFERENCE).is_file():
        raise UsageError(f"{run}: no model; a run folder that 'ftk run' finished is needed")
    return run


def gather(folder: Path, repo: str, merged: Path | None = None) -> Files:
    """Return what is uploaded of a run, by its name in the repository: a file on disk, or its content.

    `merged` is a folder with the same model's adapter folded in, which then takes the place of the run's. Raises UsageError
    for an adapter whose base model lies only on this disk.

    Left out are the report and the predictions, which show texts of the data, and what only concerns this machine.
    """
    run = read_run(folder)
    base = run.contract.base_model if run.contract is not None else None
    if base is not None and merged is None:
        _check_base(base.name)
    public = _without_paths(run)
    model = merged or folder / "model"
    files: Files = {
        path.relative_to(model).as_posix(): _content(path)
        for path in sorted(model.rglob("*"))
        if path.is_file() and path.name != "README.md"
    }
    files["README.md"] = card_text(public, repo=repo, merged=merged is not None).encode()
    files["recipe.yaml"] = public.recipe_text.encode()
    files["results.json"] = _json(public.results.as_json())
    if (found := eval_results_file(public)) is not None:
        files[f".eval_results/{found[0]}"] = found[1].encode()
    return dict(sorted(files.items()))


def _check_base(name: str) -> None:
    if not name.startswith(PACKAGE_PREFIX) and (not is_hub_id(name) or Path(name).exists()):
        raise UsageError(
            f"the adapter belongs to the base model in {name}, which nobody else has; push whole weights with --merged "
            "(in a recipe: hub.merged=true)"
        )


def _content(path: Path) -> Path | bytes:
    """Return a file of the model folder, or its content without the places that transformers read things from."""
    if path.suffix != ".json" or path.name == "tokenizer.json":
        return path
    value = json.loads(path.read_text(encoding="utf-8"))
    public = _without_sources(value)
    return path if public == value else _json(public)


def _without_sources(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: _without_sources(inner)
            for key, inner in value.items()
            if not (key in _SOURCE_KEYS and isinstance(inner, str) and _is_absolute(inner))
        }
    return [_without_sources(inner) for inner in value] if isinstance(value, list) else value


def _without_paths(run: RunFiles) -> RunFiles:
    """Return the run with local paths cut to their last part, and the base model at the commit that it was read at."""
    recipe = dict(run.recipe)
    for section in ("model", "data"):
        recipe[section] = _cut(recipe.get(section) or {})
    results = run.results.as_json()
    for key in ("command", "substitutions", "data"):
        if key in results:
            results[key] = _cut(results[key])
    name = run.recipe.get("model", {}).get("name")
    if run.environment.model.commit:
        recipe["model"]["revision"] = run.environment.model.commit
    elif name is not None and not name.startswith(PACKAGE_PREFIX):
        # not the bare name, which somebody's Hub model may have
        recipe["model"]["name"] = results["model"] = f"local folder {PurePath(name).name}"
    else:
        results["model"] = _cut(results["model"])
    header = _cut(run.recipe_text.partition("\n")[0])
    text = (header + "\n" if header.startswith("#") else "") + dump_yaml(recipe)
    return replace(run, results=type(run.results).model_validate(results), recipe=recipe, recipe_text=text)


def _cut(value: Any) -> Any:
    """Return plain values with each absolute path cut to its last part."""
    if isinstance(value, str):
        return PurePath(value).name if _is_absolute(value) else _PATH.sub(lambda match: match[1], value)
    if isinstance(value, Mapping):
        return {key: _cut(inner) for key, inner in value.items()}
    return [_cut(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def _is_absolute(text: str) -> bool:
    return Path(text).is_absolute() or text.startswith("~/") or re.match(r"[A-Za-z]:[/\\]", text) is not None


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
