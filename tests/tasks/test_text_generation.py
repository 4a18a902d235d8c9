"""Text generation: predicted tokens, prompts and limits, scores by hand, and a saved folder that plain transformers reads."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from accelerate import Accelerator

from ft_toolkit.core.errors import DataError, ModelError, UsageError
from ft_toolkit.evaluation.predictor import Predictor
from ft_toolkit.models.pretrained import load_model, load_tokenizer, read_pretrained
from ft_toolkit.tasks import language_modelling as lm
from ft_toolkit.tasks import text_generation as tg
from ft_toolkit.training.collate import make_collate

TEXTS = ["The cat sat on the mat.", "Rain fell on the tin roof all night long, and nobody slept.", "Snow"]
ROWS = [{"id": str(number), "text": text} for number, text in enumerate(TEXTS)]
PAIRS = [
    {"id": "1", "prompt": "Where is my parcel?\nReply:", "completion": " At the depot."},
    {"id": "2", "prompt": "", "completion": "Thank you"},
    {"id": "3", "prompt": "Cancel the fan.\nReply:", "completion": " It is cancelled."},
]


class Made:
    """A tiny model with the task's schema for it."""

    def __init__(self, folder: str, rows: Any, **settings: Any) -> None:
        self.tokenizer = load_tokenizer(Path(folder))
        self.settings = tg.Settings(**{"max_new_tokens": 8, **settings})
        self.rows, _ = tg.read_rows(rows, self.settings, "rows")
        self.schema = tg.find_schema(self.settings, self.rows, None, read_pretrained(Path(folder), self.tokenizer))
        self.model = load_model(Path(folder), tg.TASK, self.schema, self.tokenizer, dropout=None, seed=1).model.eval()

    def encode(self, rows: Any = None, max_length: int = 48) -> Any:
        return tg.encode(self.rows if rows is None else rows, self.tokenizer, self.schema, max_length)

    def decode(self, rows: Any = None, max_length: int = 48) -> list[dict[str, Any]]:
        features = self.encode(rows, max_length)
        predictor = Predictor(Accelerator(), self.model, tg.TASK, self.schema, self.tokenizer, 256)
        return tg.decode(predictor.predict(features)[0], features, self.rows if rows is None else rows, self.schema)

    def ids(self, text: str) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])


def targets(made: Made, features: Any) -> list[int]:
    """Return the token ids that are predicted, in order."""
    batch = make_collate(features, tg.TASK, made.schema, made.tokenizer.pad_token_id)(range(len(features.notes)))
    return [token for row in batch.targets for token in row[row != tg.IGNORED].tolist()]


@pytest.mark.parametrize("max_length", [16, 48, 200])
def test_the_loss_covers_the_completion_and_the_end_token(tiny_gpt2: str, max_length: int) -> None:
    made = Made(tiny_gpt2, PAIRS)
    features = made.encode(max_length=max_length)
    end = made.tokenizer.eos_token_id
    if max_length == 16:  # half of 14 tokens for the prompts, 7 for the longer completions
        assert features.answers_cut == {"completion tokens": [7, 0, 10]}
        assert features.n_tokens_cut == [len(made.ids(row["prompt"])) - (7 if row["prompt"] else 0) for row in PAIRS]
        expected = [[*made.ids(row["completion"])[: 14 if not row["prompt"] else 7], end] for row in PAIRS]
    else:
        expected = [[*made.ids(row["completion"]), end] for row in PAIRS]
    assert targets(made, features) == [token for row in expected for token in row]
    assert max(features.lengths) <= max_length


@pytest.mark.parametrize("max_length", [13, 48])
def test_the_scores_of_a_text_are_those_of_language_modelling(tiny_gpt2: str, max_length: int) -> None:
    made = Made(tiny_gpt2, ROWS)
    schema = lm.find_schema(lm.Settings(), ROWS, None, read_pretrained(Path(tiny_gpt2), made.tokenizer))
    features = lm.encode(ROWS, made.tokenizer, schema, max_length)
    predictor = Predictor(Accelerator(), made.model, lm.TASK, schema, made.tokenizer, 256)
    expected = lm.decode(predictor.predict(features)[0], features, ROWS, schema)
    for ours, theirs in zip(made.decode(max_length=max_length), expected, strict=True):
        assert ours["continuation"] is not None
        assert {name: ours[name] for name in theirs} == {
            name: pytest.approx(value, rel=1e-5) for name, value in theirs.items()
        }


