"""The inference contract: what a model folder says about how to use it, and `load`, which does as it says."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import transformers
from accelerate import Accelerator

import ft_toolkit
from ft_toolkit.adapters import load_adapter
from ft_toolkit.config import ModelSection
from ft_toolkit.environment import use_cpu
from ft_toolkit.errors import ModelError, UsageError
from ft_toolkit.evaluation import Predictor
from ft_toolkit.models import find_checkpoint, kind_of, load_tokenizer
from ft_toolkit.prepare import Prepared
from ft_toolkit.tasks import find_tasks
from ft_toolkit.tasks.base import Row

CONTRACT = "inference.json"


def write_contract(folder: Path, prepared: Prepared) -> None:
    """Write inference.json: task, schema, length limit, precision, and the base model an adapter needs."""
    recipe, checkpoint = prepared.recipe, prepared.checkpoint
    needs_base = (folder / "adapter_config.json").is_file()
    contract = {
        "ft_toolkit": ft_toolkit.__version__,
        "task": prepared.task.name,
        "schema": asdict(prepared.schema),
        "max_length": recipe.data.max_length,
        "mixed_precision": recipe.training.mixed_precision,
        "tokens_per_batch": prepared.evaluation_tokens(),
        "base_model": {"name": checkpoint.reference, "revision": checkpoint.commit, "sha256": recipe.model.sha256}
        if needs_base
        else None,
    }
    (folder / CONTRACT).write_text(json.dumps(contract, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


class LoadedForInference:
    """A finished model. Call it with rows; `columns` names what a row needs."""

    def __init__(self, folder: Path) -> None:
        """Load the model of a folder that `ftk run` wrote. Raises ModelError."""
        path = folder / CONTRACT
        if not path.is_file() and (folder / "model" / CONTRACT).is_file():
            folder, path = folder / "model", folder / "model" / CONTRACT  # a run folder
        if not path.is_file():
            raise ModelError(f"{folder}: no {CONTRACT}; a model folder that 'ftk run' wrote (RUN/model) is needed")
        contract = json.loads(path.read_text(encoding="utf-8"))
        self.task = find_tasks()[contract["task"]]
        self.schema = self.task.load_schema(contract["schema"])
        self.max_length = int(contract["max_length"])
        self.columns = [name for name, column in self.task.columns.items() if column.required and name != "label"]
        self._tokenizer = load_tokenizer(folder)
        accelerator = Accelerator(cpu=use_cpu(), mixed_precision=contract["mixed_precision"])
        model = self._load_model(folder, contract["base_model"]).to(accelerator.device)
        self._predictor = Predictor(
            accelerator, model, self.task, self.schema, self._tokenizer.pad_token_id, contract["tokens_per_batch"]
        )

    def _load_model(self, folder: Path, base: dict[str, Any] | None) -> Any:
        source = folder
        if base is not None:
            source = find_checkpoint(ModelSection.model_validate(base)).folder
        config = transformers.AutoConfig.from_pretrained(folder)
        auto_class = getattr(transformers, self.task.auto_class[kind_of(config)])
        model = auto_class.from_pretrained(source, config=config, dtype=torch.float32)
        return load_adapter(model, folder) if base is not None else model

    def __call__(self, rows: Sequence[Row | str]) -> list[dict[str, Any]]:
        """Return one prediction per row, in order. A row is a dict with the task's columns, or a text.

        Raises UsageError for a row that lacks a column.
        """
        if not rows:
            return []
        prepared: list[Row] = [{"text": row} if isinstance(row, str) else row for row in rows]
        wanted = [name for name in self.task.columns if name != "label" and name in prepared[0]]
        for number, row in enumerate(prepared, 1):
            for name in {*self.columns, *wanted}:
                if not isinstance(row.get(name), str):
                    raise UsageError(
                        f"row {number}: '{name}' is {row.get(name)!r}; {self.task.columns[name].meaning} is needed"
                    )
        cleaned = [{name: row[name] for name in wanted} for row in prepared]
        features = self.task.encode(cleaned, self._tokenizer, self.schema, self.max_length)
        raw, _ = self._predictor.predict(features)
        return self.task.decode(raw, cleaned, self.schema)


def load(path: str | Path) -> LoadedForInference:
    """Load a model folder that `ftk run` wrote: `ft_toolkit.load("runs/demo/model")(["a text"])`."""
    return LoadedForInference(Path(path))
