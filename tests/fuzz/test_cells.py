"""Any value in any column of a task is read or refused in one line; the same for the inputs of a loaded model."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from fuzz_values import ODD_TEXTS, cells, scalars, values
from hypothesis import given
from hypothesis import strategies as st

from ft_toolkit.core.errors import UsageError
from ft_toolkit.core.files import write_json
from ft_toolkit.data.in_memory import plain_rows, rows_of
from ft_toolkit.tasks import find_tasks
from ft_toolkit.tasks.base import Row, Task, is_labelled

ROOT = Path(__file__).resolve().parents[2]
TASKS = find_tasks()
# Values of the right kind per column, so that some rows get beyond the first check.
PLAUSIBLE = {
    "text": ["Ada is here", "a b"], "tokens": [["Ada", "is"], "Ada is", "['Ada', 'is']"], "tags": [["B-PER", "O"], "B-PER O"],
    "entities": [[], [{"start": 0, "end": 3, "label": "PER"}], '[{"start": 0, "end": 3, "label": "PER"}]'],
    "label": ["a", "b", 0, 1, "0.5", ["a"], [0, 1], "a|b"], "question": ["Who?"], "context": ["Ada is here"],
    "answers": ["Ada", {"text": ["Ada"], "answer_start": [0]}, {"text": "Ada", "start": 1}, "", []],
    "is_impossible": [True, "false"], "references": [["a", "b"]],
}  # fmt: skip


def column_values(name: str) -> st.SearchStrategy[Any]:
    plausible = st.sampled_from(PLAUSIBLE.get(name, ["a text"]))
    return st.one_of(plausible, plausible, plausible, values, cells)


@st.composite
def task_rows(draw: st.DrawFn) -> tuple[Task, list[Row]]:
    """Return a task, and rows with its required columns and some of the others."""
    task = TASKS[draw(st.sampled_from(sorted(TASKS)))]
    columns = [name for name, column in task.columns.items() if column.required or draw(st.booleans())]
    rows = [
        {"id": str(number), **{name: draw(column_values(name)) for name in columns}}
        for number in range(1, draw(st.integers(2, 5)))
    ]
    return task, rows


def problem_types(task: Task) -> list[Any]:
    """Return the settings of a task, one for each value of a setting with a choice of values."""
    choices = {
        name: field.annotation.__args__
        for name, field in task.settings.model_fields.items()
        if name == "problem_type" and field.annotation is not None
    }
    return [task.settings(**dict(zip(choices, chosen, strict=True))) for chosen in itertools.product(*choices.values())]


@given(drawn=task_rows(), number=st.integers(0, 5))
def test_rows_of_every_task(drawn: tuple[Task, list[Row]], number: int) -> None:
    task, rows = drawn
    options = problem_types(task)
    settings = options[number % len(options)]
    try:
        read, notes = task.read_rows(rows, settings, "file.jsonl")
    except UsageError as error:
        assert str(error)
        return
    assert all(isinstance(note, str) for note in notes)
    for row in read:
        if is_labelled(row, task):
            assert all(isinstance(label, str) for label in task.labels_of(row, settings))


@given(
    rows=st.lists(
        st.dictionaries(
            st.text(max_size=3), st.one_of(values, st.sampled_from([np.float32(1), b"a", {1}, ...])), max_size=3
        ),
        max_size=4,
    ),
    tmp=st.just("rows.json"),
)
def test_rows_in_memory_become_json(
    tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]], tmp: str
) -> None:
    try:
        plain = plain_rows(rows_of(rows, "train"), "train")
    except UsageError as error:
        assert str(error)
        return
    write_json(tmp_path_factory.getbasetemp() / tmp, plain)


@pytest.fixture(scope="module")
def model() -> Any:
    """The classifier of the run in tests/fixtures, with the input column `text`."""
    import ft_toolkit

    return ft_toolkit.load(ROOT / "tests" / "fixtures" / "d305cf2" / "run")


inputs = st.one_of(
    scalars,
    values,
    st.lists(st.sampled_from(ODD_TEXTS), max_size=3),
    st.lists(st.text(max_size=20), max_size=3),
    st.lists(st.fixed_dictionaries({"text": st.one_of(scalars, values)}), max_size=3),
    st.lists(cells, max_size=3).map(tuple),
    st.lists(cells, max_size=3).map(iter),
    st.lists(cells, max_size=3).map(lambda texts: pandas.DataFrame({"text": texts}, dtype=object)),
    st.lists(scalars, max_size=3).map(lambda texts: pandas.Series(texts, dtype=object)),
    st.lists(st.text(max_size=5), max_size=3).map(np.array),
    st.binary(max_size=4),
)


@given(data=inputs)
def test_inputs_of_a_loaded_model(model: Any, data: Any) -> None:
    try:
        answers = model(data)
    except UsageError as error:
        assert str(error)
        return
    for answer in [answers] if isinstance(answers, dict) else answers:
        assert 0 <= answer["score"] <= 1 and answer["label"] in answer["probabilities"]
