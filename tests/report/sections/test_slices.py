"""The section with scores on parts of the rows."""


def test_slices_have_intervals_and_a_comparison(make_full_run, page_of):
    text = page_of(make_full_run()).text
    assert "mail 30 0.75 0.60 to 0.90 -0.30 to -0.10 worse" in text
    assert "web 6 0.50 - - too few rows" in text
    assert "Not shown: 2 rarer values with 3 rows in total." in text


def test_many_comparisons_carry_a_warning(make_full_run, page_of):
    def change(results, rows):
        for scores in results["scores"].values():
            values = scores["slices"][0]["values"]
            values += [{**values[0], "value": f"mail {i}"} for i in range(4)]

    text = page_of(make_full_run(change=change)).text
    assert "About one in 20 of these 5 comparisons shows a difference by chance alone." in text
