"""CoNLL files."""

import pytest

from ft_toolkit.core.errors import DataError
from ft_toolkit.data.local_files import read_file, read_table
from ft_toolkit.recipe.reading import Reading


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
    assert read_file(write_file("a.conll", text)) == [
        {"tokens": ["Anna", "lives"], "tags": ["B-PER", "O"]},
        {"tokens": ["#", "Rome"], "tags": ["O", "B-LOC"]},
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


@pytest.mark.parametrize(
    "text",
    [
        "# text = Anna took vitamin B-12\nAnna\tB-PER\nleft\tO\n\n# text = type O\ntype\tO\nO\tO\n",
        "# text = Anna took vitamin B-12\nAnna B-PER\nleft O\n\n# text = type O\ntype O\nO O\n",
        "#text=a B-X\nAnna\tB-PER\nleft\tO\n\n# sent O O\ntype\tO\nO\tO\n",
    ],
)
def test_a_comment_may_end_with_a_word_that_looks_like_a_tag(write_file, text):
    assert read_file(write_file("a.conll", text)) == [
        {"tokens": ["Anna", "left"], "tags": ["B-PER", "O"]},
        {"tokens": ["type", "O"], "tags": ["O", "O"]},
    ]


GERMEVAL = (
    "#\thttp://de.example/x\t[2009-10-17]\n1\tDie\tO\tO\n2\tKölner\tB-LOCderiv\tO\n\n#\tb\n1\tBonn\tB-LOC\tB-OTH\n"
)


def test_the_columns_of_words_and_tags_can_be_chosen(write_file):
    path = write_file("a.tsv", GERMEVAL)
    table = read_table(path)
    assert table.format == "conll"
    assert table.rows == [{"tokens": ["Die", "Kölner"], "tags": ["O", "O"]}, {"tokens": ["Bonn"], "tags": ["B-OTH"]}]
    assert any("column 3 also holds tags" in note for note in table.notes)
    outer = read_file(path, Reading(tag_column=3))
    assert [row["tags"] for row in outer] == [["O", "B-LOCderiv"], ["B-LOC"]]
    with pytest.raises(DataError, match=r"a\.tsv:2: data\.reading\.tag_column=5, but the line has 4 columns"):
        read_file(path, Reading(tag_column=5))


def test_word_ranges_of_conllu_are_no_words_and_the_only_column_of_tags_is_found(write_file):
    lines = ["1-2\tIm\t_\t_", "1\tin\tO\tx", "2\tdem\tB-LOC\ty", "2.1\te\tO\tz"]
    table = read_table(write_file("a.conllu", "\n".join(lines).replace("\t_\t_", "\tO\t_") + "\n"))
    assert table.rows == [{"tokens": ["in", "dem"], "tags": ["O", "B-LOC"]}]
    assert "tags are read from column 3, the only one that holds tags" in table.notes


@pytest.mark.parametrize("name", ["a.txt", "a.tsv", "a.dat", "a"])
def test_words_with_tags_are_recognized_under_any_suffix(write_file, name):
    table = read_table(write_file(name, "word\ttag\nAnna\tB-PER\nleft\tO\n\nRome\tB-LOC\n"))
    assert [row["tokens"] for row in table.rows] == [["Anna", "left"], ["Rome"]]
    assert any("(word tag) holds column names" in note for note in table.notes)


def test_a_csv_file_with_blank_lines_between_sentences(write_file):
    table = read_table(write_file("a.csv", 'word,tag\nAnna,B-PER\n",",O\n\nRome,B-LOC\n'))
    assert table.rows == [{"tokens": ["Anna", ","], "tags": ["B-PER", "O"]}, {"tokens": ["Rome"], "tags": ["B-LOC"]}]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", "We need vitamin B-12\n"),
        ("a.txt", "We need vitamin B-12\nHer blood type is O\n"),
        ("a.txt", "her type O\nhis type B-positive\n"),
        ("a.txt", "vitamin B-12\nvitamin B-6\n"),
        ("a.tsv", "tokens\ttags\nAnna left\tB-PER O\n"),
    ],
)
def test_texts_that_end_like_tags_are_not_taken_for_tagged_words(write_file, name, content):
    table = read_table(write_file(name, content))
    assert table.format in ("txt", "csv") and table.notes == []
