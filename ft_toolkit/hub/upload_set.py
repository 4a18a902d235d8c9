"""Collect the files of a finished run for the Hub: model, model card, recipe and results, without local paths."""

import fnmatch
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Any

from ft_toolkit.core.errors import UsageError
from ft_toolkit.core.export_records import read_certificate
from ft_toolkit.core.hub_names import is_hub_id
from ft_toolkit.core.json_records import read_object
from ft_toolkit.core.run_folder import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    BASE_CONFIG,
    CARD,
    CERTIFICATE,
    ENSEMBLE,
    ENVIRONMENT,
    INFERENCE,
    MODEL,
    ONNX_ENCODER,
    ONNX_GRAPH,
    RECIPE,
    RESULTS,
    TRAINING_ROWS,
)
from ft_toolkit.core.run_records import SeedsResults, read_contract, read_members, read_results
from ft_toolkit.core.yaml12 import dump_yaml
from ft_toolkit.recipe.sections import PACKAGE_PREFIX
from ft_toolkit.report.card import card_text, eval_results_file
from ft_toolkit.report.ensemble_card import ensemble_card_text
from ft_toolkit.report.export_card import export_card_text
from ft_toolkit.report.run_files import RunFiles, read_run

# An absolute path inside a sentence or a command, on Unix or Windows, with at least two parts; not the path of a URL.
_PATH = re.compile(
    r"(?<![\w:/.\\-])(?:~|[A-Za-z]:)?[/\\](?:[^\s/\\'\"=,;|<>()\[\]{}]+[/\\])+([^\s/\\'\"=,;|<>()\[\]{}]+)"
)
# Keys in which transformers records the source of a model or a tokenizer.
_SOURCE_KEYS = ("_name_or_path", "name_or_path")

Files = dict[str, Path | bytes]


def find_run(folder: Path) -> Path:
    """Return the folder of a finished run; for a multi-seed run, the folder of the best seed. Raises UsageError."""
    if not (folder / RESULTS).is_file():
        inside = (folder.parent / RESULTS).is_file() and (folder / INFERENCE).is_file()
        hint = f"give the run folder: {folder.parent}" if inside else "a finished run folder of 'ftk run' is required"
        raise UsageError(f"{folder}: no {RESULTS}; {hint}")
    results = read_results(folder)
    run = folder / results.best.folder if isinstance(results, SeedsResults) else folder
    if not (run / MODEL / INFERENCE).is_file():
        raise UsageError(f"{run}: no model; a finished run folder of 'ftk run' is required")
    return run


# The files of a model folder that are uploaded: the files that transformers, peft and ft_toolkit write there.
_UPLOADED = (
    *("config.json", "generation_config.json", f"{BASE_CONFIG}/config.json", f"{BASE_CONFIG}/generation_config.json"),
    *("model.safetensors", "model-*-of-*.safetensors", "model.safetensors.index.json"),
    *(ADAPTER_CONFIG, ADAPTER_WEIGHTS, INFERENCE, ONNX_ENCODER, ONNX_GRAPH),
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.jinja"),
    *("vocab.txt", "vocab.json", "target_vocab.json", "merges.txt", "*.model", "*.spm", "vocab.bpe", "bpe.codes"),
)


def left_out(model: Path) -> list[str]:
    """Return the names of the files of a model folder that are not uploaded because no library writes them there."""
    names = []
    for member in read_members(model):
        for path in sorted(member.rglob("*")):
            is_known = path.name in (CARD, TRAINING_ROWS) or _is_uploaded(path.relative_to(member).as_posix())
            if (path.is_symlink() or not path.is_dir()) and not is_known:
                names.append(path.relative_to(model).as_posix())
    return names


def _is_uploaded(name: str) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in _UPLOADED if "/" in pattern or "/" not in name)


def _uploaded(member: Path) -> list[Path]:
    """Return the files of a model folder to upload. Raises UsageError if one is a link or not a regular file."""
    paths = [path for path in sorted(member.rglob("*")) if _is_uploaded(path.relative_to(member).as_posix())]
    for path in paths:
        _check_regular(path, member)
    return paths


def _check_regular(path: Path, folder: Path) -> None:
    """Raise UsageError unless a path is a regular file or a folder in `folder`, without links below `folder`.

    A folder from a stranger may have a link to a private file, whose content would be uploaded.
    """
    is_regular = path.is_file() or path.is_dir()
    if path.resolve() != folder.resolve() / path.relative_to(folder) or not is_regular:
        raise UsageError(
            f"{path}: a link, or not a regular file. Only regular files are uploaded; replace it by a copy if you trust it"
        )


