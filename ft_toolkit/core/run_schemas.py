"""JSON Schemas of the files of a run folder. `make schemas` writes them into docs/schemas/."""

import sys
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from ft_toolkit.core.audit_records import AuditResults
from ft_toolkit.core.best_records import BestResults
from ft_toolkit.core.diff_records import DiffResults
from ft_toolkit.core.export_records import Certificate
from ft_toolkit.core.files import write_json
from ft_toolkit.core.fold_records import FoldsResults
from ft_toolkit.core.patch_records import Patch
from ft_toolkit.core.run_folder import (
    AUDIT,
    BEST,
    CERTIFICATE,
    DATA_DIFF,
    ENSEMBLE,
    ENVIRONMENT,
    FOLDS,
    INFERENCE,
    LEARNING_CURVE,
    PATCH,
    RESULTS,
    SWEEP,
)
from ft_toolkit.core.run_records import AnyResults, Ensemble, InferenceContract, LearningCurve, RunEnvironment
from ft_toolkit.core.sweep_records import SweepResults

_MODELS: dict[str, Any] = {
    RESULTS: AnyResults,
    LEARNING_CURVE: LearningCurve,
    FOLDS: FoldsResults,
    SWEEP: SweepResults,
    BEST: BestResults,
    AUDIT: AuditResults,
    PATCH: Patch,
    DATA_DIFF: DiffResults,
    ENSEMBLE: Ensemble,
    CERTIFICATE: Certificate,
    ENVIRONMENT: RunEnvironment,
    INFERENCE: InferenceContract,
}


def schema_name(file_name: str) -> str:
    """Return the name of the schema of a file: results.schema.json for results.json."""
    return f"{Path(file_name).stem}.schema.json"


def run_schemas() -> dict[str, dict[str, Any]]:
    """Return the JSON Schema of each file by the name of the file."""
    return {name: _schema(model) for name, model in _MODELS.items()}


def write_schemas(folder: Path) -> None:
    """Write the schema of each file into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, schema in run_schemas().items():
        write_json(folder / schema_name(name), schema)


def _schema(model: Any) -> dict[str, Any]:
    schema = TypeAdapter(model).json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_without_titles(schema)}


def _without_titles(schema: Any) -> Any:
    """Return a schema without the titles that pydantic derives from the names of the fields."""
    if isinstance(schema, dict):
        return {
            key: _without_titles(value)
            for key, value in schema.items()
            if not (key == "title" and isinstance(value, str))
        }
    return [_without_titles(value) for value in schema] if isinstance(schema, list) else schema


if __name__ == "__main__":
    write_schemas(Path(sys.argv[1]))
