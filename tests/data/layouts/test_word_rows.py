"""Tables with one word per row."""

import pytest

from ft_toolkit.data.local_files import read_table

KAGGLE = (
    "Sentence #,Word,POS,Tag\nSentence: 1,Anna,NNP,B-PER\n,Berg,NNP,I-PER\n,sings,VBZ,O\nSentence: 2,Omar,NNP,B-PER\n"
)


@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_the_ner_corpus_on_kaggle(write_file, encoding):
    table = read_table(write_file("a.csv", KAGGLE.replace("Berg", "Bérg").encode(encoding)))
    assert [row["tokens"] for row in table.rows] == [["Anna", "Bérg", "sings"], ["Omar"]]
    assert [row["tags"] for row in table.rows] == [["B-PER", "I-PER", "O"], ["B-PER"]]
    assert table.rows[0]["Word"] == table.rows[0]["tokens"]
    assert "4 rows with one word each are read as 2 sentences, by the column 'Sentence #'" in table.notes


def test_simpletransformers(write_file):
    content = "sentence_id,words,labels\n0,Anna,B-PER\n0,left,O\n1,Rome,B-LOC\n0,x,O\n"
    table = read_table(write_file("a.csv", content))
    assert [row["tokens"] for row in table.rows] == [["Anna", "left"], ["Rome"], ["x"]]
    assert any("occur in several places" in note for note in table.notes)


def test_words_without_sentences_are_refused_with_the_remedy(write_file, error_of):
    message = error_of(write_file("a.csv", "word,tag\nAnna,B-PER\nleft,O\nRome,B-LOC\n"))
    assert message.startswith(
        "a.csv: one word per row ('word', 'tag'), and no column says which words form a sentence."
    )
    assert "write a .conll file" in message


@pytest.mark.parametrize(
    "content", ["text,label\nyes,A\nno,B\n", "tokens,tags\na b,O B-X\nc d,O O\n", "text,label\nO,O\n"]
)
def test_other_tables_are_unchanged(write_file, content):
    table = read_table(write_file("a.csv", content))
    assert len(table.rows) == content.count("\n") - 1 and table.notes == []
