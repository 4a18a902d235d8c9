"""The section on the machine and the versions."""


def test_machine_model_and_versions(make_run, page_of):
    text = page_of(make_run()).text
    for fact in ("Memory 4.0 GiB", "Device cpu", "Model commit c0ffee", "torch 2.13.0", "ft-toolkit 0.1.0"):
        assert fact in text, fact
