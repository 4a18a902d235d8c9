"""Silence the progress bars, log messages and warnings of the libraries while the Python API works."""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from ft_toolkit.core.environment import use_cpu

# Warnings that are attributed to a module of these packages are hidden.
_LIBRARIES = (
    "torch",
    "transformers",
    "accelerate",
    "peft",
    "datasets",
    "evaluate",
    "huggingface_hub",
    "tokenizers",
    "tqdm",
)


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Let the libraries show only errors within the context. Their settings are restored at the end."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=rf"({'|'.join(_LIBRARIES)})(\.|$)")
        # peft 0.21 reads an attribute of transformers 5.23 by its old name
        warnings.filterwarnings("ignore", message="`is_gradient_checkpointing` is deprecated")
        with _quiet_environment(), _quiet_loggers(), _quiet_bars(), _quiet_datasets():
            yield


@contextmanager
def _quiet_environment() -> Iterator[None]:
    # read by tokenizers before a fork, and by DeepSpeed when it is imported
    variables = {"TOKENIZERS_PARALLELISM": "true"} | ({"DS_ACCELERATOR": "cpu"} if use_cpu() else {})
    added = {name: value for name, value in variables.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


@contextmanager
def _quiet_loggers() -> Iterator[None]:
    import transformers.utils.logging as transformers_logging

    verbosity = transformers_logging.get_verbosity()
    levels = {name: logging.getLogger(name).level for name in _LIBRARIES if name != "transformers"}
    transformers_logging.set_verbosity_error()
    for name in levels:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        yield
    finally:
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
        transformers_logging.set_verbosity(verbosity)


@contextmanager
def _quiet_bars() -> Iterator[None]:
    import transformers.utils.logging as transformers_logging
    from huggingface_hub.utils.tqdm import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    bars, hub_bars = transformers_logging.is_progress_bar_enabled(), not are_progress_bars_disabled()
    transformers_logging.disable_progress_bar()
    if hub_bars:
        disable_progress_bars()
    try:
        yield
    finally:
        if hub_bars:
            enable_progress_bars()
        if bars:
            transformers_logging.enable_progress_bar()


@contextmanager
def _quiet_datasets() -> Iterator[None]:
    """Disable the progress bars of `datasets`, if it is imported: importing it takes a second."""
    datasets = sys.modules.get("datasets")
    bars = datasets is not None and not datasets.are_progress_bars_disabled()
    if datasets is not None and bars:
        datasets.disable_progress_bars()
    try:
        yield
    finally:
        if datasets is not None and bars:
            datasets.enable_progress_bars()
