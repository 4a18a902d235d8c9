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


def test_baselines_are_described_and_a_fit_to_a_part_of_the_rows_is_named(make_run, page_of):
    def change(results, rows):
        results["data"]["splits"]["train"]["rows"] = 90_000
        results["baselines"] = {
            "majority": {"training_rows": 90_000, "seconds": 0.1},
            "tfidf": {"training_rows": 12_345, "seconds": 20.0},
        }

    text = page_of(make_run(change=change)).text
    described = (
        "majority (the most frequent answer of the training rows), tfidf (a linear model of words and characters)"
    )
    assert f"Baselines: {described}." in text
    sampled = "baseline was fitted to 12,345 of 90,000 training rows, drawn at random, to save time."
    assert f"The tfidf {sampled}" in text and text.count("was fitted to") == 1
