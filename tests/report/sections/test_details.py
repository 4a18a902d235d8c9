"""The section with the tables of the task."""


def test_values_and_tables_of_a_task(make_run, page_of):
    def change(results, rows):
        results["scores"]["test"] |= {
            "null_threshold": 0.25,
            "answerable": {"has_answer": {"n": 4, "f1": 0.7}, "no_answer": {"n": 1, "f1": 0.0}},
            "by_answer": [{"rows": "with an answer", "exact_match": 0.5, "support": 4}],
        }

    text = page_of(make_run(change=change)).text
    assert "null threshold 0.25" in text
    assert "has_answer 4 0.70 no_answer 1 0.00" in text
    assert "By answer rows exact match examples with an answer 0.50 4" in text


def test_a_long_table_is_cut(make_run, page_of):
    text = page_of(make_run(change=lambda results, rows: results["scores"]["test"].update(big=[{"a": 1}] * 99))).text
    assert "Shown: the first 50 of 99 rows; results.json has all." in text
