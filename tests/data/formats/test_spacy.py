"""spaCy's binary training files, written with spaCy."""

import pytest

from ft_toolkit.data.local_files import read_file

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


def test_entities_and_categories(tmp_path):
    spacy = pytest.importorskip("spacy")
    from spacy.tokens import DocBin

    nlp = spacy.blank("en")
    docs = [nlp("Anna left \U0001f600 Rome"), nlp("nothing")]
    docs[0].set_ents([docs[0].char_span(0, 4, "PER"), docs[0].char_span(12, 16, "LOC")])
    docs[0].cats, docs[1].cats = {"GOOD": 1.0, "BAD": 0.0}, {"GOOD": 0.0, "BAD": 1.0}
    DocBin(docs=docs).to_disk(tmp_path / "train.spacy")
    assert read_file(tmp_path / "train.spacy") == [
        {
            "text": "Anna left \U0001f600 Rome",
            "entities": [{"start": 0, "end": 4, "label": "PER"}, {"start": 12, "end": 16, "label": "LOC"}],
            "label": "GOOD",
        },
        {"text": "nothing", "entities": [], "label": "BAD"},
    ]


def test_a_damaged_file_is_refused(write_file, error_of):
    pytest.importorskip("spacy")
    assert error_of(write_file("a.spacy", b"x")).startswith("a.spacy: not a readable .spacy file")
