"""The section on probabilities and confidence."""

import pytest


def test_temperature_error_and_abstaining(make_full_run, page_of):
    page = page_of(make_full_run())
    for text in (
        "divided by a temperature of 1.5, chosen on the validation rows, where the model was overconfident.",
        "The expected calibration error is 0.10; on 8 examples a perfectly calibrated model would have at most 0.30 in 95% of "
        "draws: no significant miscalibration.",
        "On test: abstaining on the least confident 20% would change the accuracy on the rest from 0.88 to 0.93 "
        "(95% interval of the gain -0.02 to 0.10); there is no significant gain.",
        "Abstaining on the least confident 20%",
    ):
        assert text in page.text, text
    assert page.section("calibration").count("<svg class=") == 4


def test_a_temperature_that_was_chosen_on_these_rows_is_optimistic(make_full_run, page_of):
    def change(results, rows):
        results["scores"]["validation"]["calibration"]["fitted_here"] = True

    text = page_of(make_full_run(change=change)).text
    assert text.count("chosen on these rows, so these calibration scores are optimistic") == 1


@pytest.mark.parametrize(("low", "finding"), [(1.2, "overconfident."), (0.9, "not significantly overconfident.")])
def test_the_temperature_has_the_interval_of_the_rows_that_chose_it(make_full_run, page_of, low, finding):
    def change(results, rows):
        results["scores"]["validation"]["calibration"] |= {"temperature_low": low, "temperature_high": 1.9}

    text = page_of(make_full_run(change=change)).text
    assert (
        f"temperature of 1.5 (95% interval {low} to 1.9), chosen on the validation rows, where the model was {finding}"
        in text
    )