def test_a_completion_has_the_likelihood_of_plain_transformers(tiny_gpt2: str) -> None:
    made = Made(tiny_gpt2, PAIRS)
    for row, decoded in zip(PAIRS, made.decode(), strict=True):
        start, end = made.schema.start_id, made.schema.end_id
        ids = [start, *made.ids(row["prompt"]), *made.ids(row["completion"]), end]
        first = 1 + len(made.ids(row["prompt"]))
        with torch.no_grad():
            log = made.model(input_ids=torch.tensor([ids])).logits[0].double().log_softmax(-1)
        nll = -sum(float(log[place - 1, ids[place]]) for place in range(first, len(ids)))
        assert decoded["nll"] == pytest.approx(nll, rel=1e-5)
        assert decoded["tokens"] == len(ids) - first
        assert decoded["bytes"] == len(row["completion"])
        assert decoded["perplexity"] == pytest.approx(math.exp(nll / (len(ids) - first)), rel=1e-5)


def test_the_first_words_of_a_text_are_its_prompt(tiny_gpt2: str) -> None:
    assert tg.split_text(ROWS[0], 3) == ("The cat sat", " on the mat.")
    assert tg.split_text(ROWS[0], 20) == ("The cat sat", " on the mat.")  # half of the seven words
    assert tg.split_text(ROWS[2], 20) == ("", "Snow")
    assert tg.split_text({"text": "\u96e8\u4e0b\u4e86\u4e00\u591c"}, 2) == ("\u96e8\u4e0b", "\u4e86\u4e00\u591c")
    made = Made(tiny_gpt2, ROWS, prompt_words=2)
    prompts = [prompt for _, continued in made.encode().notes for _, prompt in continued]
    assert prompts == [made.tokenizer(text)["input_ids"] for text in ("The cat", "Rain fell", "")]


def test_a_share_of_the_rows_is_continued_and_all_are_scored(tiny_gpt2: str) -> None:
    rows = [{"id": str(i), "text": f"Text number {i} of a file."} for i in range(20)]
    made = Made(tiny_gpt2, rows, continued_share=0.3, max_new_tokens=3)
    decoded = made.decode()
    continued = [i for i, prediction in enumerate(decoded) if prediction["continuation"] is not None]
    assert 1 <= len(continued) <= 14
    alone = [i for i, row in enumerate(rows) if made.encode([row]).notes[0][1]]
    assert alone == continued
    predictions, references = tg.to_arrays(decoded, made.rows, made.schema)
    scores = {name: metric.fn(predictions, references) for name, metric in tg.metrics(made.settings).items()}
    assert math.isfinite(scores["perplexity"])
    assert np.isnan([scores["bleu"], scores["rougeL"]]).all()


def test_a_prompt_keeps_its_end_where_the_model_has_few_positions(tiny_gpt2: str) -> None:
    made = Made(tiny_gpt2, PAIRS, max_new_tokens=8)
    limit = made.schema.max_positions - 8
    text = "word " * limit
    features = made.encode([{"prompt": text}], 10_000)
    assert features.lengths == [limit]
    assert features.inputs["input_ids"][0] == [made.schema.start_id, *made.ids(text)[-(limit - 1) :]]
    assert features.n_tokens_cut == [len(made.ids(text)) + 1 - limit]
    with pytest.raises(UsageError, match=r"task\.max_new_tokens=\d+ leaves no room for a prompt; the model has"):
        Made(tiny_gpt2, PAIRS, max_new_tokens=made.schema.max_positions - 1).encode()


def test_an_evaluation_without_generated_texts_has_the_same_token_scores(tiny_gpt2: str) -> None:
    made = Made(tiny_gpt2, PAIRS)
    features = made.encode()
    predictor = Predictor(Accelerator(), made.model, tg.TASK, made.schema, made.tokenizer, 256)
    short = tg.decode(predictor.predict(features, loss_only=True)[0], features, made.rows, made.schema)
    for full, part in zip(made.decode(), short, strict=True):
        assert part == {**full, "continuation": None}


def test_rows_of_two_forms_and_incomplete_rows_are_refused() -> None:
    settings = tg.Settings()

    def refusal(*rows: dict[str, Any], predicts: bool = False) -> str:
        with pytest.raises(DataError) as refused:
            tg.read_rows(rows, None if predicts else settings, "a.jsonl")
        return str(refused.value)

    assert "row 1: a row needs a column 'text', or columns 'prompt' and 'completion'; found neither" in refusal(
        {"id": "1"}
    )
    assert "found text and prompt" in refusal({"text": "a", "prompt": "b"})
    assert "row 1: column 'completion' is missing" in refusal({"prompt": "a"})
    assert "row 1: column 'prompt' is missing" in refusal({"completion": "a"})
    assert "row 2: some rows have a text, others a prompt" in refusal({"text": "a"}, {"prompt": "a", "completion": "b"})
    assert "column 'prompt' must be text; found 7" in refusal({"prompt": 7}, predicts=True)
    assert "all rows are blank" in refusal({"text": " "})
    assert tg.read_rows([{"prompt": "a"}], None, "x")[0] == [{"prompt": "a"}]
    rows, notes = tg.read_rows([{"text": "a"}, {"text": " "}], settings, "x")
    assert rows == [{"text": "a"}] and notes == ["1 of 2 rows are blank and were skipped"]


