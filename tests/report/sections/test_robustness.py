"""The section on small changes of the input."""


def test_changed_answers_are_counted_and_shown(make_full_run, page_of):
    text = page_of(make_full_run()).text
    assert "typos 40 4 0.10 0.05 to 0.20 0.90 0.80 -0.20 to 0.00" in text
    assert "before awful after awfl answer before bad answer after good id r1" in text


def test_a_kind_of_change_without_rows_has_dashes(make_full_run, page_of):
    undefined = {"value": None, "low": None, "high": None}

    def change(results, rows):
        metric = {**undefined, "plain": None, "difference": {"low": None, "high": None}}
        none = {"kind": "gender", "rewritten": 0, "changed": 0, "flipped": 0, "flip_rate": undefined}
        for scores in results["scores"].values():
            scores["robustness"].append({**none, "metric": metric, "examples": []})

    assert "gender 0 0 - - - - -" in page_of(make_full_run(change=change)).text
