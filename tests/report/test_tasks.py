"""Page and card of every task: what each one's records, tables and scores look like, from run folders written by hand."""

import json
import re

import pytest
from huggingface_hub import ModelCard
from huggingface_hub.repocard_data import eval_results_to_model_index, model_index_to_eval_results

from ft_toolkit.report import write_report
from ft_toolkit.report.numbers import number
from ft_toolkit.tasks import find_tasks
from ft_toolkit.tasks.display.answers import answer_error
from ft_toolkit.tasks.display.entities import entity_errors
from ft_toolkit.tasks.display.wrong_examples import Mark, mark_text


def score(value, low=None, high=None):
    return {"value": value, "low": low, "high": high}


def entity(start, end, label, score=None, text=""):
    return {"start": start, "end": end, "label": label, "text": text} | ({} if score is None else {"score": score})


LETTER = "Ada Lovelace wrote to Charles Babbage in London on Monday. " * 14


def ner():
    sentences = [
        ("Ada met Bob in Paris.", [(0, 3, "PER"), (8, 11, "PER"), (15, 20, "LOC")], [(0, 3, "PER", 0.9), (8, 11, "LOC", 0.8)]),
        ("The Bank of London called.", [(4, 18, "ORG")], [(12, 18, "ORG", 0.7), (20, 26, "PER", 0.6)]),
        ("Nothing here.", [], []),
        (LETTER, [(0, 12, "PER"), (41, 47, "LOC")], [(0, 12, "PER", 0.99)]),
    ]  # fmt: skip
    predictions = [
        {
            "id": str(i),
            "text": text,
            "gold": [entity(*one, text=text[one[0] : one[1]]) for one in gold],
            "entities": [entity(*one, text=text[one[0] : one[1]]) for one in found],
        }
        for i, (text, gold, found) in enumerate(sentences)
    ]
    split = {
        "n": 4,
        "metrics": {name: score(0.61, 0.5, 0.7) for name in ("f1", "precision", "recall", "f1_macro")},
        "per_class": [
            {"label": name, "precision": 0.5, "recall": 0.25, "f1": 1 / 3, "support": 12} for name in ("LOC", "PER")
        ],
        "scoring": "entities, exact span and label",
        "baselines": {},
    }
    return split, predictions, {"labels": ["LOC", "ORG", "PER"], "pipeline_tag": "token-classification"}


def question_answering():
    context = (
        "The engine was described by Ada Lovelace in 1843. " + "It had many parts. " * 60 + "It was built in London."
    )
    rows = [
        ("Who described it?", ["Ada Lovelace"], "the Ada Lovelace", 24, 0.99),
        ("Where was it built?", ["London", "in London"], "1843", 44, 0.97),
        ("Who built it?", [], "Ada Lovelace in 1843", 28, 0.6),
        ("When?", ["1843"], "", None, 0.4),
        ("By whom?", ["by Ada Lovelace"], "Lovelace", 32, 0.5),
    ]
    predictions = [
        {"id": str(i), "question": question, "context": context, "gold": gold, "answer": answer, "start": start}
        | {"end": None if start is None else start + len(answer), "score": p, "n_best": [{"text": answer, "score": p}]}
        for i, (question, gold, answer, start, p) in enumerate(rows)
    ]
    split = {
        "n": 5,
        "metrics": {"f1": score(0.56, 0.2, 0.9), "exact_match": score(0.2, 0.0, 0.6)},
        "answerable": {"has_answer": {"n": 4, "f1": 0.7}, "no_answer": {"n": 1, "f1": 0.0}},
        "by_answer": [{"rows": "with an answer", "exact_match": 0.5, "support": 4}],
        "null_threshold": 0.25,
        "baselines": {"first_words": {"f1": {**score(0.1, 0.0, 0.2), "lead": {"low": 0.1, "high": 0.8}}}},
    }
    split["baselines"]["first_words"]["exact_match"] = {**score(0.0, 0.0, 0.0), "lead": {"low": 0.0, "high": 0.6}}
    return split, predictions, {"pipeline_tag": "question-answering"}


