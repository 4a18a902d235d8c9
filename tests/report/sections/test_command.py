"""The section with the command."""


def test_command_and_recipe(make_run, page_of):
    section = page_of(make_run()).section("command")
    assert "ftk run demo --output runs/demo training.max_steps=20" in section
    assert "max_length: 64" in section
