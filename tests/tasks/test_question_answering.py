"""Question answering: targets, windows, no answer, thresholds, baselines, and the effect of every setting."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional
from transformers import (
    AutoModelForCausalLM,
    BertConfig,
    BertForQuestionAnswering,
    BertForSequenceClassification,
)

from ft_toolkit.core.errors import DataError, ModelError
from ft_toolkit.data.local_files import read_file
from ft_toolkit.evaluation.predictor import Predictor
from ft_toolkit.models.pretrained import load_model, load_tokenizer, read_pretrained
from ft_toolkit.tasks.base import Pretrained
from ft_toolkit.tasks.question_answering import TASK, Settings
from ft_toolkit.tasks.text.answer_windows import Window
from ft_toolkit.training.collate import make_collate

LONG = " ".join(f"Room {n} belongs to the lamp shop number {n}." for n in range(40)) + " The key lies in the blue pot."
ROWS = [
    {"id": "a", "question": "Where does the key lie?", "context": LONG, "answers": "in the blue pot"},
    {"id": "b", "question": "Whose is room 7?", "context": LONG, "answers": {"text": "shop number 7", "start": None}},
    {"id": "c", "question": "Who is it?", "context": "It is the café owner, Zoë 🎹 Kent.", "answers": "Zoë 🎹 Kent"},
]
SILENT = {"id": "d", "question": "Who painted it?", "context": "The room is blue.", "answers": []}


def read(rows):
    return TASK.read_rows(rows, Settings(), "rows")[0]


class Ready:
    """Rows encoded for a checkpoint, and the checkpoint."""

    def __init__(self, folder, rows, max_length=64, **settings):
        self.rows = read(rows)
        self.tokenizer = load_tokenizer(Path(folder))
        pretrained = read_pretrained(Path(folder), self.tokenizer)
        self.schema = TASK.find_schema(Settings(**settings), self.rows, None, pretrained)
        self.features = TASK.encode(self.rows, self.tokenizer, self.schema, max_length)
        self.folder = folder

    def windows(self):
        return [Window.from_note(note) for note in self.features.notes]

    def oracle(self, sure=20.0):
        """Return the values of a model that points to every window's target."""
        values = []
        for ids, target in zip(self.features.inputs["input_ids"], self.features.targets, strict=True):
            logits = np.zeros((2, len(ids)), np.float32)
            logits[0, target[0]] = logits[1, target[1]] = sure
            values.append(logits)
        return values

    def model(self, seed=3):
        return load_model(Path(self.folder), TASK, self.schema, self.tokenizer, dropout=None, seed=seed).model


@pytest.fixture
def tiny_bart(tiny):
    return tiny("bart")


@pytest.fixture(params=["tiny_bert", "tiny_gpt2", "tiny_bart"])
def folder(request):
    return request.getfixturevalue(request.param)


# --- reading


@pytest.mark.parametrize("impossible", [True, "true", 1, "1", "True"])
def test_an_impossible_question_has_no_answers(impossible):
    rows, notes = TASK.read_rows([{**SILENT, "is_impossible": impossible}], Settings(), "rows")
    assert rows == [{**SILENT, "answers": {"text": [], "answer_start": []}}] and notes == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"is_impossible": False, "answers": []},
            r"rows: row 1 \(id c\): is_impossible is false, but the row has 0 answers",
        ),
        ({"is_impossible": "true"}, "is_impossible is true, but the row has 1 answers"),
        ({"is_impossible": "maybe"}, "column 'is_impossible' must be true or false; found 'maybe'"),
        ({"question": " "}, r"row 1 \(id c\): column 'question' must be text; found ' '"),
        ({"context": 3}, "column 'context' must be text; found 3"),
        ({"answers": "nobody"}, r"row 1 \(id c\): the answer 'nobody' occurs 0 times in the context"),
    ],
)
def test_invalid_rows_are_refused(change, message):
    with pytest.raises(DataError, match=message):
        read([{**ROWS[2], **change}])


