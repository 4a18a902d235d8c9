"""Dialogue: a decoder writes the next turn of one side, the answering side.

The turns are written in the chat template of the checkpoint, or in our own format (`text/chat_format.py`). The loss covers the
turns of the answering side. A dialogue that is too long loses its first turns; a system turn at the start is kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ft_toolkit.core.errors import DataError, ModelError, UsageError
from ft_toolkit.metrics.metric import Metric
from ft_toolkit.tasks.base import (
    Baseline,
    Batch,
    CheckpointBaseline,
    Column,
    DefinedLabels,
    Features,
    OnText,
    Pretrained,
    Row,
    Rows,
    Task,
)
from ft_toolkit.tasks.display.prediction_form import PredictionForm, Reply
from ft_toolkit.tasks.display.texts import random_texts
from ft_toolkit.tasks.display.wrong_examples import WrongExamples
from ft_toolkit.tasks.guessing.dialogues import guess_dialogue
from ft_toolkit.tasks.text import chat_format, sample_scores, token_scores
from ft_toolkit.tasks.text.chat_format import ASSISTANT, SYSTEM, USER, Message, turn_keys
from ft_toolkit.tasks.text.decoding import (
    Decoding,
    DecodingSettings,
    continue_prompts,
    exported_texts,
    find_decoding,
    generation_config,
    load_decoding,
    prompt_limit,
)
from ft_toolkit.tasks.text.nearest import nearest_rows
from ft_toolkit.tasks.text.positions import input_positions
from ft_toolkit.tasks.text.token_targets import IGNORED, count_targets, pad_targets

if TYPE_CHECKING:
    pass


# The fewest tokens of a history that leave room for the chat format.
_MIN_PROMPT = 8


class Settings(DecodingSettings):
    """The `task:` section of a recipe."""

    name: Literal["dialogue"] = "dialogue"
    # The speaker whose turns the model learns. Default: the speaker of the last turn of every row.
    answering_speaker: str | None = None


@dataclass(frozen=True)
class Schema:
    """The answering side, its limits and generation settings; decoding.end_id is the token that ends a turn."""

    answering_speaker: str
    # The number of positions of the model; None for no limit.
    max_positions: int | None
    decoding: Decoding


def load_schema(values: Mapping[str, Any]) -> Schema:
    """Rebuild a schema from its JSON form."""
    return Schema(**{**values, "decoding": load_decoding(values["decoding"])})


def read_rows(rows: Rows, settings: Settings | None, where: str) -> tuple[Rows, list[str]]:
    """Return rows with turns as a list of {speaker, text}. For training, a dialogue needs two turns. Raises DataError."""
    read: list[Row] = []
    for number, row in enumerate(rows, 1):
        turns = _read_turns(row["turns"], f"{where}: row {number}")
        if settings is not None:
            wanted = settings.answering_speaker
            if wanted is not None and turns[-1]["speaker"] != wanted:
                raise DataError(
                    f"{where}: row {number}: the last turn must be a turn of '{wanted}' (task.answering_speaker); it is a turn "
                    f"of '{turns[-1]['speaker']}'"
                )
            if len({turn["speaker"] for turn in turns}) < 2:
                raise DataError(
                    f"{where}: row {number}: a dialogue needs two speakers; found only turns of '{turns[0]['speaker']}'"
                )
        read.append({**row, "turns": turns})
    return read, []


def _read_turns(value: Any, where: str) -> list[Message]:
    """Return the turns of a cell: dicts with a speaker and a text, or texts of two speakers in turn."""
    if not isinstance(value, (list, tuple)) or not value:
        raise DataError(f"{where}: column 'turns' must be a list of turns; found {value!r}")
    if all(isinstance(turn, str) for turn in value):  # the user begins
        value = [{"speaker": (USER, ASSISTANT)[i % 2], "text": text} for i, text in enumerate(value)]
    turns = []
    for number, turn in enumerate(value, 1):
        keys = turn_keys(turn) if isinstance(turn, Mapping) else None
        if keys is None or not all(isinstance(turn[key], str) and turn[key].strip() for key in keys):
            raise DataError(
                f"{where}: turn {number} must have a speaker and a text, such as {{speaker: user, text: Hello}}; found {turn!r}"
            )
        turns.append({"speaker": turn[keys[0]], "text": turn[keys[1]].strip()})
    return turns


def find_schema(settings: Settings, rows: Rows, defined: DefinedLabels | None, pretrained: Pretrained) -> Schema:
    """Find the answering side and the end token. Raises UsageError if the last speakers differ, ModelError."""
    tokenizer = pretrained.tokenizer
    if tokenizer.eos_token_id is None:
        raise ModelError("a dialogue requires a tokenizer with an end-of-text token (eos_token)")
    last = Counter(row["turns"][-1]["speaker"] for row in rows)
    speaker = settings.answering_speaker
    if speaker is None:
        if len(last) != 1:
            counts = ", ".join(f"{name} {n:,}" for name, n in last.most_common(5))
            raise UsageError(
                f"the last turns have different speakers ({counts}); set task.answering_speaker to the side that answers"
            )
        (speaker,) = last
    chat_format.set_template(tokenizer)
    decoding = find_decoding(settings, tokenizer, end_id=chat_format.find_end_token(tokenizer))
    return Schema(speaker, input_positions(pretrained.config), decoding)


def _messages(turns: Sequence[Message], schema: Schema) -> list[Message]:
    """Return the turns with the roles of chat templates. Consecutive turns of one side are joined by a line break."""
    messages: list[Message] = []
    for turn in turns:
        is_answer = turn["speaker"] == schema.answering_speaker
        role = ASSISTANT if is_answer else SYSTEM if turn["speaker"] == SYSTEM and not messages else USER
        if messages and messages[-1]["role"] == role:
            messages[-1] = {"role": role, "content": f"{messages[-1]['content']}\n{turn['text']}"}
        else:
            messages.append({"role": role, "content": turn["text"]})
    return messages


def _split(row: Row, schema: Schema) -> tuple[list[Message], str | None]:
    """Return the messages before the reply, and the reply; None for a dialogue that waits for one."""
    messages = _messages(row["turns"], schema)
    if messages[-1]["role"] == ASSISTANT and len(messages) > 1:
        return messages[:-1], messages[-1]["content"]
    return messages, None


def encode(rows: Rows, tokenizer: Any, schema: Schema, max_length: int) -> Features:
    """Return one feature per dialogue of at most max_length tokens. `notes[i]` is the prompt of the reply.

    Dialogues lose their first turns; a turn that is too long alone loses its first tokens. Special tokens in a turn are read as
    plain text.
    """
    chat_format.set_template(tokenizer)
    inputs: list[list[int]] = []
    targets: list[list[int] | None] = []
    notes, n_cut = [], []
    limit = prompt_limit(schema.decoding, schema.max_positions, max_length, _MIN_PROMPT)
    special = chat_format.special_strings(tokenizer)
    for row in rows:
        turns = [{**turn, "text": chat_format.plain_text(turn["text"], special)} for turn in row["turns"]]
        history, reply = _split({"turns": turns}, schema)
        prompt, prompt_cut = _fit(history, tokenizer, limit)
        notes.append(prompt)
        if reply is None:
            inputs.append(prompt)
            targets.append(None)
            n_cut.append(prompt_cut)
            continue
        ids, target, cut = _scored([*history, {"role": ASSISTANT, "content": reply}], tokenizer, schema, max_length)
        inputs.append(ids)
        targets.append(target)
        n_cut.append(cut)
    return Features({"input_ids": inputs}, targets, list(range(len(rows))), n_cut, notes=notes)


def _without_first(messages: Sequence[Message]) -> list[list[Message]]:
    """Return the dialogue, then without its first turn, its first two ... A system turn at the start is always kept."""
    system = [message for message in messages[:1] if message["role"] == SYSTEM]
    rest = list(messages[len(system) :])
    starts = [i for i in range(len(rest)) if rest[i]["role"] == USER] or [0]
    return [[*system, *rest[start:]] for start in starts]


def _fit(history: Sequence[Message], tokenizer: Any, limit: int) -> tuple[list[int], int]:
    """Return the tokens before a reply, at most `limit`, and the number of tokens cut off."""
    ids: list[int] = []
    n_all = 0
    for part in _without_first(history):
        ids = chat_format.tokens_of(chat_format.render(part, tokenizer, opens_answer=True), tokenizer)
        n_all = n_all or len(ids)
        if len(ids) <= limit:
            break
    kept = ids[max(len(ids) - limit, 0) :]
    return kept, n_all - len(kept)


def _scored(
    messages: Sequence[Message], tokenizer: Any, schema: Schema, limit: int
) -> tuple[list[int], list[int], int]:
    """Return the tokens of a dialogue, at most `limit`, their targets, and the number of tokens cut off."""
    ids: list[int] = []
    target: list[int] = []
    n_all = 0
    for part in _without_first(messages):
        ids, target = [], []
        for exchange in chat_format.split_answers(part, tokenizer, schema.decoding.end_id):
            ids += [*exchange.before, *exchange.answer]
            target += [*[IGNORED] * len(exchange.before), *exchange.answer]
        n_all = n_all or len(ids)
        if len(ids) <= limit:
            break
    start = max(len(ids) - limit, 0)
    return ids[start:], target[start:], n_all - len(ids[start:])


def generate(model: Any, batch: Batch, schema: Schema, tokenizer: Any) -> list[list[str]]:
    """Return the samples of the reply to each dialogue."""
    return _generate(model, batch, schema, tokenizer, None)


def stream(model: Any, batch: Batch, schema: Schema, tokenizer: Any, on_text: OnText) -> list[list[str]]:
    """Return the samples for a batch of one dialogue as `generate` does, and pass the first reply to `on_text` in pieces."""
    return _generate(model, batch, schema, tokenizer, on_text)


def _generate(model: Any, batch: Batch, schema: Schema, tokenizer: Any, on_text: OnText | None) -> list[list[str]]:
    return _values(continue_prompts(model, batch.notes, schema.decoding, tokenizer, on_text))


def _values(samples: list[list[str]], features: Features | None = None) -> list[list[str]]:
    """Return the values of `generate` from the samples of each prompt."""
    return [[text.rstrip() for text in texts] for texts in samples]


def configure(model: Any, schema: Schema) -> None:
    """Set the generation settings of the model, so that its saved folder writes the same replies without this toolkit."""
    model.generation_config = generation_config(schema.decoding)


def decode(values: Sequence[Any], features: Features, rows: Rows, schema: Schema) -> list[dict[str, Any]]:
    """Return per row the reply, all samples if there are several, and the scores of the answering side if it has turns."""
    decoded = []
    for row, target, (scores, texts) in zip(rows, features.targets, values, strict=True):
        prediction: dict[str, Any] = {"reply": texts[0].lstrip() if texts else None}
        if schema.decoding.num_return_sequences > 1:
            prediction["samples"] = [text.lstrip() for text in texts] if texts else None
        if target is not None:
            nll, correct = scores.astype(np.float64)
            answers = [turn["text"] for turn in row["turns"] if turn["speaker"] == schema.answering_speaker]
            n_bytes = sum(len(text.encode()) for text in answers)
            sums = np.array([nll.sum(), (correct >= 0).sum(), n_bytes, (correct > 0).sum()], np.float64)
            prediction |= token_scores.prediction(sums)
        decoded.append(prediction)
    return decoded


def reference_answer(row: Row, schema: Schema) -> str | None:
    """Return the true reply; None for a dialogue that waits for one."""
    return _split(row, schema)[1]


def to_arrays(decoded: Sequence[Mapping[str, Any]], rows: Rows, schema: Schema) -> tuple[np.ndarray, np.ndarray]:
    """Return two arrays with the columns of `sample_scores`."""
    samples = [sample_scores.samples_of(prediction, "reply") for prediction in decoded]
    references = [reference_answer(row, schema) or "" for row in rows]
    return sample_scores.to_arrays(decoded, samples, references, [True] * len(rows))


def metrics(settings: Settings) -> dict[str, Metric]:
    """Return the scores of the answering side's tokens, then those of the replies."""
    return dict(sample_scores.METRICS)


