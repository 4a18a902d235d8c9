"""The section on the rows."""

import json

from ft_toolkit.report.sections.data import audit_command, split_facts


def test_facts_per_split(make_run, page_of):
    text = page_of(make_run()).text
    assert "rows 40 40 40" in text and "rows cut to the length limit 2 2 2" in text
    assert "Length limit 64 tokens; longer texts were cut" in text
    assert "Source of the train rows train.csv" in text


def test_parts_of_answers_that_are_cut_off_follow_the_tokens():
    facts = {"rows": 3, "tokens_cut": 7, "entities_cut": 2}
    assert split_facts({"train": facts, "test": {"rows": 1}}) == [
        ("rows", [3, 1]),
        ("tokens cut off", [7, None]),
        ("entities cut off", [2, None]),
    ]


def test_faults_of_the_rows_and_the_command_that_shows_them(make_run, page_of):
    folder = make_run()
    assert "Faults of the rows" not in page_of(folder).text
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    fault = {
        "name": "leaks",
        "title": "equal texts in two splits",
        "action": "remove them",
        "cases": 1,
        "rows": {"train": 1},
    }
    results["data"] |= {"faults": [fault], "searched_texts": 60}
    (folder / "results.json").write_text(json.dumps(results), encoding="utf-8")
    text = page_of(folder).text
    assert "equal texts in two splits 1 0 0" in text
    assert "60 of 120 texts were searched" in text


def test_the_audit_command_of_a_run():
    command = "ftk run my.yaml data.patch=p.json 'task={name: ner}' training.seed=3 --output runs/a"
    assert audit_command(command) == "ftk data audit my.yaml data.patch=p.json 'task={name: ner}'"
    assert audit_command("ftk evaluate run --data rows.csv") is None
    assert audit_command(None) is None
