"""The `hub:` section of a recipe, as far as no network is needed: mistakes, the destination, and the card that is planned."""

import pytest
import yaml
from huggingface_hub import ModelCard

from ft_toolkit.core.errors import DataError, RecipeError, UsageError
from ft_toolkit.core.hub_names import LICENCES, TWO_LETTERS, is_hub_id
from ft_toolkit.core.shipped import shipped
from ft_toolkit.data.cards import load_card
from ft_toolkit.hub.access import Destination, check_recipe
from ft_toolkit.recipe.load_recipe import load_recipe
from ft_toolkit.report.card import planned_card
from ft_toolkit.tasks import find_tasks


@pytest.fixture
def load(recipe_values, tmp_path):
    """Return a function that reads the small recipe with changes."""
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(recipe_values), encoding="utf-8")
    return lambda *changes: load_recipe(tmp_path / "tiny.yaml", changes, find_tasks())


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("hub.license=apache2", "hub.license: found 'apache2'; a licence identifier of the Hub is required"),
        ("hub.license=Apache-2.0", "Did you mean 'apache-2.0'?"),
        ("hub.language=[en, english]", "hub.language.1: found 'english'; an ISO 639 code is required"),
        ("hub.language=[no, xx]", "hub.language.1: found 'xx'; an ISO 639 code is required"),
        ("hub.repo=demo", "hub.repo: found 'demo'; the owner is missing: owner/demo"),
        ("hub.repo=a/b/c", "hub.repo: found 'a/b/c'; a Hub id is required"),
        ("hub.revision=refs/pr/1", "hub.revision: found 'refs/pr/1'; the name of a branch or tag is required"),
        ("hub.push=true", "hub: push requires a repository: hub.repo=OWNER/NAME"),
        ("hub.token=hf_x", "hub.token: unknown key"),
    ],
)
def test_a_mistake_is_listed_like_any_other(load, setting, said):
    with pytest.raises(RecipeError) as error:
        load(setting, "training.seed=-1")
    assert said in str(error.value) and "training.seed" in str(error.value)


def test_a_recipe_s_destination(load):
    settings = ("hub.push=true", "hub.repo=alice/demo", "hub.revision=dev", "hub.private=false")
    assert Destination.of(load(*settings)) == Destination("alice/demo", private=False, revision="dev")


def test_what_the_card_will_say(load):
    def planned(*changes):
        return ModelCard(planned_card(load(*changes))).data

    plain = planned("data={card: sst2}", "model.name=distilbert/distilbert-base-uncased", "hub.language=null")
    assert (plain.base_model, plain.datasets, plain.language) == (
        "distilbert/distilbert-base-uncased",
        ["stanfordnlp/sst2"],
        ["en"],
    )
    assert (plain.license, plain.library_name, plain.pipeline_tag) == ("mit", "transformers", "text-classification")
    assert plain.eval_results[0].dataset_type == "stanfordnlp/sst2"
    assert planned("method=lora").library_name == "peft"
    assert planned("method=lora", "hub.merged=true").library_name == "transformers"
    assert planned().base_model is None and planned().datasets is None  # a folder and files of this disk


def test_an_adapter_of_a_folder_is_refused_before_anything_is_asked(load):
    loaded = load("method=lora", "hub.push=true", "hub.repo=alice/demo")
    with pytest.raises(UsageError, match=r"which is not on the Hub\. Push merged weights with hub\.merged=true"):
        check_recipe(loaded, print)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("license: mitt", "license: found 'mitt'"),
        ("language: [english]", "language: found 'english'"),
        ("language: en\n  source: {hub: ./rows}", "ft_toolkit.source.hub"),
    ],
)
def test_the_data_card_s_metadata_is_checked(tmp_path, line, said):
    block = "  splits: {train: {rows: 1}}\n  tasks: {text_classification: {columns: {text: text}}}\n"
    first, _, source = line.partition("\n")
    source = source or "  source: {hub: a/b}"
    (tmp_path / "README.md").write_text(f"---\n{first}\nft_toolkit:\n{source}\n{block}---\n", encoding="utf-8")
    with pytest.raises(DataError, match=rf"README.md:\d: {said}"):
        load_card(str(tmp_path))


def test_shipped_cards_use_what_the_hub_knows():
    for path in shipped("data_cards").glob("*/README.md"):
        card = load_card(path.parent.name)
        assert card.languages and set(card.languages) <= TWO_LETTERS
        assert set(card.licence.split(", ")) <= LICENCES


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        *((name, True) for name in ("gpt2", "a/b", "a/b.c_d-e")),
        *((name, False) for name in ("a/", "a/-b", "a/b.git", "./a", "a/b/c", "a..b", "a b", "x" * 97, "package:a/b")),
    ],
)
def test_names_of_repositories(name, fits):
    assert is_hub_id(name) is fits
