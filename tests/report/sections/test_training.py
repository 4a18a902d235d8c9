"""The section with the training curves."""

import json
import re


def test_a_step_that_was_logged_twice_is_drawn_once(make_run, page_of):
    folder = make_run(splits=("test",))
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 10, "loss": 0.11, "learning_rate": 1e-4}) + "\n")
    section = page_of(folder).section("training")
    training_loss = re.search(r'<path class="plain" d="([^"]*)"', section).group(1)
    assert re.findall(r"[ML]([\d.]+) ", training_loss) == ["250.0", "500.0", "1000.0"]


def test_an_early_stop_is_mentioned(make_run, page_of):
    text = page_of(make_run(change=lambda results, rows: results["training"].update(planned_steps=50))).text
    assert "The saved model is from step 20." in text
    assert "The run stopped early, before its planned 50 steps." in text