def summarization():
    predictions = [
        {
            "id": str(i),
            "document": f"Source {i}. " + "word " * 200,
            "gold": f"Reference {i}.",
            "summary": f"Output {i}.",
        }
        for i in range(25)
    ]
    metrics = {name: score(value, value - 3, value + 3) for name, value in (("rouge1", 41.2), ("rougeLsum", 35.5))}
    lead = {"low": 4.0, "high": 9.0}
    baselines = {"lead_3": {name: {**score(33.0, 31.0, 35.0), "lead": lead} for name in metrics}}
    split = {"n": 25, "metrics": metrics, "lengths": {"summary": 12.5, "reference": 14}, "baselines": baselines}
    return split, predictions, {"pipeline_tag": "summarization"}


def translation():
    predictions = [
        {
            "id": str(i),
            "source": f"Quelle {i}",
            "gold": [f"source {i}", "other"],
            "translation": f"sauce {i}",
            "score": i,
        }
        for i in range(3)
    ]
    metrics = {"bleu": score(27.31, 25.0, 29.5), "chrf": score(55.0, 53.0, 57.0), "ter": score(61.25, 59.0, 64.0)}
    split = {"n": 3, "metrics": metrics, "signature": {"bleu": "nrefs:1|case:mixed|tok:13a"}, "baselines": {}}
    return split, predictions, {"pipeline_tag": "translation", "lower_is_better": ["ter"]}


def language_modelling():
    predictions = [
        {"id": str(i), "text": f"Document {i}.", "gold": None, "nll": 40.0 * i, "tokens": 10, "bytes": 52}
        | {"perplexity": None if i == 2 else 12345.6 * i}
        for i in range(4)
    ]
    metrics = {"perplexity": score(35.625, 30.0, 41.5), "bits_per_byte": score(1.1875, 1.0, 1.3)}
    worse = {"low": -900.0, "high": -700.0}
    baselines = {"unigram": {name: {**score(843.2, 800.0, 900.0), "lead": worse} for name in metrics}}
    split = {"n": 4, "metrics": metrics, "baselines": baselines}
    return (
        split,
        predictions,
        {
            "pipeline_tag": "text-generation",
            "greater_is_better": False,
            "lower_is_better": ["perplexity", "bits_per_byte"],
        },
    )


GENERATION = {"kind": "encoder-decoder", "before": "", "after": "", "max_target_length": 16, "num_beams": 1}
GENERATION |= {"length_penalty": 1.0, "no_repeat_ngram_size": 0, "min_new_tokens": 0, "eos_token_id": 1}
GENERATION |= {"pad_token_id": 0, "decoder_start_token_id": 0, "max_positions": None}
SCHEMAS = {
    "ner": {"labels": ["LOC", "ORG", "PER"], "stride": 16, "tagged_token": "first"},
    "question_answering": {"stride": 16, "max_answer_tokens": 30, "n_best": 3, "has_no_answer": True}
    | {"threshold": 0.25, "causal": False},
    "summarization": GENERATION,
    "translation": GENERATION,
    "language_modelling": {"objective": "causal", "documents": "apart", "packed": True, "start_id": 0, "end_id": 0}
    | {"mask_share": 0.15, "whole_words": True, "mask_id": -1, "vocabulary": 100, "special_ids": [0]},
}
TASKS = {one.__name__: one for one in (ner, question_answering, summarization, translation, language_modelling)}


@pytest.fixture
def make_task_run(make_run):
    """Return a function that writes the run folder of a task, report and card included."""

    def make(task, change=None):
        split, predictions, facts = TASKS[task]()

        def put(results, rows):
            results |= {"task": task, "labels": [], **facts, "main_metric": next(iter(split["metrics"]))}
            results |= {"schema": SCHEMAS[task], "task_settings": {"name": task}}
            results["scores"] = {name: json.loads(json.dumps(split)) for name in ("validation", "test")}
            main = results["main_metric"]
            for record, value in zip(results["training"]["evaluations"], (0.9, 1.0), strict=True):
                record[f"validation_{main}"] = value * split["metrics"][main]["value"]
            for found in results["data"]["splits"].values():
                found |= {"entities_cut": 3, "summary tokens_cut": 1234}
            rows[:] = [{"split": name, **row} for name in ("validation", "test") for row in predictions]
            if change:
                change(results, rows)

        folder = make_run(change=put)
        write_report(folder)
        return folder

    return make


