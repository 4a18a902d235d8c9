"""The section on the rows."""

from ft_toolkit.report.sections.data import split_facts


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
