"""Prodigy's export, written from its documentation: the package is not on PyPI."""

import json

from ft_toolkit.data.local_files import read_table


def lines(*records):
    return "".join(json.dumps(record) + "\n" for record in records)


def test_spans_are_entities_and_tokens_are_not_used(write_file):
    tokens = [{"text": "Anna", "start": 0, "end": 4, "id": 0, "ws": True}]
    span = {"start": 0, "end": 4, "token_start": 0, "token_end": 0, "label": "PER"}
    record = {"text": "Anna left", "_input_hash": 1, "tokens": tokens, "_view_id": "ner_manual"}
    text = lines(
        {**record, "spans": [span], "answer": "accept"},
        {**record, "spans": [span], "answer": "reject"},
        {**record, "answer": "accept"},
        {**record, "spans": [], "answer": "ignore"},
    )
    table = read_table(write_file("a.jsonl", text))
    assert [row["entities"] for row in table.rows] == [[{"start": 0, "end": 4, "label": "PER"}], []]
    assert all("tokens" not in row for row in table.rows)
    assert "2 of 4 records with the answer reject or ignore were left out" in table.notes
    assert read_table(write_file("b.jsonl", lines({**record, "spans": [span]}))).rows[0]["entities"] != []


def test_labels_of_texts(write_file):
    options = [{"id": "a", "text": "a"}, {"id": "b", "text": "b"}]
    text = lines(*({"text": "x", "options": options, "accept": [id], "answer": "accept"} for id in "ab"))
    assert [row["label"] for row in read_table(write_file("a.jsonl", text)).rows] == ["a", "b"]
    text = lines({"text": "x", "label": "a", "answer": "accept"}, {"text": "y", "label": "a", "answer": "reject"})
    assert [row["text"] for row in read_table(write_file("b.jsonl", text)).rows] == ["x"]
