"""The JSON Schemas in docs/schemas are generated from the models; the run folders of an earlier version fit them."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator, ValidationError

from ft_toolkit.core.run_schemas import run_schemas, schema_name

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = run_schemas()
OLD_RUN = ROOT / "tests" / "fixtures" / "d305cf2" / "run"


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_committed_schema_is_up_to_date(name):
    committed = json.loads((ROOT / "docs" / "schemas" / schema_name(name)).read_text(encoding="utf-8"))
    assert committed == SCHEMAS[name], "run: make schemas"
    Draft202012Validator.check_schema(committed)


def test_an_old_run_folder_fits_models_and_schemas(check_run_folders):
    check_run_folders(OLD_RUN)


@pytest.mark.parametrize(
    "change",
    [{"scores": {}}, {"training": {"seconds": 1.0}}, {"name": 3}, {"kind": "other"}, {"schema_version": 0}],
    ids=lambda change: next(iter(change)),
)
def test_the_schema_refuses_wrong_results(change):
    results = json.loads((OLD_RUN / "results.json").read_text(encoding="utf-8"))
    validator = Draft202012Validator(SCHEMAS["results.json"])
    validator.validate(results)
    with pytest.raises(ValidationError):
        validator.validate(results | change)