def test_corrected_offsets_are_counted_and_the_first_is_shown():
    wrong = [{**row, "answers": {"text": [row["answers"]], "answer_start": [1]}} for row in (ROWS[0], ROWS[2])]
    rows, notes = TASK.read_rows([*wrong, SILENT], Settings(), "f.json")
    assert rows == read([ROWS[0], ROWS[2], SILENT])
    (note,) = notes
    assert note.startswith(
        "2 of 3 rows had a wrong answer_start, which was corrected (2 with only one occurrence); the first: f.json: row 1 "
    )


def test_rows_to_predict_need_no_answers():
    asked = [{"question": row["question"], "context": row["context"]} for row in ROWS]
    assert TASK.read_rows(asked, None, "input") == (asked, [])


def test_no_answer_is_found_from_the_training_rows():
    pretrained = Pretrained("encoder", None, type("Fast", (), {"is_fast": True})())
    assert not TASK.find_schema(Settings(), read(ROWS), None, pretrained).has_no_answer
    assert TASK.find_schema(Settings(), read([*ROWS, SILENT]), None, pretrained).has_no_answer
    slow = Pretrained("encoder", None, type("Slow", (), {"is_fast": False})())
    with pytest.raises(
        ModelError, match="requires a fast tokenizer, which gives the characters of each token; found Slow"
    ):
        TASK.find_schema(Settings(), read(ROWS), None, slow)


# --- encoding


@pytest.mark.parametrize("max_length", [24, 40, 64, 200])
def test_targets_point_to_the_answer(folder, max_length):
    ready = Ready(folder, [*ROWS, SILENT], max_length, stride=12)
    whole = [0] * len(ready.rows)
    for ids, target, example, window in zip(
        ready.features.inputs["input_ids"],
        ready.features.targets,
        ready.features.example_ids,
        ready.windows(),
        strict=True,
    ):
        assert len(ids) <= max_length
        row = ready.rows[example]
        if target != (window.null, window.null):
            whole[example] += 1
            first, last = (place - window.start + window.first for place in target)
            text = row["context"][window.spans[first - window.first, 0] : window.spans[last - window.first, 1]]
            assert text.strip() == row["answers"]["text"][0]
    answerable = [bool(row["answers"]["text"]) for row in ready.rows]
    expected = [int(asked and not found) for asked, found in zip(answerable, whole, strict=True)]
    assert ready.features.answers_cut == {"answers": expected}
    assert max_length < 200 or sum(expected) == 0


def test_the_null_token_of_each_kind(tiny_bert, tiny_gpt2, tiny_bart):
    for folder, last in ((tiny_bert, False), (tiny_gpt2, True), (tiny_bart, False)):
        ready = Ready(folder, ROWS)
        for ids, window in zip(ready.features.inputs["input_ids"], ready.windows(), strict=True):
            assert window.null == (len(ids) - 1 if last else 0)
            assert not window.start <= window.null < window.start + window.n
            if last:
                assert ids[-1] == ready.tokenizer.eos_token_id


def test_a_decoder_can_tell_question_from_context(tiny_gpt2):
    ready = Ready(tiny_gpt2, ROWS[2:], 200)
    text = ready.tokenizer.decode(ready.features.inputs["input_ids"][0])
    assert text == "Who is it?\nIt is the café owner, Zoë 🎹 Kent.<|endoftext|>"


