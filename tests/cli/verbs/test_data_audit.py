"""`ftk data audit`: reads recipes, cards and files, prints the faults and writes the rows to review."""

import csv
import json
from pathlib import Path
from typing import Any


def write_rows(path: Path) -> None:
    words = ("works very well", "broke on the second day")
    lines = [f"Article {i} {words[i % 2]} says customer {i * 7},{'good' if i % 2 == 0 else 'bad'}" for i in range(60)]
    lines += [f"{lines[0].rpartition(',')[0]},bad", "Write to jane@example.org,good"]
    path.write_text("text,label\n" + "\n".join(lines) + "\n", encoding="utf-8")


def test_a_file(here: Any, tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.csv")
    done = here("data", "audit", tmp_path / "rows.csv", "--output", tmp_path / "audit")
    assert "62 rows" in done.stdout
    assert "equal texts, different labels" in done.stdout
    results = json.loads((tmp_path / "audit/audit.json").read_text(encoding="utf-8"))
    counts = {fault["name"]: sum(fault["rows"].values()) for fault in results["faults"]}
    assert counts["contradictions"] == 2
    assert counts["personal_data"] == 1
    with (tmp_path / "audit/review.csv").open(encoding="utf-8", newline="") as file:
        lines = [line for line in csv.DictReader(file) if line["fault"] == "contradictions"]
    found = [(line["id"], line["answer"], line["detail"]) for line in lines]
    assert found == [("1", "good", "bad / good"), ("61", "bad", "bad / good")]


def test_a_text_is_no_formula_in_the_file_to_review(here: Any, tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.csv")
    with (tmp_path / "rows.csv").open("a", encoding="utf-8") as file:
        file.write("=HYPERLINK(x) mail a@example.org,good\n")
    here("data", "audit", tmp_path / "rows.csv", "--output", tmp_path / "audit")
    assert "'=HYPERLINK(x)" in (tmp_path / "audit/review.csv").read_text(encoding="utf-8")


def test_a_recipe_and_a_card(here: Any) -> None:
    for source in ("demo", "support_inbox"):
        done = here("data", "audit", source)
        assert f"{source}: 300 rows (train 200, validation 50, test 50), read for text_classification" in done.stdout
        assert done.stdout.endswith("no faults found\n")


def test_a_card_for_another_task(here: Any) -> None:
    done = here("data", "audit", "support_inbox", "--task", "ner")
    assert "read for ner" in done.stdout


def test_mistakes(here: Any, tmp_path: Path) -> None:
    write_rows(tmp_path / "rows.csv")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    for words, message in (
        (["nothing.csv"], "nothing.csv"),
        (["demo", "--task", "ner"], "which names task, columns and model"),
        (["support_inbox", "--task", "nr"], "Did you mean 'ner'?"),
        (["training.seed=1"], "name a recipe, a data card or data files"),
        ([str(tmp_path / "rows.csv"), "--output", str(tmp_path / "full")], "exists and is not empty"),
    ):
        done = here("data", "audit", *words, check=False)
        assert done.returncode == 2, words
        assert message in done.stderr
        assert "Traceback" not in done.stderr


def test_label_errors_of_a_card(here: Any, tiny_bert: str, tmp_path: Path) -> None:
    options = ["--label-errors", "--model", tiny_bert, "--suspects", 3, "--output", tmp_path / "audit"]
    done = here("data", "audit", "support_inbox", *options)
    assert "labels that are probably wrong" in done.stdout
    results = json.loads((tmp_path / "audit/audit.json").read_text(encoding="utf-8"))
    assert [(fault["name"], fault["cases"]) for fault in results["faults"]] == [("label_errors", 3)]
    assert "of the first 3 suspects were changed rows" in results["faults"][0]["action"]


def test_label_errors_require_a_model_and_one_label_per_text(here: Any, tiny_bert: str) -> None:
    for words, message in (
        (["support_inbox", "--label-errors"], "names no model; add --model"),
        (["support_dialogues", "--label-errors", "--model", tiny_bert], "has no labels; leave it out"),
    ):
        done = here("data", "audit", *words, check=False)
        assert done.returncode == 2, words
        assert message in done.stderr


def test_label_errors_of_entities(here: Any, tiny_bert: str) -> None:
    words = ["support_inbox", "--label-errors", "--task", "ner", "--model", tiny_bert, "--suspects", "5"]
    done = here("data", "audit", *words)
    assert "random rows with entities were changed at one entity" in " ".join(done.stdout.split())
    assert "for the word" in done.stdout


def test_characters_without_a_token_are_found(here: Any, tiny_bert: str, tmp_path: Path) -> None:
    rows = [{"text": f"the lamp is good {n}", "label": "ab"[n % 2]} for n in range(40)]
    rows[7]["text"], rows[21]["text"] = "the lamp is \u4e2d\u6587", "good \U0001f600 lamp"
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    words = ["data", "audit", path, "--unknown-tokens", "--model", tiny_bert, "--output", tmp_path / "audit"]
    here(*words)
    with (tmp_path / "audit" / "review.csv").open(encoding="utf-8", newline="") as file:
        found = {row["id"]: row["detail"] for row in csv.DictReader(file) if row["fault"] == "unknown_tokens"}
    assert found.keys() == {"8", "22"}
    assert "\u4e2d" in found["8"] and "\U0001f600" in found["22"]
    plain = here("data", "audit", path)
    assert "tokenizer does not have" not in plain.stdout