def text_of(folder):
    page = (folder / "report.html").read_text(encoding="utf-8")
    body = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", body).split())


def spans(page, shape):
    return [float(value) for value in re.findall(rf'<{shape} class="dot[^>]* cx="([^%]*)%"', page)]


@pytest.mark.parametrize("task", TASKS)
def test_every_number_stands_on_the_page_and_inside_its_chart(make_task_run, task):
    folder = make_task_run(task)
    page, text = (folder / "report.html").read_text(), text_of(folder)
    results = json.loads((folder / "results.json").read_text())
    for scores in results["scores"].values():
        n = scores["n"]
        for table in (scores["metrics"], *scores["baselines"].values()):
            for score in table.values():
                assert number(score["value"], n) in text
                assert f"{number(score['low'], n)} to {number(score['high'], n)}" in text
    dots = spans(page, "circle")
    assert dots and all(0 <= x <= 100 for x in dots)
    assert ("· lower is better" in text) == (task == "language_modelling")
    assert "None" not in text and "nan" not in text.split()
    if not results["scores"]["test"]["baselines"]:
        assert "No baseline was computed." in text
    assert "entities cut off 3 3 3" in text and "summary tokens cut off 1,234 1,234 1,234" in text


@pytest.mark.parametrize("task", TASKS)
def test_the_card_s_metadata_is_valid_and_its_code_is_code(make_task_run, task):
    folder = make_task_run(task)
    card = ModelCard.load(folder / "README.md")
    results = json.loads((folder / "results.json").read_text())
    assert len(card.data.eval_results) == 2 * len(results["scores"]["test"]["metrics"])
    index = eval_results_to_model_index("demo", card.data.eval_results)
    assert model_index_to_eval_results(index)[1] == card.data.eval_results
    assert card.data.pipeline_tag == results["pipeline_tag"]
    assert "ftk predict MODEL" in card.text and "0 labels" not in card.text and "entities cut off" in card.text
    for snippet in card.text.split("```python\n")[1:]:
        compile(snippet.split("```")[0], "card", "exec")
    has_pipeline = "from transformers import pipeline" in card.text
    assert has_pipeline == (task in ("ner", "language_modelling"))
    assert has_pipeline != ("transformers 5 has no pipeline for this task" in card.text)


@pytest.mark.parametrize(
    ("task", "types"),
    [
        ("ner", {("f1", "f1"), ("precision", "precision"), ("recall", "recall"), ("f1", "f1_macro")}),
        ("question_answering", {("f1", "f1"), ("exact_match", "exact_match")}),
        ("summarization", {("rouge", "rouge1"), ("rouge", "rougeLsum")}),
        ("translation", {("sacrebleu", "bleu"), ("chrf", "chrf"), ("ter", "ter")}),
        ("language_modelling", {("perplexity", "perplexity"), ("bits_per_byte", "bits_per_byte")}),
    ],
)
def test_metrics_have_the_hub_s_names(make_task_run, task, types):
    card = ModelCard.load(make_task_run(task) / "README.md")
    assert {(one.metric_type, one.metric_name) for one in card.data.eval_results} == types


@pytest.mark.parametrize(
    ("task", "said"),
    [
        ("ner", 'find("A text.")'),
        ("question_answering", 'predict([{"question": "Who wrote the notes?", "context": "The notes were'),
        ("question_answering", "with the columns `question` and `context`: `ftk predict MODEL --input rows.csv`"),
        ("summarization", "with a column `document`"),
        ("translation", "with a column `source`"),
        ("language_modelling", 'write("A text that begins", max_new_tokens=40)'),
        ("ner", "texts longer than 64 tokens in overlapping windows"),
        ("translation", "reads at most 64 tokens of a text; the rest is cut off"),
    ],
)
def test_the_card_says_how_to_use_the_model(make_task_run, task, said):
    assert said in (make_task_run(task) / "README.md").read_text()


