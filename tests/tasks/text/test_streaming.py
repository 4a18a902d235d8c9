"""The pieces of a growing text."""

from ft_toolkit.tasks.text.streaming import GrowingText


def _pieces(texts: list[str], *stop_strings: str) -> list[str]:
    pieces: list[str] = []
    text = GrowingText(lambda piece: not pieces.append(piece), stop_strings)
    for each in texts:
        text.show(each)
    return pieces


def test_each_piece_is_the_new_part() -> None:
    assert _pieces(["", "a", "a la", "a la", "a lamp"]) == ["a", " la", "mp"]


def test_an_incomplete_character_waits_for_its_last_byte() -> None:
    assert _pieces(["caf", "caf\ufffd", "caf\u00e9"]) == ["caf", "\u00e9"]
    assert _pieces(["a caf\ufffd", "a caf\u00e9"]) == ["a caf", "\u00e9"]


def test_an_end_that_may_become_a_stop_string_waits() -> None:
    assert _pieces(["a", "a#", "a#b", "a#b##", "a#b##c"], "##", "b#x") == ["a", "#", "b"]


def test_a_text_whose_passed_characters_change_is_not_passed_on() -> None:
    assert _pieces(["a lamp ", "a lamp.", "a lamp. It"]) == ["a lamp "]


def test_the_text_stops_when_the_receiver_says_so() -> None:
    text = GrowingText(lambda piece: False)
    text.show("a")
    assert text.is_stopped