def collect_files(folder: Path, repo: str, merged: Path | None = None) -> Files:
    """Return the files to upload by their names in the repository, each as a local file or as its content.

    `merged` is a folder with the merged weights of an adapter, which replaces the model folder of the run. Not uploaded are the
    report and the predictions, which contain texts of the data; the hashes of the training rows, which show whether a known
    text was used; and the environment of the run. Raises UsageError for an adapter whose base model is a local folder.
    """
    for name in (RECIPE, RESULTS, ENVIRONMENT, f"{MODEL}/{INFERENCE}"):
        if (folder / name).exists():
            _check_regular(folder / name, folder)
    run = read_run(folder)
    public = _without_paths(run)
    model = merged or folder / MODEL
    files: Files = {}
    for member in read_members(model):
        _check_regular(member, model)
        base = read_contract(member).base_model
        if base is not None:
            _check_base(base.name)
        files |= {
            path.relative_to(model).as_posix(): _content(path, None if base is None else base.name)
            for path in _uploaded(member)
        }
    if run.is_ensemble:
        for name in (INFERENCE, ENSEMBLE):
            _check_regular(model / name, model)
        files |= {name: model / name for name in (INFERENCE, ENSEMBLE)}
        files[CARD] = ensemble_card_text(public, repo=repo).encode()
    elif run.is_export:
        _check_regular(folder / CERTIFICATE, folder)
        files[CERTIFICATE] = folder / CERTIFICATE
        files[CARD] = export_card_text(public, read_certificate(folder), repo=repo).encode()
    else:
        files[CARD] = card_text(public, repo=repo, merged=merged is not None).encode()
        files[RECIPE] = public.recipe_text.encode()
    files[RESULTS] = _json(public.results.as_json())
    if (eval_results := eval_results_file(public)) is not None:
        name, content = eval_results
        files[f".eval_results/{name}"] = content.encode()
    return dict(sorted(files.items()))


def _check_base(name: str) -> None:
    if not name.startswith(PACKAGE_PREFIX) and (not is_hub_id(name) or Path(name).exists()):
        raise UsageError(
            f"the adapter requires the base model in the local folder {name}, which is not on the Hub. Push merged weights "
            "with --merged (in a recipe: hub.merged=true)"
        )


def _content(path: Path, base: str | None) -> Path | bytes:
    """Return a file of the model folder, or its content without local paths that transformers and peft recorded.

    `base` is the name of an adapter's base model that is valid on every machine.
    """
    if path.suffix != ".json" or path.name == "tokenizer.json":
        return path
    value = read_object(path)
    public = _without_sources(value)
    if path.name == ADAPTER_CONFIG and base is not None:
        public["base_model_name_or_path"] = base
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
    """Return the run with absolute paths cut to their last part, and the base model pinned to the commit that was used."""
    recipe = dict(run.recipe)
    for section in ("model", "data"):
        recipe[section] = _cut_paths(recipe.get(section) or {})
    results = run.results.as_json()
    for key in ("command", "substitutions", "data", "members", "export"):
        if key in results:
            results[key] = _cut_paths(results[key])
    name = run.recipe.get("model", {}).get("name")
    if run.environment.model.commit:
        recipe["model"]["revision"] = run.environment.model.commit
    elif name is not None and not name.startswith(PACKAGE_PREFIX):
        # not the name alone, which may also be a model on the Hub
        recipe["model"]["name"] = results["model"] = f"local folder {PurePath(name).name}"
    else:
        results["model"] = _cut_paths(results["model"])
    header = _cut_paths(run.recipe_text.partition("\n")[0])
    text = (header + "\n" if header.startswith("#") else "") + dump_yaml(recipe)
    return replace(run, results=type(run.results).model_validate(results), recipe=recipe, recipe_text=text)


def _cut_paths(value: Any) -> Any:
    """Return plain values with each absolute path cut to its last part."""
    if isinstance(value, str):
        return PurePath(value).name if _is_absolute(value) else _PATH.sub(lambda match: match[1], value)
    if isinstance(value, Mapping):
        return {key: _cut_paths(inner) for key, inner in value.items()}
    return [_cut_paths(inner) for inner in value] if isinstance(value, (list, tuple)) else value


def _is_absolute(text: str) -> bool:
    return Path(text).is_absolute() or text.startswith("~/") or re.match(r"[A-Za-z]:[/\\]", text) is not None


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()