def test_a_long_question_is_cut_to_half_of_the_tokens_and_counted(tiny_bert):
    rows = [{**ROWS[2], "question": "when does the lamp " * 50}, ROWS[2]]
    ready = Ready(tiny_bert, rows, 43)
    n_question = len(ready.tokenizer(rows[0]["question"], add_special_tokens=False)["input_ids"])
    assert ready.features.n_tokens_cut == [n_question - (43 - 3) // 2, 0]
    assert ready.windows()[0].start == 1 + 20 + 1


def test_an_answer_longer_than_a_window_is_counted_as_cut(tiny_bert):
    rows = [{**ROWS[2], "answers": ROWS[2]["context"]}, ROWS[2]]
    ready = Ready(tiny_bert, rows, 30, stride=10)
    assert ready.features.answers_cut["answers"] == [1, 0]
    decoded = TASK.decode(ready.oracle(), ready.features, ready.rows, ready.schema)
    predictions, _ = TASK.to_arrays(decoded, ready.rows, ready.schema)
    assert predictions[:, 0].tolist() == [0, 1], "it counts as a miss"


def test_training_takes_the_first_answer_and_scoring_all(tiny_bert):
    answers = {"text": ["Zoë 🎹 Kent", "Kent", "Kent"], "answer_start": [22, 28, 28]}
    row = {**ROWS[2], "answers": answers}
    ready = Ready(tiny_bert, [row], 64)
    one = Ready(tiny_bert, [ROWS[2]], 64)
    assert ready.features.targets == one.features.targets
    assert TASK.reference_answer(ready.rows[0], ready.schema) == ["Zoë 🎹 Kent", "Kent"]
    for text in ("Zoë 🎹 Kent", "Kent."):
        assert TASK.to_arrays([{"answer": text}], ready.rows, ready.schema)[0][0, :2].tolist() == [1, 1]


def test_rows_without_answers_give_the_same_inputs_and_no_targets(folder):
    ready = Ready(folder, ROWS)
    bare = [{key: row[key] for key in ("question", "context")} for row in ready.rows]
    features = TASK.encode(bare, ready.tokenizer, ready.schema, 64)
    assert features.inputs == ready.features.inputs and set(features.targets) == {None}
    assert features.answers_cut == {"answers": [0, 0, 0]} and TASK.encode([], ready.tokenizer, ready.schema, 64).inputs


# --- loss


def test_the_mean_loss_is_that_of_transformers(tiny_bert):
    """With one feature per batch there is no padding, which transformers lets take part in the softmax."""
    ready = Ready(tiny_bert, [*ROWS, SILENT])
    model = ready.model().eval()
    collate = make_collate(ready.features, TASK, ready.schema, ready.tokenizer.pad_token_id)
    for i in range(len(ready.features.example_ids)):
        batch = collate([i])
        start, end = batch.targets.unbind(1)
        with torch.no_grad():
            outputs = model(**batch.inputs, start_positions=start, end_positions=end)
            mean = TASK.loss_sum(outputs, batch, ready.schema) / TASK.count_targets(batch, ready.schema)
        assert float(mean) == pytest.approx(float(outputs.loss), rel=1e-6)
        assert TASK.count_targets(batch, ready.schema) == 2


def test_the_loss_by_hand():
    targets = torch.tensor([[1, 2], [0, 0]])
    start, end = torch.randn(2, 4), torch.randn(2, 4)
    mask = torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]])
    batch = type("Batch", (), {"targets": targets, "inputs": {"attention_mask": mask}})()
    outputs = type("Outputs", (), {"start_logits": start, "end_logits": end})()
    by_hand = sum(
        float(functional.cross_entropy(logits[i, : int(mask[i].sum())][None], targets[i, side][None]))
        for side, logits in enumerate((start, end))
        for i in range(2)
    )
    assert float(TASK.loss_sum(outputs, batch, None)) == pytest.approx(by_hand, rel=1e-6)