def details(predictions: np.ndarray, references: np.ndarray, schema: Schema) -> dict[str, Any]:
    """Return the amount of text that was scored, and the variety of the replies beside the true ones."""
    return sample_scores.details(predictions)


def nearest_baseline(train: Rows, rows: Rows, schema: Schema, seed: int) -> list[dict[str, Any]]:
    """Return the reply of the training dialogue whose last turn before the reply is most similar (TF-IDF of words)."""
    known = [(history[-1]["content"], reply) for history, reply in (_split(row, schema) for row in train) if reply]
    asked = [_split(row, schema)[0][-1]["content"] for row in rows]
    nearest = nearest_rows([question for question, _ in known], asked)
    return [{"reply": known[i][1], **token_scores.NOT_SCORED} for i in nearest]


def samples_beside_truth(records: Sequence[Mapping[str, Any]], schema: Schema) -> WrongExamples:
    """Return random replies beside the true ones."""

    def history_of(record: Mapping[str, Any]) -> str:
        turns = record["turns"]
        shown = turns[:-1] if turns[-1]["speaker"] == schema.answering_speaker else turns
        return "\n".join(f"{turn['speaker']}: {turn['text']}" for turn in shown)

    return random_texts(records, "reply", history_of, schema.decoding.sampling_seed)


