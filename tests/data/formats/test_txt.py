"""Plain text files."""

from ft_toolkit.data.local_files import read_file, read_table


def test_one_row_per_line_that_is_not_blank(write_file, error_of):
    path = write_file("texts.txt", b"\xef\xbb\xbf = A heading = \r\n\n  \nfirst\x0csecond\xc2\x85 \nlast")
    assert read_file(path) == [{"text": " = A heading = "}, {"text": "first\x0csecond\x85 "}, {"text": "last"}]
    table = read_table(write_file("mixed.txt", "a\rb\nc\r\n"))
    assert [row["text"] for row in table.rows] == ["a", "b", "c"]
    assert table.notes == ["1 lines end with a carriage return alone, other lines with a line feed"]
    assert read_table(write_file("mac.txt", "a\rb\r")).notes == []
    assert error_of(write_file("blank.txt", "\n \n")) == "blank.txt: the file has no rows"
