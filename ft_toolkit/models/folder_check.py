"""Check the files of a model folder before transformers and peft read them, and turn their errors into one ModelError.

A model folder may come from a stranger. Every call that reads one is inside `checked_folder`:

    with checked_folder(folder, "the tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)

The check reads the JSON files only. It refuses a folder that

- names Python code (`auto_map`), or an attention kernel that would be downloaded (`attn_implementation` with a "/");
- points to files outside the folder (the index of the weights, `transformers_weights`, `vocab_file`, ...);
- has an adapter with settings that ft_toolkit does not write, some of which import modules or read other files;
- has a config with a number that no model has;
- has a JSON file that is not an object, is too large, or is nested too deeply.
"""

import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError

from ft_toolkit.core.errors import ModelError
from ft_toolkit.core.files import is_inner_path
from ft_toolkit.core.run_folder import ADAPTER_CONFIG, BASE_CONFIG
from ft_toolkit.models.model_size import check_numbers

# Files with settings: the largest known tokenizer_config.json (100,000 added tokens) has less than 20 MB.
_SETTINGS = (
    "config.json",
    "generation_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "processor_config.json",
    ADAPTER_CONFIG,
    f"{BASE_CONFIG}/config.json",
    f"{BASE_CONFIG}/generation_config.json",
)
# Files whose numbers are sizes of a model. Those of a tokenizer are not: transformers writes 10**30 for no limit.
_MODEL_SETTINGS = tuple(
    name for name in _SETTINGS if name.rpartition("/")[2] in ("config.json", "generation_config.json")
)
_INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_LARGEST_FILE = 32 * 2**20
_DEEPEST = 40
# Keys of code that transformers would import: classes of a model or tokenizer, and a generation loop.
_CODE_KEYS = ("auto_map", "custom_generate", "custom_pipelines")
_KERNEL_KEYS = ("attn_implementation", "_attn_implementation", "experts_implementation")
# Keys with the name of a file in the folder.
_FILE_KEYS = (
    "transformers_weights",
    "vocab_file",
    "merges_file",
    "tokenizer_file",
    "spm_file",
    "source_spm",
    "target_spm",
)
_ADAPTER_TYPES = ("LORA", "IA3")
# Settings of an adapter that ft_toolkit writes. Every other setting must have peft's default.
_ADAPTER_KEYS = (
    *(
        "peft_type",
        "task_type",
        "auto_mapping",
        "peft_version",
        "base_model_name_or_path",
        "revision",
        "inference_mode",
    ),
    *("r", "lora_alpha", "lora_dropout", "target_modules", "modules_to_save", "exclude_modules", "feedforward_modules"),
    *("fan_in_fan_out", "use_dora"),
)
_ADAPTER_LISTS = ("target_modules", "modules_to_save", "exclude_modules", "feedforward_modules")
# The rank is at most the width of a layer.
_LARGEST_RANK = 2**15
# The errors that transformers, tokenizers, safetensors and peft raise for a file that is damaged, missing or of another kind.
_READING_ERRORS = (
    OSError,
    ValueError,
    RuntimeError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    ImportError,
    SafetensorError,
    StrictDataclassError,
    pickle.UnpicklingError,
)
# Rust code raises this class of its own, derived from BaseException, for a bug or an overflow.
_RUST_PANIC = "PanicException"


class checked_folder:  # noqa: N801 - used as a function
    """A context in which libraries read a model folder: its files are checked first, and errors become a ModelError.

    `part` names what is read, such as "the tokenizer".
    """

    def __init__(self, folder: Path, part: str) -> None:
        self._folder, self._part = folder, part

    def __enter__(self) -> None:
        check_files(self._folder)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, ModelError):
            return
        # tokenizers raises the class Exception itself
        if isinstance(error, _READING_ERRORS) or kind is Exception or type(error).__name__ == _RUST_PANIC:
            raise ModelError(
                f"{self._folder}: {self._part} cannot be loaded: {self._reason(error)}. Download or copy the folder again"
            ) from None

    def _reason(self, error: BaseException) -> str:
        """Return the cause of a library's error in one line."""
        if isinstance(error, pickle.UnpicklingError):
            return "the .bin file is damaged, or holds more than tensors"
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        reason = lines[1] if lines[0].startswith("Error(s) in loading") and len(lines) > 1 else lines[0]
        reason = reason.rstrip(".")
        if isinstance(error, KeyError):
            return f"{'the tensor' if 'weights' in self._part else 'the key'} {reason} is missing"
        return reason if isinstance(error, (OSError, ValueError, RuntimeError)) else f"{type(error).__name__}: {reason}"


