"""Generative question answering: formats, what is cut, abstention, forms of answers, baselines, and plain transformers."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from ft_toolkit.api import load
from ft_toolkit.core.errors import DataError, UsageError
from ft_toolkit.data.columns import TrainedColumns
from ft_toolkit.data.inputs import InputColumns, read_inputs
from ft_toolkit.models.pretrained import load_tokenizer, read_pretrained
from ft_toolkit.tasks import generative_question_answering as gqa
from ft_toolkit.tasks.base import ScoredRun, is_labelled
from ft_toolkit.tasks.text.token_targets import IGNORED

CONTEXT = "Ada feeds the cat. The cat is called Pixel."
ROWS = [
    {"id": "1", "question": "Who feeds it?", "context": CONTEXT, "answers": ["Ada", "Ada does"]},
    {"id": "2", "question": "How old is it?", "context": CONTEXT, "answers": []},
    {"id": "3", "question": "What is 2 and 2?", "context": None, "answers": "four"},
]


def read(*rows: Any, where: str = "rows.jsonl") -> tuple[list[Any], list[str]]:
    checked, notes = gqa.read_rows(rows, gqa.Settings(), where)
    return list(checked), notes


class Made:
    """The rows encoded for a tiny model."""

    def __init__(self, folder: str, rows: Any = ROWS, max_length: int = 200, **settings: Any) -> None:
        self.settings = gqa.Settings(**settings)
        self.rows, _ = read(*rows)
        self.tokenizer = load_tokenizer(Path(folder))
        self.schema = gqa.find_schema(self.settings, self.rows, None, read_pretrained(Path(folder), self.tokenizer))
        self.features = self.encode(max_length)

    def encode(self, max_length: int, rows: Any = None) -> Any:
        return gqa.encode(self.rows if rows is None else rows, self.tokenizer, self.schema, max_length)

    def texts(self, i: int) -> tuple[str, str]:
        """Return what the model reads before the answer, and what it learns."""
        ids, target = self.features.inputs["input_ids"][i], self.features.targets[i]
        learned = [token for token in target if token != IGNORED]
        before = ids[: len(ids) - len(learned)] if len(target) == len(ids) else ids
        return self.tokenizer.decode(before), self.tokenizer.decode(learned)


def test_a_decoder_reads_context_and_question_and_learns_the_answer(tiny_gpt2: str) -> None:
    made = Made(tiny_gpt2)
    end = made.tokenizer.eos_token
    assert made.texts(0) == (f"{CONTEXT}\nQuestion: Who feeds it?\nAnswer:\n", f"Ada{end}")
    assert made.texts(1) == (f"{CONTEXT}\nQuestion: How old is it?\nAnswer:\n", end), "the empty answer abstains"
    assert made.texts(2) == ("\nQuestion: What is 2 and 2?\nAnswer:\n", f"four{end}")
    assert (made.schema.reads_context, made.schema.has_no_answer) == (True, True)


def test_an_encoder_decoder_reads_the_format_of_t5(tiny: Any) -> None:
    made = Made(tiny("t5"))
    assert made.texts(0) == (f"question: Who feeds it? context: {CONTEXT}</s>", "Ada</s>")
    assert made.texts(1)[1] == "</s>"
    assert Made(tiny("bart"), prefix="Read. ").texts(0)[0].startswith("<s>Read. question: Who feeds it? context: Ada")
    without = Made(tiny("t5"), ROWS[2:])
    assert without.texts(0)[0] == "question: What is 2 and 2?</s>" and not without.schema.reads_context


def test_braces_in_the_texts_are_plain_text(tiny_gpt2: str) -> None:
    rows = [{"question": "Is {context} {x}?", "context": "No {question}.", "answers": "no"}]
    assert Made(tiny_gpt2, rows).texts(0)[0] == "No {question}.\nQuestion: Is {context} {x}?\nAnswer:\n"


@pytest.mark.parametrize("name", ["gpt2", "t5", "bart"])
def test_a_long_context_is_cut_but_never_a_question(name: str, tiny: Any) -> None:
    made = Made(tiny(name))
    full = [len(ids) for ids in made.encode(400, [{**row, "answers": []} for row in made.rows]).inputs["input_ids"]]
    short = made.encode(56)
    kept = made.tokenizer.decode(short.inputs["input_ids"][0], skip_special_tokens=True)
    assert "Question: Who feeds it?\nAnswer:\n" in kept or kept.startswith("question: Who feeds it? context: Ada f")
    assert "Pixel" not in kept and "Ada f" in kept
    assert short.n_tokens_cut[0] == full[0] - (name == "gpt2") - 56 and short.n_tokens_cut[2] == 0
    with pytest.raises(UsageError, match=r"data.max_length=20 is too small: .*tokens; it begins '.*[Qq]uestion: Who f"):
        made.encode(20)


def test_a_model_without_contexts_says_that_it_ignores_one(tiny_gpt2: str) -> None:
    made = Made(tiny_gpt2, ROWS[2:])
    assert made.texts(0)[0] == "Question: What is 2 and 2?\nAnswer:\n"
    rows, _ = read({"question": "Who?", "context": CONTEXT})
    assert (
        "1 of 1 rows have a context, which this model does not read"
        in gqa.notes(rows, None, made.tokenizer, made.schema)[0]
    )


def test_a_text_alone_is_a_question() -> None:
    columns = InputColumns(gqa.TASK, gqa.Settings(), TrainedColumns())
    assert list(read_inputs("Who?", columns).rows) == [{"question": "Who?"}]
    mixed = read_inputs(["Who?", {"question": "Why?", "context": CONTEXT}], columns).rows
    assert list(mixed) == [{"question": "Who?", "context": ""}, {"question": "Why?", "context": CONTEXT}]


def test_settings_that_contradict_the_rows_are_refused(tiny: Any) -> None:
    folder = tiny("gpt2")
    with pytest.raises(UsageError, match=r"task.prompt must contain \{context\} once; found 'Q: \{question\}'"):
        Made(folder, prompt="Q: {question}")
    with pytest.raises(UsageError, match=r"must not contain \{context\}, because no training row has a context"):
        Made(folder, ROWS[2:], prompt="{context} {question}")
    with pytest.raises(UsageError, match=r"task.prompt must contain \{question\}"):
        Made(folder, prompt="{context}\n")
    with pytest.raises(UsageError, match=r"task.min_new_tokens excludes the empty answer"):
        Made(folder, min_new_tokens=2)
    with pytest.raises(UsageError, match=r"task.prompt has no effect on a checkpoint of kind encoder-decoder"):
        Made(tiny("t5"), prompt="{context} {question}")
    made = Made(folder, prompt="Q: {question} C: {context} A: ")
    assert made.texts(0)[0] == f"Q: Who feeds it? C: {CONTEXT} A: "


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("Ada", ["Ada"]),
        ("1843", ["1843"]),
        (["Ada", "Ada L.", "Ada", " "], ["Ada", "Ada L."]),
        ({"text": ["Ada"], "answer_start": [3]}, ["Ada"]),
        ([{"text": "Ada", "answer_start": 3}, {"text": "she"}], ["Ada", "she"]),
        ("['Ada', 'she']", ["Ada", "she"]),
        ("[1]", ["[1]"]),
        ("Zoë\r\nand 李", ["Zoë\r\nand 李"]),
        (["", " "], []),
        ([], []),
        ("", []),
        ({"text": [], "answer_start": []}, []),
    ],
)
def test_forms_of_answers(value: Any, expected: list[str]) -> None:
    (row,), notes = read({"question": "Who?", "answers": value})
    assert row["answers"] == expected and is_labelled({"question": "Who?", "answers": value}, gqa.TASK)
    assert any("have no answer" in note for note in notes) == (expected == [])
    assert not is_labelled({"question": "Who?", "answers": None}, gqa.TASK)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"question": "", "answers": "a"}, "column 'question' must be text; found ''"),
        ({"question": ["Who?"], "answers": "a"}, "column 'question' must be text; found"),
        ({"question": "Who?", "context": 3, "answers": "a"}, "column 'context' must be text, or empty; found 3"),
        ({"question": "Who?", "context": ["a"], "answers": "a"}, "column 'context' must be text, or empty"),
        ({"question": "Who?", "answers": 42}, "invalid answers 42; allowed: "),
        ({"question": "Who?", "answers": [1]}, "invalid answers 1; allowed: "),
        ({"question": "Who?", "answers": [["a"], 2.5]}, "invalid answers 2.5; allowed: "),
        ({"question": "Who?", "answers": {"text": 7}}, "answer 7 is not a text"),
        ({"question": "Who?", "answers": {"value": "a"}}, "without 'text'"),
        (
            {"question": "Who?", "answers": "a", "is_impossible": True},
            "is_impossible is true, but the row has 1 answers",
        ),
        ({"question": "Who?", "answers": [], "is_impossible": "maybe"}, "must be true or false; found 'maybe'"),
    ],
)
def test_wrong_rows_are_refused(row: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError) as refused:
        read({"question": "Fine?", "answers": "yes"}, {"id": "x", **row}, where="a.jsonl")
    assert str(refused.value).startswith("a.jsonl: row 2 (id x): ") and message in str(refused.value)


def test_scores_are_those_of_squad_and_an_abstention_is_scored() -> None:
    rows, _ = read(*ROWS)
    schema = None
    right = gqa.to_arrays([{"answer": "ada does."}, {"answer": ""}, {"answer": "the Four"}], rows, schema)[0]
    wrong = gqa.to_arrays([{"answer": ""}, {"answer": "ten"}, {"answer": "four or five"}], rows, schema)[0]
    metrics = gqa.metrics(gqa.Settings())

    def scores(array: Any, name: str) -> list[float]:
        return [metrics[name].fn(array[i : i + 1], array[i : i + 1]) for i in range(3)]

    assert scores(right, "exact_match") == scores(right, "f1") == [1, 1, 1]
    assert scores(right, "abstention") == [1, 1, 1]
    assert scores(wrong, "exact_match") == [0, 0, 0]
    assert scores(wrong, "f1") == pytest.approx([0, 0, 0.5])
    assert scores(wrong, "abstention") == [0, 0, 1], "a wrong answer is still an answer"
    assert scores(wrong, "rougeL") == pytest.approx([0, 0, 50]) and scores(right, "rougeL")[1] == 100


def test_the_breakdown_separates_questions_without_an_answer(tiny_gpt2: str) -> None:
    made = Made(tiny_gpt2)
    arrays = gqa.to_arrays([{"answer": "Ada"}, {"answer": "ten"}, {"answer": "four"}], made.rows, made.schema)
    details = gqa.details(*arrays, made.schema)
    with_answer, without = details["by_answer"]
    assert (with_answer["rows"], with_answer["f1"], with_answer["support"]) == ("with an answer", 1.0, 2)
    assert (without["f1"], without["abstention"], without["support"]) == (0.0, 0.0, 1)
    assert details["mean_words"] == {"predicted": 1.0, "reference": pytest.approx(2 / 3)}
    assert "by_answer" not in gqa.details(*[array[::2] for array in arrays], replace(made.schema, has_no_answer=False))


def test_runs_with_other_words_for_rouge_share_all_other_scores() -> None:
    rows, _ = read({"question": "谁", "answers": "李白"})
    array, _ = gqa.to_arrays([{"answer": "李"}], rows, None)
    assert array[0, 1] == pytest.approx(2 / 3), "by character"
    latin, _ = gqa.to_arrays([{"answer": "Ada"}], read({"question": "Who?", "answers": "Ada"})[0], None)
    compared = gqa.comparability(ScoredRun(None, None, array), ScoredRun(None, None, latin))
    assert compared.incomparable == ("rougeL",) and compared.refusal is None


def test_baselines(tiny_gpt2: str) -> None:
    made = Made(tiny_gpt2)
    rows, _ = read(
        {"question": "Who feeds the dog?", "context": f"It rains.\n{CONTEXT}", "answers": "x"},
        {"question": "Why?", "context": "", "answers": "x"},
    )

    def answers(name: str, train: Any = made.rows) -> list[str]:
        return [row["answer"] for row in gqa.TASK.baselines[name].predict(train, rows, made.schema, 0)]

    assert answers("overlap") == ["Ada feeds the cat.", ""]
    more, _ = read(*ROWS, {"question": "b?", "answers": "four"}, {"question": "c?", "answers": []})
    assert answers("frequent_answer", more) == ["four", "four"]
    assert answers("no_answer") == ["", ""] == answers("frequent_answer", made.rows[1:2])
    defaults = {name: base.is_default(made.schema) for name, base in gqa.TASK.baselines.items() if name != "untuned"}
    assert set(defaults.values()) == {True}
    closed = replace(made.schema, reads_context=False, has_no_answer=False)
    assert [name for name in defaults if gqa.TASK.baselines[name].is_default(closed)] == ["frequent_answer"]


def test_the_page_shows_random_answers_and_counts_errors() -> None:
    records = [
        {"id": str(i), "question": "Who?", "context": CONTEXT, "gold": gold, "answer": answer}
        for i, (gold, answer) in enumerate([(["Ada"], "ada"), ([], "Ada"), (["Ada"], ""), (["Ada L"], "Ada")] * 4)
    ]
    shown = gqa.TASK.wrong_examples(records, None)
    assert (len(shown.examples), shown.n_wrong) == (10, 12)
    assert {kind: n for kind, n, _ in shown.kinds} == {
        "other words": 0,
        "partly right": 4,
        "unnecessary answer": 4,
        "not answered": 4,
    }
    assert [each.example_id for each in gqa.TASK.wrong_examples(records[::-1], None).examples] == [
        each.example_id for each in shown.examples
    ]
    assert {each.remark for each in shown.examples} >= {"right", "partly right"}
    assert "no answer" in {each.reference for each in shown.examples} | {each.predicted for each in shown.examples}


@pytest.mark.trains
def test_plain_transformers_writes_the_same_answers(tmp_path: Path, here: Any, tiny_gpt2: str) -> None:
    """A tiny decoder learns when to abstain; its folder gives the same answers with `generate`."""
    rows = [
        {"question": f"Q{i}?", "context": "ab"[i % 2] * 3, "answers": [] if i % 2 else ["yes", "yes it is"]}
        for i in range(12)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "recipe.yaml").write_text(
        "task: {name: generative_question_answering, max_target_length: 8}\n"
        f"model: {{name: {tiny_gpt2}}}\n"
        f"data: {{train: {tmp_path}/rows.jsonl, validation: {tmp_path}/rows.jsonl, test: {tmp_path}/rows.jsonl}}\n"
        "training: {max_steps: 40, examples_per_batch: 12, learning_rate: 0.02}\nevaluation: {bootstrap_samples: 100}\n"
    )
    here("run", tmp_path / "recipe.yaml", "--output", tmp_path / "run")
    records = [json.loads(line) for line in (tmp_path / "run" / "predictions.jsonl").read_text().splitlines()]
    assert {record["answer"] for record in records} == {"", "yes"}
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "run" / "model")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "run" / "model").eval()
    for record in records[:4]:
        prompt = f"{record['context']}\nQuestion: {record['question']}\nAnswer:\n"
        inputs = tokenizer(prompt, return_tensors="pt")
        with torch.no_grad():
            tokens = model.generate(**inputs)
        answer = tokenizer.decode(tokens[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
        assert answer.strip() == record["answer"]
    predict = load(tmp_path / "run")
    assert predict("Q0?") == predict({"question": "Q0?", "context": ""})
    assert json.loads(here("predict", tmp_path / "run", "Q0?").stdout) == predict("Q0?")
    scores = json.loads((tmp_path / "run" / "results.json").read_text())["scores"]["test"]
    assert scores["metrics"]["abstention"]["value"] == scores["metrics"]["exact_match"]["value"] == 1
    assert set(scores["baselines"]) == {"overlap", "frequent_answer", "no_answer", "untuned"}
    page = (tmp_path / "run" / "report.html").read_text()
    assert "without an answer" in page and "drawn at random with the seed 13" in page
