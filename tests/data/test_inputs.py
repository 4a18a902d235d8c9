"""What a user passes to a loaded model: texts, dicts, frames, data sets; and the names of the columns."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pytest

from ft_toolkit.api import load
from ft_toolkit.core.errors import UsageError
from ft_toolkit.data.columns import TrainedColumns
from ft_toolkit.data.inputs import InputColumns, read_inputs
from ft_toolkit.inference.model_folder import LoadedModel
from ft_toolkit.tasks import find_tasks

pytestmark = pytest.mark.trains  # most tests load a model
RUN = Path(__file__).resolve().parents[1] / "fixtures" / "d305cf2" / "run"
TASKS = find_tasks()
TEXTS = ["the lamp is broken", "lovely"]


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load(RUN)


def inputs(data: Any, task: str = "text_classification", settings: Any = None, **names: Any) -> Any:
    """Read data with the column names of a training run (`recipe`, `card`) and of the user (`explicit`)."""
    explicit = names.pop("explicit", {})
    columns = InputColumns(TASKS[task], settings or TASKS[task].settings(name=task), TrainedColumns(**names), explicit)
    return read_inputs(data, columns)


def test_one_text_gives_one_prediction_and_not_one_per_character(model: LoadedModel) -> None:
    prediction = model(TEXTS[0])
    assert isinstance(prediction, dict) and prediction == model([TEXTS[0]])[0] == model({"text": TEXTS[0]})


@pytest.mark.parametrize(
    "data",
    [
        TEXTS,
        tuple(TEXTS),
        iter(TEXTS),
        np.array(TEXTS),
        np.array(TEXTS, dtype=object),
        pd.Series(TEXTS),
        [{"text": text, "label": None, "other": object()} for text in TEXTS],
        [TEXTS[0], {"text": TEXTS[1]}],
        pd.DataFrame({"text": TEXTS, "n": [1.0, None]}, index=["x", "x"]),
        datasets.Dataset.from_dict({"text": TEXTS}),
        ({"text": text} for text in TEXTS),
    ],
    ids=[
        "list",
        "tuple",
        "iterator",
        "array",
        "object array",
        "series",
        "dicts",
        "mixed",
        "frame",
        "dataset",
        "generator",
    ],
)
def test_everything_else_gives_a_list(model: LoadedModel, data: Any) -> None:
    assert model(data) == [model(text) for text in TEXTS]


def test_no_rows_give_no_predictions(model: LoadedModel) -> None:
    assert model([]) == []


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            None,
            "cannot predict for None; allowed: a str, a dict, a list of them, a pandas DataFrame or a datasets.Dataset",
        ),
        (b"text", "cannot predict for bytes"),
        (7, "cannot predict for int"),
        ({"a", "b"}, "cannot predict for set"),
        (["a", None], "row 2 is None; each row must be a str or a dict"),
        (["a", 2], "row 2 is int; each row"),
        ([b"a"], "row 1 is bytes; each row"),
        ([["a"]], "row 1 is list; each row"),
        (np.array([1.5]), "row 1 is numpy.float64; each row"),
        (np.array([["a"]]), "an array must have one dimension, with one text per row; found 2"),
        ([{"txt": "a"}], "no column 'text' for text_classification's 'text' .*columns found: txt. Did you mean"),
        ([{"text": "a"}, {"text": float("nan")}], "row 2: column 'text' is missing or empty .* every row needs it"),
        (pd.DataFrame({"text": ["a", None]}), "row 2: column 'text' is missing or empty"),
        ([{"text": "a"}, {"other": "b"}], "row 2: column 'text' is missing or empty"),
        (
            [{"text": "a", "text_pair": "b"}, {"text": "a"}],
            "row 2: column 'text_pair' is missing .* required in all rows",
        ),
        ([{"text": b"a"}], "row 1: column 'text' holds bytes"),
        ([{"text": 3}], "column 'text' must be text; found 3"),
        (pd.DataFrame([["a"]]), "column names must be text"),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else type(value).__name__,
)
def test_other_objects_and_missing_values_are_refused(data: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        inputs(data)


def test_a_column_that_may_be_empty_is_none_in_some_rows() -> None:
    frame = pd.DataFrame({"question": ["Who?", "Why?"], "context": ["Ada came.", float("nan")]})
    for data in (frame, [{"question": "Who?", "context": "Ada came."}, {"question": "Why?"}]):
        read = inputs(data, "generative_question_answering").rows
        assert [row["context"] for row in read] == ["Ada came.", ""]


def test_a_text_is_refused_where_a_row_has_several_columns() -> None:
    with pytest.raises(
        UsageError, match="a text alone is not enough for question_answering; pass dicts with the columns"
    ):
        inputs("Who?", "question_answering")


@pytest.mark.parametrize(
    ("row", "names", "text"),
    [
        ({"review": "a"}, {"recipe": {"text": "review"}}, "a"),
        ({"text": "a"}, {"recipe": {"text": "review"}}, "a"),
        ({"sentence": "a"}, {"card": {"text": "sentence"}}, "a"),
        ({"body": "a", "review": "b"}, {"recipe": {"text": "review"}, "explicit": {"text": "body"}}, "a"),
    ],
)
def test_the_names_of_the_training_run_of_the_task_and_of_the_user(row: Any, names: Any, text: str) -> None:
    read = inputs([row], **names)
    assert list(read.rows) == [{"text": text}] and read.notes == []


def test_a_choice_between_two_columns_is_noted() -> None:
    read = inputs([{"text": "a", "review": "b"}], recipe={"text": "review"})
    assert list(read.rows) == [{"text": "b"}]
    assert read.notes == ["input column 'review' is used as 'text', as in the training run; 'text' is ignored"]
    read = inputs([{"text": "a", "sentence": "b"}], card={"text": "sentence"})
    assert list(read.rows) == [{"text": "a"}] and len(read.notes) == 1


def test_a_column_that_would_be_read_twice_is_refused() -> None:
    names = {"text": "title", "text_pair": "text"}
    with pytest.raises(UsageError, match="column 'text' would be read both as 'text' and as 'text_pair'"):
        inputs([{"text": "a"}], recipe=names)
    assert list(inputs([{"text": "a", "title": "b"}], recipe=names).rows) == [{"text": "b", "text_pair": "a"}]


def test_an_explicit_column_must_exist() -> None:
    with pytest.raises(
        UsageError, match=r"no column 'revew' .*Did you mean 'review'\? Set its name: .*--column text=NAME"
    ):
        inputs([{"review": "a"}], explicit={"text": "revew"})
    with pytest.raises(UsageError, match=r"text_classification has no column 'txt'; allowed: .*Did you mean 'text'"):
        inputs([{"review": "a"}], explicit={"txt": "review"})


def test_translation_takes_the_name_of_its_language() -> None:
    task = TASKS["translation"]
    settings = task.settings(name="translation", source_language="en", target_language="de")
    column = next(name for name, column in task.columns.items() if column.named_by == "source_language")
    assert inputs([{"en": "a", "de": "b"}], "translation", settings).rows[0][column] == "a"


def test_the_model_warns_where_it_chooses(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    evaluation = model.contract.evaluation.model_copy(update={"columns": {"text": "review"}})
    monkeypatch.setattr(model, "contract", model.contract.model_copy(update={"evaluation": evaluation}))
    with pytest.warns(UserWarning, match="input column 'review' is used as 'text'"):
        both = model([{"text": TEXTS[0], "review": TEXTS[1]}])
    assert both == [model(TEXTS[1])]
    assert model(pd.DataFrame({"body": TEXTS}), columns={"text": "body"}) == [model(text) for text in TEXTS]


def test_predicting_imports_neither_pandas_nor_datasets() -> None:
    code = (
        "import sys, ft_toolkit\n"
        f"print(ft_toolkit.load({str(RUN)!r})('lovely')['label'])\n"
        "print(sorted({'pandas', 'datasets'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[1] == "[]"


def test_models_of_different_precision_live_in_one_process(tmp_path: Path, model: LoadedModel) -> None:
    """Accelerate has one precision per process; a second model must neither fail nor change the first one."""
    copy = tmp_path / "bf16"
    shutil.copytree(RUN / "model", copy)
    contract = json.loads((copy / "inference.json").read_text())
    (copy / "inference.json").write_text(json.dumps({**contract, "mixed_precision": "bf16"}))
    before = model(TEXTS)
    other = load(copy)
    assert other(TEXTS) != before == model(TEXTS)
    assert other(TEXTS) == load(copy)(TEXTS)
