"""CoNLL files."""

import pytest

from ft_toolkit.data.local_files import read_file


@pytest.mark.parametrize(
    "text",
    [
        "Anna\tB-PER\nlives\tO\n\n#\tO\nRome\tB-LOC\n",
        "Anna B-PER\nlives O\n\n# O\nRome B-LOC",
        "-DOCSTART- -X- O O\n\nAnna NNP I-NP B-PER\nlives VBZ I-VP O\n\n\n# X X O\nRome NNP I-NP B-LOC\n\n",
        "\ufeff# sent_id = 1\r\nAnna\tB-PER\r\nlives\tO\r\n \t\r\n# id 2 domain=en\r\n#\tO\r\nRome\tB-LOC\r\n",
        "Anna\tB-PER \n lives\t\tO\t\n\t\n# \tO\nRome \tB-LOC\n\t\n",
    ],
    ids=["tabs", "spaces", "four columns", "comments", "stray white space"],
)
def test_variants_of_the_format(write_file, text):
    document = {"document": 1} if "-DOCSTART-" in text else {}
    assert read_file(write_file("a.conll", text)) == [
        {"tokens": ["Anna", "lives"], "tags": ["B-PER", "O"], **document},
        {"tokens": ["#", "Rome"], "tags": ["O", "B-LOC"], **document},
    ]


@pytest.mark.parametrize("mark", ["-DOCSTART- -X- O O\n\n", "# newdoc\n", "# newdoc id = n7\n"])
def test_a_row_has_the_number_of_its_document_if_the_file_marks_documents(write_file, mark):
    text = f"{mark}Anna B-PER\n\n# newdocument\nlives O\n\n{mark}Rome B-LOC\n{mark}Oslo B-LOC\n"
    rows = read_file(write_file("a.conll", text))
    assert [(row["tokens"], row["document"]) for row in rows] == [
        (["Anna"], 1), (["lives"], 1), (["Rome"], 2), (["Oslo"], 3)
    ]  # fmt: skip


def test_words_that_are_unicode_white_space_and_files_without_tags(write_file):
    assert read_file(write_file("a.conll", "\u00a0\tO\n\u2028\tB-X\n")) == [
        {"tokens": ["\u00a0", "\u2028"], "tags": ["O", "B-X"]}
    ]
    path = write_file("b.conll", "Anna\nlives\n\nRome\n")
    assert read_file(path) == [{"tokens": ["Anna", "lives"]}, {"tokens": ["Rome"]}]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "Anna\tB-PER\n\nlives\n",
            "a.conll:3: only one column; each line needs a word and, in the last column, its tag",
        ),
        ("-DOCSTART- O\n\n", "a.conll: the file has no rows"),
    ],
)
def test_invalid_files_are_refused_with_the_line(write_file, error_of, content, message):
    assert error_of(write_file("a.conll", content)).startswith(message)