def test_a_masked_language_model_fills_masks(make_task_run):
    folder = make_task_run("language_modelling")
    contract = json.loads((folder / "model" / "inference.json").read_text())
    contract["schema"]["objective"] = "masked"
    (folder / "model" / "inference.json").write_text(json.dumps(contract))
    write_report(folder)
    card = ModelCard.load(folder / "README.md")
    assert card.data.pipeline_tag == "fill-mask" and "fill.tokenizer.mask_token" in card.text


def test_lower_is_better_is_said_of_each_such_metric(make_task_run):
    folder = make_task_run("translation")
    assert "ter lower is better 61.25" in text_of(folder) and "bleu 27.31" in text_of(folder)
    assert "| ter (lower is better) | 61.25 |" in (folder / "README.md").read_text()


def test_a_lower_perplexity_than_the_baseline_s_is_better(make_task_run):
    text = text_of(make_task_run("language_modelling"))
    assert "Beats the unigram baseline by 700.00 to 900.00 (95% interval)." in text
    assert "on 4 test examples, 700.00 to 900.00 below it (95% interval)." in text


def test_entities_pair_up_into_kinds_of_error():
    gold = [
        entity(0, 3, "PER"),
        entity(8, 11, "PER"),
        entity(15, 20, "LOC"),
        entity(30, 40, "ORG"),
        entity(50, 60, "X"),
    ]
    found = [
        entity(0, 3, "PER"),
        entity(8, 11, "LOC"),
        entity(22, 25, "PER"),
        entity(35, 40, "ORG"),
        entity(55, 61, "Y"),
    ]
    errors = entity_errors(gold, found)
    kinds = {kind: (g and g["start"], p and p["start"]) for kind, g, p in errors}
    assert kinds == {
        "wrong type": (8, 8),
        "wrong boundary": (30, 35),
        "wrong type and boundary": (50, 55),
        "missed": (15, None),
        "spurious": (None, 22),
    }
    assert entity_errors(gold, gold) == []


def test_one_prediction_over_two_true_entities_leaves_one_missed():
    gold = [entity(0, 3, "PER"), entity(4, 12, "PER")]
    errors = entity_errors(gold, [entity(0, 12, "PER", 0.9)])
    assert [(kind, g["start"]) for kind, g, _ in errors] == [("wrong boundary", 4), ("missed", 0)]


def wrong_examples(task, predictions):
    task = find_tasks()[task]
    return task.wrong_examples(predictions, task.load_schema(SCHEMAS[task.name]))


def test_sentences_with_most_wrong_entities_come_first_and_kinds_are_counted():
    _, predictions, _ = ner()
    found = wrong_examples("ner", predictions)
    assert [example.example_id for example in found.examples] == ["1", "0", "3"]
    assert [example.remark for example in found.examples] == [
        "1 spurious, 1 wrong boundary",
        "1 missed, 1 wrong type",
        "1 missed",
    ]
    assert {kind: n for kind, n, _ in found.kinds if n} == {
        "missed": 2,
        "spurious": 1,
        "wrong type": 1,
        "wrong boundary": 1,
    }
    assert found.summary == "3 of 4 texts have a wrong entity."


def test_marks_say_in_words_what_they_show(make_task_run):
    folder = make_task_run("ner")
    page = (folder / "report.html").read_text()
    assert '<mark class="reference predicted">Bob<small> true PER; predicted LOC 0.80</small></mark>' in page
    assert '<mark class="reference predicted">Ada<small> PER 0.90, right</small></mark>' in page
    assert (
        '<mark class="reference">Bank of </mark><mark class="reference predicted">London<small> true ORG; predicted ORG 0.70'
        in page
    )