def test_a_tiny_model_learns_its_rows(folder):
    """Also in windows, with no answers among them, and from a checkpoint of each kind."""
    rows = [
        {"question": "Who?", "context": f"{name} has the {thing}.", "answers": name if ask else []}
        for name, thing, ask in (
            ("Ann", "key", True),
            ("Bob", "pot", False),
            ("Cy", "owl", True),
            ("Dee", "map", False),
        )
    ]
    ready = Ready(folder, rows, 64)
    model = ready.model().train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    collate = make_collate(ready.features, TASK, ready.schema, ready.tokenizer.pad_token_id)
    batch = collate(range(len(ready.features.example_ids)))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(150):
        optimizer.zero_grad()
        loss = TASK.loss_sum(model(**batch.inputs), batch, ready.schema) / TASK.count_targets(batch, ready.schema)
        loss.backward()
        optimizer.step()
        if loss.item() < 0.01:
            break
    from accelerate import Accelerator

    predictor = Predictor(Accelerator(), model, TASK, ready.schema, ready.tokenizer, 4096)
    values, mean_loss = predictor.predict(ready.features)
    assert mean_loss < 0.2
    schema = TASK.tune(values, ready.features, ready.rows, ready.schema)
    decoded = TASK.decode(values, ready.features, ready.rows, schema)
    assert [one["answer"] for one in decoded] == ["Ann", "", "Cy", ""]


