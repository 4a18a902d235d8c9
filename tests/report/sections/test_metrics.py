"""The section with all metrics."""


def test_equal_metrics_share_a_row(make_run, page_of):
    def change(results, rows):
        for scores in results["scores"].values():
            for table in (scores["metrics"], *scores["baselines"].values()):
                table |= {f"{name}_micro": table["accuracy"] for name in ("f1", "precision", "recall")}

    page = page_of(make_run(change=change, splits=("test",)))
    assert "accuracy (= f1, precision, recall micro) 0.88 0.62 to 1.00 0.50 0.25 to 0.60" in page.text
    assert page.section("metrics").count("<tr") == 3


def test_the_smallest_detectable_difference_has_a_column(make_full_run, page_of):
    text = page_of(make_full_run()).text
    assert "smallest detectable difference" in text and "0.03" in text
    assert "significance level of 5% and a power of 80%" in text


def test_few_examples_are_mentioned(make_run, page_of):
    def many(results, rows):
        for scores in results["scores"].values():
            scores["n"] = 1000

    assert "Two decimals, because" in page_of(make_run()).text


def test_many_examples_have_four_decimals(make_run, page_of):
    def many(results, rows):
        for scores in results["scores"].values():
            scores["n"] = 1000

    text = page_of(make_run(change=many)).text
    assert "0.8730 0.6000 to 1.0000" in text and "Two decimals" not in text
