"""What several verbs need: the arguments of a recipe, the recipe's file, and quiet libraries."""

import atexit
import gc
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ft_toolkit import environment
from ft_toolkit.errors import UsageError, did_you_mean, one_of
from ft_toolkit.shipped import shipped

RecipeArgument = Annotated[
    str, typer.Argument(help="A recipe file, or the name of a shipped recipe (see 'ftk recipes').")
]
Overrides = Annotated[list[str] | None, typer.Argument(help="section.key=value ...; wins over the recipe.")]


def find_recipe(name: str) -> Path:
    """Return the file of a recipe given by path or by the name of a shipped one. Raises RecipeError."""
    if Path(name).is_file():
        return Path(name)
    folder = shipped("recipes")
    known = {path.relative_to(folder).with_suffix("").as_posix(): path for path in sorted(folder.rglob("*.yaml"))}
    wanted = name.removeprefix("recipes/").removesuffix(".yaml")
    matches = [key for key in known if wanted in (key, key.rpartition("/")[2])]
    if len(matches) == 1:
        return known[matches[0]]
    if matches:
        raise UsageError(f"more than one recipe is called '{name}'; say which: {one_of(matches)}")
    hint = did_you_mean(wanted, [*known, *(key.rpartition("/")[2] for key in known)])
    raise UsageError(f"no recipe '{name}': neither a file here nor one of {one_of(known)}.{hint}")


def quiet_hub() -> None:
    """Keep huggingface_hub's bars and advice out of the output, which says these things itself."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")


def load_libraries() -> None:
    """Load torch, transformers and Accelerate; keep their bars and advice out of the output, their errors still show.

    Python's collections find nothing to free among a million objects that stay: 0.8 s while they are loaded and 1 s at the
    exit, so there are none over them.
    """
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    quiet_hub()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    # peft 0.21 asks transformers 5.23 for an attribute under its old name; nobody who runs a recipe can act on that
    warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated", category=FutureWarning)
    os.environ.setdefault(
        "HF_DATASETS_DISABLE_PROGRESS_BARS", "1"
    )  # read when datasets is imported, which predicting is not
    # oneDNN keeps what it compiled for each shape of a bfloat16 product, 1024 at most: 240 MiB of a small training, for 1% of
    # its time (two rounds of five: 8.3 and 8.4 s)
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "128")
    gc.disable()
    try:
        from transformers.utils import logging

        import ft_toolkit.evaluation  # noqa: F401
    finally:
        gc.enable()
    if not gc.get_freeze_count():
        gc.freeze()
        atexit.register(gc.freeze)
    logging.disable_progress_bar()
    if environment.use_cpu():  # else DeepSpeed, where it is installed, says at length that it guessed so
        os.environ.setdefault("DS_ACCELERATOR", "cpu")


def print_columns(lines: Sequence[Sequence[str]]) -> None:
    """Print lines of cells, each column as wide as it needs to be: what is cut off would hide something."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())