def test_a_checkpoint_with_another_number_of_labels_gets_two_outputs(tmp_path, tiny_bert):
    tokenizer = load_tokenizer(Path(tiny_bert))
    config = BertConfig.from_pretrained(tiny_bert, num_labels=3)
    BertForSequenceClassification(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    model = Ready(str(tmp_path), ROWS).model()
    assert isinstance(model, BertForQuestionAnswering) and model.qa_outputs.out_features == 2


# --- decoding


def test_an_oracle_answers_every_question(folder):
    ready = Ready(folder, [*ROWS, SILENT], 100, stride=30)
    decoded = TASK.decode(ready.oracle(), ready.features, ready.rows, ready.schema)
    assert [one["answer"] for one in decoded] == ["in the blue pot", "shop number 7", "Zoë 🎹 Kent", ""]
    for one, row in zip(decoded, ready.rows, strict=True):
        assert one["score"] > 0.9 and one["n_best"][0] == {k: one[k] for k in ("answer", "start", "end", "score")}
        if one["answer"]:
            assert row["context"][one["start"] : one["end"]] == one["answer"]
        else:
            assert one["start"] is one["end"] is None
    predictions, references = TASK.to_arrays(decoded, ready.rows, ready.schema)
    assert predictions.tolist() == references.tolist()
    json.dumps(decoded)


def test_only_the_context_can_be_an_answer(folder):
    """Question, separators, end tokens have the highest logits; they are no answers."""
    ready = Ready(folder, ROWS, 100, stride=30)
    values = ready.oracle(5.0)
    for logits, window in zip(values, ready.windows(), strict=True):
        outside = np.ones(logits.shape[1], bool)
        outside[window.start : window.start + window.n] = False
        logits[:, outside] = 1000
    decoded = TASK.decode(values, ready.features, ready.rows, ready.schema)
    assert [one["answer"] for one in decoded] == ["in the blue pot", "shop number 7", "Zoë 🎹 Kent"]


def test_no_answer_requires_a_high_score_in_every_window(tiny_bert):
    rows = [ROWS[0], SILENT]
    ready = Ready(tiny_bert, rows, 64, stride=12)
    assert ready.features.example_ids.count(0) > 5
    decoded = TASK.decode(ready.oracle(), ready.features, ready.rows, ready.schema)
    assert decoded[0]["answer"] == "in the blue pot", "all but one of its windows point to no answer"
    assert decoded[1]["answer"] == ""


def test_the_threshold_decides_and_is_chosen_for_the_highest_f1(tiny_bert):
    rows = [ROWS[2], {**ROWS[2], "id": "e"}, SILENT, {**SILENT, "id": "f"}]
    ready = Ready(tiny_bert, rows, 64)
    values = ready.oracle(8.0)
    for logits, null in zip(values, (3.0, 9.0, 20.0, 30.0), strict=True):
        logits[:, 0] = null  # no answer outscores the best span by 2 * null - 16, in rows without an answer by 2 * null

    def answers(schema):
        return [one["answer"] for one in TASK.decode(values, ready.features, ready.rows, schema)]

    right = ["Zoë 🎹 Kent", "Zoë 🎹 Kent", "", ""]
    assert answers(ready.schema) == ["Zoë 🎹 Kent", "", "", ""], "0 is not the best threshold here"
    tuned = TASK.tune(values, ready.features, ready.rows, ready.schema)
    assert answers(tuned) == right and 2 < tuned.threshold < 40
    assert "" not in answers(replace(ready.schema, threshold=100.0))
    assert set(answers(replace(ready.schema, threshold=-100.0))) == {""}
    assert TASK.load_schema(json.loads(json.dumps(tuned.__dict__))) == tuned
    always = Ready(tiny_bert, ROWS, 64)
    assert TASK.tune(always.oracle(), always.features, always.rows, always.schema) == always.schema


def test_probabilities_of_a_listing(tiny_bert):
    ready = Ready(tiny_bert, [*ROWS, SILENT], 64, n_best=7)
    rng = np.random.default_rng(0)
    values = [rng.normal(size=(2, len(ids))).astype(np.float32) for ids in ready.features.inputs["input_ids"]]
    for one in TASK.decode(values, ready.features, ready.rows, ready.schema):
        scores = [listed["score"] for listed in one["n_best"]]
        assert len(scores) == 7 and scores == sorted(scores, reverse=True) and 0 < sum(scores) <= 1
        assert len({(listed["start"], listed["end"]) for listed in one["n_best"]}) == 7


# --- scores


def test_details_describe_the_scoring_and_split_the_scores(tiny_bert):
    schema = Ready(tiny_bert, [*ROWS, SILENT]).schema
    rows = read([ROWS[2], SILENT, {**SILENT, "context": "他住在北京。", "answers": "北京"}])
    decoded = [{"answer": "Kent"}, {"answer": ""}, {"answer": "北京。"}]
    predictions, references = TASK.to_arrays(decoded, rows, schema)
    found = TASK.details(predictions, references, schema)
    assert found["scoring"].endswith("; 1 of 3 examples by character as in MLQA (scripts without spaces)")
    with_answer, without = found["by_answer"]
    assert (with_answer["support"], with_answer["exact_match"]) == (2, 0.5)
    assert (without["support"], without["f1"]) == (1, 1.0) and found["no_answer_threshold"] == 0.0
    v1 = replace(schema, has_no_answer=False)
    chosen = [0, 2]
    assert set(TASK.details(predictions[chosen], references[chosen], v1)) == {"scoring"}
    assert list(TASK.metrics(Settings())) == ["f1", "exact_match"]
    json.dumps(found)


def test_the_context_decides_whether_characters_are_compared(tiny_bert):
    """As SQuAD's script does for English and MLQA's for Chinese, whatever the single answer is made of."""
    chinese = {"question": "哪一年？", "context": "他在1992年去了IBM公司，那是一家大公司。", "answers": "1992"}  # noqa: RUF001
    english = {"question": "Which code?", "context": "The code of the Great Yuan is 大元通制.", "answers": "Great Yuan"}
    silent = [{**row, "answers": []} for row in (chinese, english)]
    rows = read([chinese, english, *silent])
    decoded = [{"answer": "《1992》"}, {"answer": "Great Yuan is 大元通制"}, {"answer": "。"}, {"answer": "《》"}]
    scored, _ = TASK.to_arrays(decoded, rows, Ready(tiny_bert, [*ROWS, SILENT]).schema)
    assert scored[:, 3].tolist() == [1, 0, 1, 0]
    assert scored[:, 0].tolist() == [1, 0, 1, 0] and scored[:, 1].tolist() == pytest.approx([1, 2 * 2 / 6, 1, 0])


def test_the_overlap_baseline(tiny_bert):
    rows = read(
        [
            {
                "question": "When did the piano arrive?",
                "context": "It rained. The piano came at 4.5 p.m. Two did arrive, the piano said!",
                "answers": [],
            },
            {"question": "他住在哪里", "context": "今天下雨。他住在北京。", "answers": "北京"},
            {"question": "Zebra?", "context": "No dots here\nnor here", "answers": []},
        ]
    )
    schema = Ready(tiny_bert, ROWS).schema
    found = TASK.baselines["overlap"].predict([], rows, schema, 13)
    assert [one["answer"] for one in found][:2] == ["Two did arrive, the piano said!", "他住在北京。"]
    assert found[2]["answer"] == "nor here", "the shortest of equal ones"
    for one, row in zip(found, rows, strict=True):
        assert row["context"][one["start"] : one["end"]] == one["answer"]
    silent = TASK.baselines["overlap"].predict([], rows, replace(schema, has_no_answer=True), 13)
    assert [bool(one["answer"]) for one in silent] == [True, True, False]
    assert [one["answer"] for one in TASK.baselines["no_answer"].predict([], rows, schema, 13)] == ["", "", ""]


# --- settings


def test_every_setting_changes_something(tiny_bert):
    before = Ready(tiny_bert, ROWS)
    changed = Ready(tiny_bert, ROWS, stride=3)
    assert len(changed.features.example_ids) < len(before.features.example_ids)

    def decoded(ready):
        return TASK.decode(ready.oracle(), ready.features, ready.rows, ready.schema)

    assert decoded(before)[0]["answer"] == "in the blue pot"
    assert decoded(Ready(tiny_bert, ROWS, max_answer_tokens=2))[0]["answer"] != "in the blue pot"
    assert [len(one["n_best"]) for one in decoded(before)] == [3, 3, 3]
    assert [len(one["n_best"]) for one in decoded(Ready(tiny_bert, ROWS, n_best=5))] == [5, 5, 5]
    assert set(Settings.model_fields) == {"name", "stride", "max_answer_tokens", "n_best"}


# --- files


def test_squad_files_of_both_versions_run_from_file_to_report(tmp_path, tiny_bert):
    def squad(impossible):
        asked = [{"id": "q1", "question": "Who?", "answers": [{"text": "Zoë", "answer_start": 22}]}]
        if impossible:
            asked = [{**asked[0], "is_impossible": False}]
            asked.append(
                {"id": "q2", "question": "Why?", "answers": [], "plausible_answers": [], "is_impossible": True}
            )
        return {"version": "x", "data": [{"title": "T", "paragraphs": [{"context": ROWS[2]["context"], "qas": asked}]}]}

    for impossible in (False, True):
        path = tmp_path / f"{impossible}.json"
        path.write_text(json.dumps(squad(impossible)), encoding="utf-8")
        rows = [{key: row[key] for key in ("id", *TASK.columns)} for row in read_file(path)]
        ready = Ready(tiny_bert, rows)
        assert ready.schema.has_no_answer == impossible
        assert [TASK.reference_answer(row, ready.schema) for row in ready.rows] == [["Zoë"], []][: 1 + impossible]
        assert math.isfinite(float(np.concatenate(ready.oracle(), axis=1).sum()))


def test_the_weights_of_a_llama_are_those_of_the_checkpoint(tiny):
    """transformers' class calls the body by another name than the checkpoint, and would load nothing."""
    ready = Ready(tiny("llama"), ROWS)
    loaded = load_model(Path(ready.folder), TASK, ready.schema, ready.tokenizer, dropout=None, seed=3)
    assert loaded.new_modules == ("qa_outputs",)
    saved = AutoModelForCausalLM.from_pretrained(ready.folder, dtype=torch.float32).model.state_dict()
    own = loaded.model.transformer.state_dict()
    assert own.keys() == saved.keys() and all(torch.equal(own[name], saved[name]) for name in saved)
