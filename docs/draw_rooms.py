"""Draw docs/rooms.svg, the picture of the package's rooms in the README.

The order comes from the table in tests/test_imports.py, the text from the docstring of each room. Run it after a change of
either: python docs/draw_rooms.py. tests/test_readme.py checks that the picture is up to date.
"""

import ast
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "rooms.svg"
# Sizes in pixels.
WIDTH, ROW, GAP, LEFT, NAME_WIDTH = 960, 34, 6, 60, 110


def read_rooms() -> list[str]:
    """Return the rooms from top to bottom."""
    tree = ast.parse((ROOT / "tests" / "test_imports.py").read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "ROOMS":
            rooms: list[str] = ast.literal_eval(node.value)
            return rooms
    raise LookupError("tests/test_imports.py has no table ROOMS")


def describe(room: str) -> str:
    """Return the first sentence of a room's docstring."""
    docstring = ast.get_docstring(ast.parse((ROOT / "ft_toolkit" / room / "__init__.py").read_text(encoding="utf-8")))
    if docstring is None:
        raise LookupError(f"ft_toolkit/{room}/__init__.py has no docstring")
    return docstring.replace("\n", " ").replace("`", "").partition(". ")[0].rstrip(".")


def draw() -> str:
    """Return the picture as SVG: a box per room, the top room first."""
    rooms = read_rooms()
    height = len(rooms) * (ROW + GAP) + 50
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'font-family="sans-serif" font-size="13" role="img">',
        "<title>The rooms of ft_toolkit: each imports only from rooms below it</title>",
        '<defs><marker id="head" viewBox="0 0 8 8" refX="4" refY="7" markerWidth="8" markerHeight="8">'
        '<path d="M0 0L8 0L4 8z" fill="#57606a"/></marker></defs>',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="24" fill="#57606a">A module imports only from its own room and from rooms below it.</text>',
        f'<line x1="30" y1="40" x2="30" y2="{height - 20}" stroke="#57606a" stroke-width="1.5" marker-end="url(#head)"/>',
        f'<text x="20" y="{height // 2}" fill="#57606a" transform="rotate(-90 20 {height // 2})" '
        'text-anchor="middle">imports</text>',
    ]
    for number, room in enumerate(rooms):
        top = 38 + number * (ROW + GAP)
        lines += [
            f'<rect x="{LEFT}" y="{top}" width="{WIDTH - LEFT - 10}" height="{ROW}" rx="5" fill="#f6f8fa" stroke="#d0d7de"/>',
            f'<text x="{LEFT + 12}" y="{top + 22}" font-weight="bold" fill="#1f2328">{escape(room)}/</text>',
            f'<text x="{LEFT + NAME_WIDTH}" y="{top + 22}" fill="#1f2328">{escape(describe(room))}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
