"""A model of 0/1 columns: inference.json names them, and `ftk evaluate` and `ftk predict` read files with them or without."""

import json
from pathlib import Path
from typing import Any

import pytest

TOPICS = ["--column", "label=topics"]
ROWS = "text,billing,delivery\nthe bill is wrong,1,0\nthe parcel is late,0,1\nlate parcel and wrong bill,1,1\nthank you,0,0\n"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, tiny_bert: str, here: Any) -> Path:
    folder: Path = tmp_path_factory.mktemp("columns")
    (folder / "t.csv").write_text(ROWS)
    (folder / "recipe.yaml").write_text(
        f"""
task: {{name: text_classification, problem_type: multi_label_classification}}
model: {{name: {tiny_bert}}}
data: {{train: {folder}/t.csv, validation: {folder}/t.csv, columns: {{label: [delivery, billing]}}, max_length: 16}}
training: {{max_steps: 1, examples_per_batch: 4, head_start: none}}
evaluation: {{bootstrap_samples: 100}}
"""
    )
    here("run", str(folder / "recipe.yaml"), "--output", str(folder / "run"))
    return folder / "run"


def gold(folder: Path) -> list[list[str]]:
    lines = (folder / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line)["gold"] for line in lines]


@pytest.mark.parametrize(
    ("name", "content", "options"),
    [
        ("same.csv", ROWS, []),
        ("other.csv", ROWS.replace("billing,delivery", "b,billing").replace("b,billing", "delivery,billing"), []),
        ("cells.csv", "text,label\na,billing\nb,delivery\nc,delivery|billing\nd,\n", []),
        ("commas.csv", 'text,label\na,billing\nb,delivery\nc,"delivery,billing"\nd,\n', ["--label-separator", ","]),
        ("lists.csv", 'text,label\na,"[0, 1]"\nb,"[1, 0]"\nc,"[1, 1]"\nd,"[0, 0]"\n', []),
        ("printed.csv", "text,topics\na,['billing']\nb,['delivery']\nc,['billing' 'delivery']\nd,[]\n", TOPICS),
        ("named.csv", ROWS, ["--column", "label=billing,delivery"]),
    ],
)  # fmt: skip
def test_the_same_labels_in_other_forms(
    model: Path, tmp_path: Path, here: Any, name: str, content: str, options: list[str]
) -> None:
    (tmp_path / name).write_text(content)
    here("evaluate", str(model), "--data", str(tmp_path / name), "--output", str(tmp_path / "e"), *options)
    expected = [["billing"], ["delivery"], ["delivery", "billing"], []]
    if name == "other.csv":
        expected = [["delivery"], ["billing"], ["delivery", "billing"], []]
    assert gold(tmp_path / "e") == expected


def test_the_model_folder_names_the_columns(model: Path, tmp_path: Path, here: Any) -> None:
    contract = json.loads((model / "model" / "inference.json").read_text(encoding="utf-8"))
    assert contract["evaluation"]["columns"] == {"label": ["delivery", "billing"]}
    assert contract["schema"]["labels"] == ["delivery", "billing"]
    (tmp_path / "t.csv").write_text(ROWS)
    here("predict", str(model), "--input", str(tmp_path / "t.csv"), "--output", str(tmp_path / "p.csv"))
    assert (tmp_path / "p.csv").read_text().splitlines()[0] == "text,billing,delivery,predicted_labels"


def test_predicted_labels_in_a_csv_file_can_be_read_back(model: Path, tmp_path: Path, here: Any) -> None:
    (tmp_path / "t.jsonl").write_text('{"text": "a", "label": ["art|music"]}\n{"text": "b", "label": ["news"]}\n')
    files = [f"data.{split}={tmp_path}/t.jsonl" for split in ("train", "validation")]
    columns = ["data.columns={}", "task.labels=['art|music', news]", "task.threshold=0.001"]
    here("run", model.parent / "recipe.yaml", *files, *columns, "--output", tmp_path / "run")
    here("predict", tmp_path / "run", "--input", tmp_path / "t.jsonl", "--output", tmp_path / "p.csv")
    here(
        "evaluate",
        tmp_path / "run",
        "--data",
        tmp_path / "p.csv",
        "--column",
        "label=predicted_labels",
        "--output",
        tmp_path / "e",
    )
    assert gold(tmp_path / "e") == [["art|music", "news"]] * 2
