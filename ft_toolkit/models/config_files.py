"""Facts of a model folder that are read from its JSON files, before transformers reads them."""

from pathlib import Path
from typing import Any

from ft_toolkit.core.run_folder import BASE_CONFIG
from ft_toolkit.models.folder_check import read_settings

# The key of config.json with the pooling of a classification model, if it is not the default of the model family.
POOLING_KEY = "ft_toolkit_pooling"


def saved_pooling(folder: Path) -> str | None:
    """Return the pooling that ft_toolkit saved with a model; None for the default of the model family. Raises ModelError."""
    value = _read_config(folder).get(POOLING_KEY)
    return value if isinstance(value, str) else None


def quantization(folder: Path) -> str | None:
    """Return the name of the quantization of a checkpoint, such as gptq; None for ordinary weights. Raises ModelError.

    Older checkpoints have it in a file beside config.json.
    """
    for name, method in (("quantize_config.json", "gptq"), ("quant_config.json", "awq")):
        if (folder / name).is_file():
            return method
    settings = _read_config(folder).get("quantization_config")
    if not settings:
        return None
    return str(settings.get("quant_method", "unknown method")) if isinstance(settings, dict) else "unknown method"


def token_types(folder: Path) -> int | None:
    """Return the number of token types (segments) that a model distinguishes; None if its config does not say."""
    value = _read_config(folder).get("type_vocab_size")
    return value if isinstance(value, int) else None


def _read_config(folder: Path) -> dict[str, Any]:
    """Return the values of config.json (for an adapter, of its base model); empty without the file. Raises ModelError."""
    path = next(
        (path for path in (folder / BASE_CONFIG / "config.json", folder / "config.json") if path.is_file()), None
    )
    if path is None:
        return {}
    return read_settings(path)