def check_files(folder: Path) -> None:
    """Raise ModelError if a model folder has code, points to other files, or has a JSON file that is not an object."""
    for name in _SETTINGS:
        if (folder / name).is_file():
            values = read_settings(folder / name)
            for key, value in _walk(values):
                _check_value(folder / name, key, value)
            if name == ADAPTER_CONFIG:
                _check_adapter(folder / name, values)
            elif name in _MODEL_SETTINGS:
                check_numbers(str(folder / name), values)
    for name in _INDEXES:
        if (folder / name).is_file():
            files = read_settings(folder / name).get("weight_map")
            for file in files.values() if isinstance(files, dict) else ():
                _check_inside(folder / name, "weight_map", file)


def read_settings(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file. Raises ModelError if it is too large, damaged, nested too deeply, or not an object."""
    try:
        if (size := path.stat().st_size) > _LARGEST_FILE:
            raise ModelError(
                f"{path}: the file has {size / 2**20:.0f} MB; at most {_LARGEST_FILE // 2**20} MB are allowed"
            )
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: not valid JSON ({error}). Download or copy the folder again") from None
    if not isinstance(values, dict):
        raise ModelError(f"{path}: a JSON object is required. Download or copy the folder again")
    return values


def _walk(value: Any, depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Yield each key and value of nested objects; ("", value) for a value that is nested too deeply."""
    if depth > _DEEPEST:
        yield "", value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield key, inner
            yield from _walk(inner, depth + 1)
    elif isinstance(value, list):
        for inner in value:
            yield from _walk(inner, depth + 1)


def _check_value(path: Path, key: str, value: Any) -> None:
    if key == "":
        raise ModelError(
            f"{path}: values are nested more than {_DEEPEST} levels deep. Download or copy the folder again"
        )
    if key in _CODE_KEYS and value:
        raise ModelError(
            f"{path}: the key '{key}' names Python code that is part of the model, and ft_toolkit does not run code from a "
            "model folder. Use a model of an architecture that transformers contains"
        )
    if key in _KERNEL_KEYS and "/" in str(value):
        raise ModelError(
            f"{path}: the key '{key}' names a kernel on the Hub ({value}), and ft_toolkit does not run code from "
            "a model folder. Remove the key from a copy of the folder"
        )
    if key in _FILE_KEYS and value is not None:
        _check_inside(path, key, value)


def _check_inside(path: Path, key: str, name: Any) -> None:
    """Raise ModelError unless a value is the name of a file in the folder of `path` or below."""
    if not (isinstance(name, str) and is_inner_path(name)):
        raise ModelError(f"{path}: the key '{key}' names the file {name!r}; only files in the model folder are allowed")


def _check_adapter(path: Path, values: dict[str, Any]) -> None:
    """Raise ModelError for an adapter of another type, or with a setting that ft_toolkit does not write."""
    from peft import IA3Config, LoraConfig

    kind = values.get("peft_type")
    if kind not in _ADAPTER_TYPES:
        raise ModelError(f"{path}: adapters of type {kind!r} are not supported; allowed: {', '.join(_ADAPTER_TYPES)}")
    defaults = (LoraConfig if kind == "LORA" else IA3Config)().to_dict()
    # A setting that the installed peft does not know has no effect: peft leaves it out with a warning.
    other = [key for key, value in values.items() if key in defaults and key not in _ADAPTER_KEYS]
    for key in other:
        if values[key] != defaults[key]:
            raise ModelError(
                f"{path}: found {key}={values[key]!r}; adapters with this setting are not supported. Merge the "
                "adapter into its base model with peft (merge_and_unload, then save_pretrained), and give that folder"
            )
    for key in _ADAPTER_LISTS:
        value = values.get(key)
        if value is not None and not (isinstance(value, list) and all(isinstance(item, str) for item in value)):
            raise ModelError(f"{path}: found {key}={value!r}; a list of module names is required")
    rank = values.get("r", 1)
    if not isinstance(rank, int) or not 0 < rank <= _LARGEST_RANK:
        raise ModelError(f"{path}: found r={rank!r}; a number from 1 to {_LARGEST_RANK} is required")
