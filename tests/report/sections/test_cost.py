"""The section on time, speed and memory."""


def test_cost_of_a_run(make_run, page_of):
    text = page_of(make_run()).text
    for fact in (
        "Training with evaluations 75.5 s",
        "Optimizer steps 20 of 20 planned",
        "Speed 1,234 tokens per second",
        "Padding 5.0% of all computed tokens",
        "Reload check 3.0 s",
        "Peak memory of the process 900 MiB",
    ):
        assert fact in text, fact