def test_prompt_words_have_no_effect_on_prompts(tiny_gpt2: str) -> None:
    with pytest.raises(UsageError, match=r"task\.prompt_words has no effect on rows with prompts"):
        Made(tiny_gpt2, PAIRS, prompt_words=3)


def test_a_tokenizer_without_an_end_token_is_refused(tiny_bert: str) -> None:
    tokenizer = load_tokenizer(Path(tiny_bert))
    with pytest.raises(ModelError, match="requires a tokenizer with an end-of-text token"):
        tg.find_schema(tg.Settings(), ROWS, None, read_pretrained(Path(tiny_bert), tokenizer))


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory, here: Any, tiny_gpt2: str) -> Path:
    """A run on prompts and completions, long enough that its texts differ."""
    folder = tmp_path_factory.mktemp("run")
    rows = tg.sample_rows(tg.Settings()) * 2
    (folder / "rows.jsonl").write_text("".join(json.dumps({**r, "id": i}) + "\n" for i, r in enumerate(rows)))
    (folder / "recipe.yaml").write_text(
        "task: {name: text_generation, max_new_tokens: 16, repetition_penalty: 1.2}\n"
        f"model: {{name: {tiny_gpt2}}}\n"
        f"data: {{train: {folder}/rows.jsonl, validation: {folder}/rows.jsonl, test: {folder}/rows.jsonl, max_length: 96}}\n"
        "training: {max_steps: 30, examples_per_batch: 12, learning_rate: 0.01}\n"
        "evaluation: {bootstrap_samples: 100, eval_steps: 15}\n"
    )
    here("run", folder / "recipe.yaml", "--output", folder / "run")
    return folder / "run"


def test_a_run_reports_samples_and_both_baselines(run_folder: Path) -> None:
    scores = json.loads((run_folder / "results.json").read_text())["scores"]["test"]
    assert set(scores["baselines"]) == {"bytes", "untuned"}
    untuned, bytes_ = scores["baselines"]["untuned"], scores["baselines"]["bytes"]
    assert untuned["perplexity"]["value"] > scores["metrics"]["perplexity"]["value"]
    assert untuned["bleu"]["value"] is not None and untuned["distinct_1"]["value"] is not None
    assert bytes_["bits_per_byte"]["value"] is not None and bytes_["bleu"]["value"] is None
    assert set(scores["variety"]) == {"samples", "true texts"}
    page = (run_folder / "report.html").read_text()
    assert "drawn at random with the seed 13; not selected by quality" in page


def test_plain_transformers_writes_the_same_text(run_folder: Path, here: Any) -> None:
    """The saved tokenizer adds the start token, and the generation settings are in generation_config.json."""
    folder, prompt = run_folder / "model", "Cancel the fan.\nReply:"
    ours = json.loads(here("predict", run_folder, prompt).stdout)
    streamed = here("predict", run_folder, prompt, "--stream").stdout
    assert streamed == ours["continuation"] + "\n"
    write = transformers.pipeline("text-generation", model=str(folder))
    (answer,) = write(prompt)
    assert answer["generated_text"] == prompt + ours["continuation"]
    saved = json.loads((folder / "generation_config.json").read_text())
    assert (saved["max_new_tokens"], saved["repetition_penalty"], saved["do_sample"]) == (16, 1.2, False)
    assert 'write("A text that begins")' in (run_folder / "README.md").read_text()


def test_a_stream_of_another_task_or_of_several_rows_is_refused(run_folder: Path, here: Any, tmp_path: Path) -> None:
    (tmp_path / "rows.txt").write_text("a\nb\n")
    refused = here("predict", run_folder, "--input", tmp_path / "rows.txt", "--stream", check=False)
    assert refused.returncode == 2 and "--stream prints the text of one row; remove --input" in refused.stderr


def test_completions_of_some_rows_to_predict_are_not_used() -> None:
    rows, notes = tg.read_rows([{"prompt": "a", "completion": "b"}, {"prompt": "c"}], None, "x")
    assert rows == [{"prompt": "a"}, {"prompt": "c"}] and "1 of 2 rows have no 'completion'" in notes[0]
    with pytest.raises(DataError, match="x: row 1: column 'prompt' is missing"):
        tg.read_rows([{"completion": "b"}], None, "x")
