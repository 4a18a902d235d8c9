"""Write the files that run the server elsewhere: Dockerfile, systemd unit, Kubernetes manifests, and copies of the models."""

import json
import shutil
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import ft_toolkit
from ft_toolkit.core.environment import versions
from ft_toolkit.core.errors import UsageError
from ft_toolkit.core.files import atomic_folder, write_file
from ft_toolkit.core.model_folders import find_model_folder
from ft_toolkit.core.run_records import read_contract, read_members
from ft_toolkit.serve.options import ModelSource
from ft_toolkit.tasks.text.chat_format import OWN_TEMPLATE

TEMPLATES = Path(__file__).resolve().parent / "deployment"
FILES = ("Dockerfile", "ftk-serve.service", "kubernetes.yaml")
NAME = "ftk-serve"
# The packages of the server for exported models, and the further ones for models in torch.
_PACKAGES = ("fastapi", "uvicorn", "numpy", "pydantic", "pyyaml", "rich", "typer")
_EXPORTED = ("onnxruntime", "tokenizers")
_TORCH = ("transformers", "accelerate", "peft", "safetensors", "tokenizers", "sentencepiece")
# Seconds that a supervisor waits longer than the server.
_MARGIN = 10
# MiB of a process without a model: with onnxruntime 159 MiB were measured with a model of 24 MB, with torch 600 MiB.
_BASE_EXPORTED, _BASE_TORCH = 256, 768


@dataclass(frozen=True)
class Deployment:
    """The files of a deployment: the models, the options for `ftk serve` after them, and the seconds after SIGTERM."""

    models: tuple[ModelSource, ...]
    options: Sequence[str]
    port: int
    stop_seconds: int


def write_deployment(deployment: Deployment, target: Path) -> list[Path]:
    """Write the files to a new folder and return their paths. Raises UsageError.

    Only the model folders are copied. The predictions of the runs stay where they are, because they have the texts of the data.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target} exists and is not an empty folder; choose another folder for --write")
    folders = {source.name: _folder_of(source) for source in deployment.models}
    is_exported = all(read_contract(folder).graph is not None for folder in folders.values())
    values = _values(deployment, folders, is_exported)
    with atomic_folder(target) as folder:
        for name, model in folders.items():
            shutil.copytree(model, folder / "models" / name)
        for file in FILES:
            text = (TEMPLATES / file).read_text(encoding="utf-8")
            values["COMMAND"] = _unit_command(deployment) if file == "ftk-serve.service" else _image_command(deployment)
            for key, value in values.items():
                text = text.replace(f"@{key}@", value)
            write_file(folder / file, text)
        write_file(folder / "requirements.txt", _requirements(is_exported, needs_jinja=_needs_jinja(folders.values())))
    return [target / file for file in (*FILES, "requirements.txt", "models")]


def _folder_of(source: ModelSource) -> Path:
    """Return the model folder of a source. Raises UsageError for a model that another machine could not load."""
    folder = find_model_folder(Path(source.path))
    if folder is None:
        raise UsageError(f"{source.path}: not the folder of a finished run or model; --write needs local folders")
    if read_contract(folder).base_model is not None or len(read_members(folder)) > 1:
        raise UsageError(
            f"{source.path}: an adapter or an ensemble needs other folders; write one folder first: "
            f"ftk export {source.path} FOLDER --format transformers"
        )
    return folder


def _values(deployment: Deployment, folders: dict[str, Path], is_exported: bool) -> dict[str, str]:
    size = sum(file.stat().st_size for folder in folders.values() for file in folder.rglob("*") if file.is_file()) >> 20
    # two versions are in memory while a new one is loaded
    memory = (_BASE_EXPORTED if is_exported else _BASE_TORCH) + 2 * size
    return {
        "NAME": NAME,
        "MODELS": ", ".join(folders),
        "IMAGE": f"{NAME}:{ft_toolkit.__version__}",
        "VERSION": ft_toolkit.__version__,
        "PYTHON": f"{sys.version_info.major}.{sys.version_info.minor}",
        "PORT": str(deployment.port),
        "NO_DEPS": "--no-deps " if is_exported else "",
        "STOP_SECONDS": str(deployment.stop_seconds + _MARGIN),
        "MEMORY": str(memory),
        "MEMORY_LIMIT": str(2 * memory),
    }


def _image_command(deployment: Deployment) -> str:
    models = [f"{source.name}=/models/{source.name}" for source in deployment.models]
    return json.dumps(
        ["ftk", "serve", *models, "--host", "0.0.0.0", "--port", str(deployment.port), *deployment.options]
    )


def _unit_command(deployment: Deployment) -> str:
    models = [f"{source.name}={Path(source.path).absolute()}" for source in deployment.models]
    words = [sys.executable, "-m", "ft_toolkit", "serve", *models, "--port", str(deployment.port), *deployment.options]
    return " ".join(map(_quote_for_systemd, words))


def _quote_for_systemd(word: str) -> str:
    """Return a word of ExecStart: % and $ have a meaning there, and spaces need quotes."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if any(character in word for character in " \t\"'\\;") else escaped


def _needs_jinja(folders: Iterable[Path]) -> bool:
    """Return whether an exported model writes dialogues in the chat template of its checkpoint."""
    graphs = [read_contract(folder).graph for folder in folders]
    return any(graph is not None and graph.chat_template not in (None, OWN_TEMPLATE) for graph in graphs)


def _requirements(is_exported: bool, *, needs_jinja: bool) -> str:
    """Return the packages with the versions of this machine, with which the models were tested."""
    names: tuple[str, ...] = (*_EXPORTED, *_PACKAGES) if is_exported else ("torch", *_TORCH, *_PACKAGES)
    if needs_jinja:
        names = (*names, "jinja2")
    index = "" if is_exported else "--extra-index-url https://download.pytorch.org/whl/cpu\n"
    return index + "".join(
        f"{name}=={version}\n" if version else f"{name}\n" for name, version in versions(names).items()
    )
