"""The section with scores on parts of the rows."""


def test_slices_have_intervals_and_a_comparison(make_full_run, page_of):
    text = page_of(make_full_run()).text
    assert "mail 30 0.75 0.60 to 0.90 -0.30 to -0.10" in text
    assert "web 6 0.50 - -" in text
    assert "Not shown: 2 rarer values with 3 rows in total." in text


def test_slices_are_exploratory_and_have_no_verdict(make_full_run, page_of):
    text = page_of(make_full_run()).text
    assert "These tables are exploratory" in text and "than other rows" not in text