def test_marked_pieces_are_the_text_and_long_texts_show_what_is_around():
    marks = [Mark(0, 3, "reference", "a"), Mark(2, 5, "predicted", "b")]
    pieces = mark_text("abcdefg", marks)
    assert [(p.text, p.style, p.note) for p in pieces] == [
        ("ab", "reference", ""), ("c", "reference predicted", "a"), ("de", "predicted", "b"), ("fg", "", ""),
    ]  # fmt: skip
    long = "word " * 1000
    shown = "".join(piece.text for piece in mark_text(long, [Mark(2000, 2004, "reference")]))
    assert shown.startswith("… ") and shown.endswith(" …") and 200 < len(shown) < 300
    assert mark_text("short", [Mark(3, 99, "reference", "outside")]) == mark_text("short", [])


@pytest.mark.parametrize(
    ("gold", "answer", "kind"),
    [
        (["Ada Lovelace"], "the ada lovelace.", None),
        ([], "", None),
        ([], "Ada", "unnecessary answer"),
        (["Ada"], "", "not answered"),
        (["Ada Lovelace", "x"], "Countess Lovelace", "partly right"),
        (["Ada"], "Charles", "other words"),
    ],
)
def test_kinds_of_wrong_answers(gold, answer, kind):
    assert answer_error(gold, answer) == kind


def test_wrong_answers_show_question_and_both_places(make_task_run):
    _, predictions, _ = question_answering()
    found = wrong_examples("question_answering", predictions)
    assert [example.example_id for example in found.examples] == ["1", "2", "4", "3"]
    page = (make_task_run("question_answering") / "report.html").read_text()
    assert "Where was it built?" in page and "4 of 5 answers match no reference answer" in page
    assert '<mark class="predicted">1843<small> predicted</small></mark>' in page
    assert '<mark class="reference">in London<small> true</small></mark>' in page
    assert "London / in London" in page


def test_outputs_stand_beside_references_worst_first_where_there_is_a_score(make_task_run):
    _, predictions, _ = translation()
    found = wrong_examples("translation", predictions)
    first = found.examples[0]
    assert (first.example_id, first.reference, first.predicted) == ("0", "source 0\n\nother", "sauce 0")
    assert found.heading == "Lowest-scoring examples"
    _, predictions, _ = summarization()
    found = wrong_examples("summarization", predictions)
    assert [m.example_id for m in found.examples] == ["0", "2", "5", "7", "10", "12", "15", "17", "20", "22"]
    assert "not selected by quality" in found.summary
    page = (make_task_run("summarization") / "report.html").read_text()
    assert page.count('class="two-texts"') == 20 and "more characters)" in page


def test_hardest_documents_come_first_and_unscored_ones_are_left_out():
    _, predictions, _ = language_modelling()
    found = wrong_examples("language_modelling", predictions)
    assert [m.remark for m in found.examples[:2]] == [
        "perplexity 37,037 · 10 tokens · 52 bytes",
        "perplexity 12,346 · 10 tokens · 52 bytes",
    ]
    assert len(found.examples) == 3


def test_what_else_a_task_says_stands_in_plain_tables(make_task_run):
    text = text_of(make_task_run("question_answering"))
    assert "null threshold 0.25" in text
    assert "has_answer 4 0.70 no_answer 1 0.00" in text
    assert "By answer rows exact match examples with an answer 0.50 4" in text


def test_a_long_table_of_a_task_is_cut_and_says_so(make_task_run):
    text = text_of(
        make_task_run("translation", lambda results, rows: results["scores"]["test"].update(big=[{"a": 1}] * 99))
    )
    assert "nrefs:1|case:mixed|tok:13a" in text
    assert "Shown: the first 50 of 99 rows; results.json has all." in text


def test_hostile_texts_stay_texts(make_task_run):
    hostile = "<script>alert(1)</script> & <img src=x>"

    def change(results, rows):
        results["scores"]["test"]["scoring"] = hostile
        for row in rows:
            row["text"] = hostile
            row["gold"], row["entities"] = [], [entity(0, 8, hostile, 0.5)]

    page = (make_task_run("ner", change) / "report.html").read_text()
    assert "<script" not in page and "<img" not in page


@pytest.mark.parametrize(
    ("value", "text"), [(9.99994, "9.9999"), (10.0, "10.00"), (41.256, "41.26"), (12345.6, "12,345.60")]
)
def test_scores_beyond_ten_have_two_decimals(value, text):
    assert number(value) == text
