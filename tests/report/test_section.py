"""Sections are found by their files."""

from pathlib import Path

from ft_toolkit.report import sections
from ft_toolkit.report.section import find_sections


def test_every_section_has_a_template_beside_it():
    folder = Path(sections.__path__[0])
    names = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert set(find_sections()) == names
    assert {path.name.removesuffix(".html.j2") for path in folder.glob("*.j2")} == names


def test_sections_are_in_the_order_that_they_declare():
    orders = [section.order for section in find_sections().values()]
    assert orders == sorted(orders) and len(set(orders)) == len(orders)
