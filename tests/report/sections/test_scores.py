"""The section with the main scores."""

import re


def test_cards_have_comparisons_and_statements(make_run, page_of):
    def change(results, rows):
        results["reference"] = {"metric": "accuracy", "value": 0.913, "tolerance": 0.01, "split": "validation"}
        results["reference"] |= {"source": "a paper", "found": 0.875, "reached": False}

    text = page_of(make_run(change=change)).text
    assert "Beats the majority baseline by 10 to 60 points (95% interval)." in text
    assert "No significant difference from the tfidf baseline: -10 to 30 points (95% interval)." in text
    assert "Published result: accuracy 0.9130 on validation (a paper); tolerance 0.01." in text
    assert "made the same predictions for 8 test rows (largest difference 1e-06, tolerance 0.0001)" in text
    assert "published 0.9130" in text


def test_without_test_rows_the_score_is_optimistic(make_run, page_of):
    assert "There are no test rows, so the score is optimistic" in page_of(make_run(splits=("validation",))).text


def test_the_axis_of_a_share_ends_at_its_best_value(make_run, page_of):
    html = page_of(make_run()).section("scores")
    ticks = [float(text) for text in re.findall(r'class="tick"[^>]*>([^<]*)<', html)]
    assert max(ticks) == 1.0 and min(ticks) >= 0
    assert 'class="interval strong" x1="50.00' in html or 'x2="100.0%"' in html
