"""Positions of a text after edits."""

from ft_toolkit.tasks.text.edits import Moves, apply_edits


def test_positions_move_with_their_text_and_are_undefined_inside_an_edit():
    text, edits = "Ada met Bob", [(0, 3, "Grace"), (4, 4, "once "), (8, 11, "")]
    moved = Moves(edits)
    changed = apply_edits(text, edits)
    assert changed == "Grace once met "
    assert [moved(position) for position in range(len(text) + 1)] == [
        0,
        None,
        None,
        5,
        11,
        12,
        13,
        14,
        15,
        None,
        None,
        15,
    ]
    assert changed[moved(4) : moved(7)] == "met"


def test_without_edits_nothing_moves():
    assert [Moves([])(position) for position in (0, 7)] == [0, 7]
