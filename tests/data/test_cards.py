"""Data cards: the shipped ones load; a wrong one is refused with its line."""

import pytest

from ft_toolkit.core.errors import DataError, one_of
from ft_toolkit.core.shipped import shipped
from ft_toolkit.data.cards import load_card

CARD = """\
---
pretty_name: Toy
license: mit
ft_toolkit:
  source:
    files: {train: train.jsonl}
  splits:
    train: {rows: 2}
  tasks:
    text_classification:
      columns: {text: sentence, label: mood}
      labels: [no, yes]
---

# Toy
"""


@pytest.fixture
def write(tmp_path):
    def write(text):
        (tmp_path / "toy").mkdir(exist_ok=True)
        (tmp_path / "toy" / "README.md").write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(tmp_path / "toy")

    return write


def test_a_card_is_read_from_its_folder(write, tmp_path):
    card = load_card(write(CARD))
    assert (card.name, card.title, card.licence) == ("toy", "Toy", "mit")
    assert card.folder == tmp_path / "toy"
    assert card.block.splits["train"].rows == 2
    assert card.for_task("text_classification").labels == ["no", "yes"]
    assert card.for_task("text_classification").columns == {"text": "sentence", "label": "mood"}


def test_a_card_in_the_current_folder_is_named_after_the_folder(write, monkeypatch):
    monkeypatch.chdir(write(CARD))
    assert load_card(".").name == "toy"


def test_line_ends_byte_order_mark_and_a_list_of_licences_do_not_matter(write):
    text = CARD.replace("license: mit", "license: [mit, apache-2.0]").replace("\n", "\r\n")
    card = load_card(write("\ufeff" + text))
    assert card.licence == "mit, apache-2.0"


@pytest.mark.parametrize("name", sorted(path.parent.name for path in shipped("data_cards").glob("*/README.md")))
def test_every_shipped_card_loads_and_is_complete(name):
    card = load_card(name)
    assert card.name == name
    assert card.title != name
    assert card.metadata["license"]
    assert "train" in card.block.splits
    assert card.block.tasks
    for file in (card.block.source.files or {}).values():
        assert (card.folder / file).is_file()


def test_an_unknown_card_gets_the_list_and_a_suggestion():
    with pytest.raises(DataError) as caught:
        load_card("support_inbx")
    names = one_of(sorted(path.parent.name for path in shipped("data_cards").glob("*/README.md")))
    assert f"no data card 'support_inbx'; allowed: {names}, or a folder" in str(caught.value)
    assert str(caught.value).endswith("Did you mean 'support_inbox'?")


def test_a_card_says_which_tasks_it_serves(write):
    with pytest.raises(DataError, match="'toy' does not support the task ner; supported: text_classification"):
        load_card(write(CARD)).for_task("ner")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("---\npretty", "pretty", "README.md:1: a data card must begin with front matter between two lines of ---"),
        ("ft_toolkit:", "toolkit:", "the front matter has no 'ft_toolkit' block"),
        ("rows: 2", "rows: two", "README.md:8: ft_toolkit.splits.train.rows: "),
        ("rows: 2", "rows: 0", "README.md:8: ft_toolkit.splits.train.rows: "),
        ("train: {rows", "trian: {rows", "README.md:8: ft_toolkit.splits.trian"),
        ("labels:", "lables:", "README.md:12: ft_toolkit.tasks.text_classification.lables: "),
        ("labels: [no, yes]", "labels: [0, 1]", "README.md:12: ft_toolkit.tasks.text_classification.labels.0: "),
        ("    files: {train: train.jsonl}", "    config: x", "exactly one of 'hub' and 'files' must be set"),
        ("files: {", "hub: a/b\n    files: {", "exactly one of 'hub' and 'files' must be set"),
        (
            "rows: 2}",
            "rows: 2}\n    test: {rows: 1}",
            "source.files has train, but splits has train, test; they must be the same",
        ),
        ("pretty_name: Toy", "pretty_name: Toy: x", "README.md:2: mapping values are not allowed here"),
        ("license: mit", "license: mit\nlicense: mit", "README.md:4: key 'license' is duplicate (first on line 2)"),
    ],
)
def test_a_wrong_card_is_refused_with_its_line(write, old, new, message):
    assert CARD.count(old) == 1
    with pytest.raises(DataError) as caught:
        load_card(write(CARD.replace(old, new)))
    assert message in str(caught.value)


def test_a_card_that_is_not_utf8_is_refused(write):
    with pytest.raises(DataError, match="not valid UTF-8"):
        load_card(write(CARD.replace("Toy", "Jou\xe9").encode("latin-1")))