def chat_row(schema: Schema, texts: Sequence[str]) -> dict[str, Any]:
    """Return a row from the texts of a chat, which the user begins; the sides alternate."""
    speakers = (USER if schema.answering_speaker != USER else "other", schema.answering_speaker)
    return {"turns": [{"speaker": speakers[i % 2], "text": text} for i, text in enumerate(texts)]}


_QUESTIONS = ("kettle", "lamp", "fan", "radio", "speaker", "screen")


def sample_rows(settings: Settings) -> list[dict[str, Any]]:
    """Return twelve short dialogues."""
    rows = []
    speaker = settings.answering_speaker or ASSISTANT
    for number, thing in enumerate(_QUESTIONS):
        first = [(USER, f"Where is my {thing}?"), (speaker, f"The {thing} is at the depot.")]
        second = [(USER, "When does it come?"), (speaker, f"On day {number + 1}.")]
        for turns in (first, [*first, *second]):
            rows.append({"turns": [{"speaker": who, "text": text} for who, text in turns]})
    return [{"id": str(number), **row} for number, row in enumerate(rows, 1)]


TASK = Task(
    name="dialogue",
    settings=Settings,
    columns={"turns": Column("the turns of a dialogue, each with a speaker and a text", is_list=True)},
    augmentation=lambda settings: "learns to write the turns themselves, so it would learn the changes",
    guess=guess_dialogue,
    read_rows=read_rows,
    answer_form=lambda row, settings: None,
    find_schema=find_schema,
    load_schema=load_schema,
    encode=encode,
    auto_class={"decoder": "AutoModelForCausalLM"},
    model_kwargs=lambda schema: {},
    configure=configure,
    pad_targets=pad_targets,
    loss_sum=token_scores.next_token_loss_sum,
    logit_positions=token_scores.next_token_positions,
    count_targets=count_targets,
    predict=token_scores.next_token_scores,
    generate=generate,
    stream=stream,
    exported_texts=exported_texts(lambda features: features.notes, _values, lambda schema: schema.decoding),
    scored_tokens=lambda schema: "next",
    chat_row=chat_row,
    decode=decode,
    reference_answer=reference_answer,
    answer=lambda prediction, schema: prediction["reply"],
    prediction_form=lambda schema: PredictionForm(Reply, text="reply"),
    to_arrays=to_arrays,
    metrics=metrics,
    details=details,
    titles=sample_scores.TITLES,
    comparability=token_scores.comparability,
    baselines={
        "nearest": Baseline(nearest_baseline, "the reply to the most similar turn of the training rows"),
        "untuned": CheckpointBaseline("the checkpoint before training"),
    },
    wrong_examples=samples_beside_truth,
    pipeline_tag="text-generation",
    prediction_text=lambda schema: (
        "A prediction has the reply to a dialogue; if the last turn is a reply, also its perplexity, nll, tokens and bytes."
    ),
    sample_rows=sample_rows,
)
