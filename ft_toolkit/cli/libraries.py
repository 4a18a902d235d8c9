"""Load the heavy libraries quietly."""

import atexit
import gc
import os
import warnings
from contextlib import AbstractContextManager, nullcontext

from rich.console import Console

from ft_toolkit.core import environment
from ft_toolkit.core.verbosity import Verbosity


def quiet_hub() -> None:
    """Keep huggingface_hub's bars and advice out of the output, which says these things itself."""
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")


def load_libraries(verbosity: Verbosity = Verbosity.NORMAL) -> None:
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
        with _loading_message(verbosity):
            from transformers.utils import logging

            import ft_toolkit.evaluation.predictor  # noqa: F401
    finally:
        gc.enable()
    if not gc.get_freeze_count():
        gc.freeze()
        atexit.register(gc.freeze)
    logging.disable_progress_bar()
    if environment.use_cpu():  # else DeepSpeed, where it is installed, says at length that it guessed so
        os.environ.setdefault("DS_ACCELERATOR", "cpu")


def _loading_message(verbosity: Verbosity) -> AbstractContextManager[object]:
    """Show "loading libraries" on a terminal, on the main process, for the duration of the context: it takes seconds."""
    console = Console(stderr=True)
    if verbosity == Verbosity.QUIET or not console.is_terminal or os.environ.get("RANK", "0") != "0":
        return nullcontext()
    return console.status("loading libraries")
