import pytest

from ft_toolkit.core.counted_notes import shown
from ft_toolkit.core.errors import DataError
from ft_toolkit.tasks.base import DefinedLabels, LabelSource
from ft_toolkit.tasks.ner import TASK, Settings

TAGS = ["B-PER", "I-PER", "O"]


def read(row, defined=None, numbers=None, **settings):
    source = LabelSource("t.csv", defined, numbers=numbers)
    rows, notes = TASK.read_labels([{"id": "1", **row}], Settings(**settings), source)
    rows, more = TASK.read_rows(rows, Settings(**settings), "t.csv")
    return [(entity["start"], entity["end"], entity["label"]) for entity in rows[0]["entities"]], shown([*notes, *more])


@pytest.mark.parametrize(
    "tokens", ["Anna Berg sings", "['Anna', 'Berg', 'sings']", "['Anna' 'Berg' 'sings']", '["Anna", "Berg", "sings"]']
)
@pytest.mark.parametrize("tags", ["B-PER I-PER O", "['B-PER', 'I-PER', 'O']", "['B-PER' 'I-PER' 'O']", TAGS])
def test_printed_lists_of_words_and_tags(tokens, tags):
    assert read({"tokens": tokens, "tags": tags})[0] == [(0, 9, "PER")]


@pytest.mark.parametrize(
    "tags", [[1, 2, 0], "[1, 2, 0]", "[1 2 0]", "1 2 0", ["1", "2", "0"], [1.0, 2.0, 0.0], "[1. 2. 0.]"]
)
def test_numbers_stand_for_tags_in_a_defined_order(tags):
    row = {"tokens": "Anna Berg sings", "tags": tags}
    entities, notes = read(row, labels=["PER", "LOC"])
    assert entities == [(0, 9, "PER")]
    assert "numbers are read in the order of task.labels: 0 = O, 1 = B-PER, 2 = I-PER, 3 = B-LOC" in notes[-1]
    own = DefinedLabels(("O", "I-PER", "B-PER"), "data.reading.label_names")
    assert read({**row, "tags": [2, 1, 0]}, numbers=own, labels=["LOC", "PER"])[0] == [(0, 9, "PER")]
    assert read(row, DefinedLabels(("PER", "LOC"), "the data card 'x'"))[0] == [(0, 9, "PER")]
    with pytest.raises(DataError, match=r"t.csv: row 1: tag 1 is a number, and nothing says which tag it means. Set"):
        read(row)


def test_a_number_without_a_tag_is_refused():
    with pytest.raises(
        DataError, match=r"row 1: tag 7 does not exist; task.labels gives the tags 0 to 2 \(O, B-PER, I-PER\)"
    ):
        read({"tokens": "Anna Berg", "tags": [1, 7]}, labels=["PER"])


def test_tags_in_place_of_types_are_refused():
    with pytest.raises(DataError, match=r"task.labels must list entity types, not tags: task.labels=\[PER, LOC\]"):
        read({"tokens": "Anna", "tags": ["O"]}, labels=["O", "B-PER", "I-PER", "B-LOC", "I-LOC"])


@pytest.mark.parametrize(
    "entities",
    [
        "[{'start': 0, 'end': 9, 'label': 'PER'}]",
        '[{"start": 0, "end": 9, "label": "PER"}]',
        "array([{'start': 0, 'end': 9, 'label': ' PER'}], dtype=object)",
    ],
)
def test_printed_entities(entities):
    assert read({"text": "Anna Berg sings", "entities": entities})[0] == [(0, 9, "PER")]


def test_types_that_differ_only_in_case_get_a_note():
    _, notes = read({"tokens": "Anna Berg", "tags": ["B-PER", "B-Per"]})
    assert any("'PER' and 'Per'" in note for note in notes)


def test_words_that_look_like_lists_stay_words():
    rows, _ = TASK.read_rows(
        [{"tokens": "[1]"}, {"tokens": "[ 1 ] see [ 2 ]"}, {"tokens": "(a) or (b)"}], None, "t.csv"
    )
    assert [row["tokens"] for row in rows] == [["[1]"], ["[", "1", "]", "see", "[", "2", "]"], ["(a)", "or", "(b)"]]
    with pytest.raises(DataError, match="column 'tokens' looks like a list but cannot be read"):
        TASK.read_rows([{"tokens": "['Anna', 'Berg' 'sings']"}], None, "t.csv")
