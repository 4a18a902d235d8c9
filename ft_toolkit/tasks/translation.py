"""Translation: generate a text in another language."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from ft_toolkit.core.errors import DataError, UsageError, did_you_mean, one_of
from ft_toolkit.metrics import translation as scores
from ft_toolkit.metrics.metric import Metric
from ft_toolkit.tasks.base import (
    Augmentation,
    Baseline,
    Column,
    Comparability,
    DefinedLabels,
    Features,
    FirstModel,
    Pretrained,
    Row,
    Rows,
    ScoredRun,
    Task,
)
from ft_toolkit.tasks.display.prediction_form import PredictionForm, Translation
from ft_toolkit.tasks.display.texts import generated_texts
from ft_toolkit.tasks.guessing.pairs import guess_translation
from ft_toolkit.tasks.text import generation, source_target
from ft_toolkit.tasks.text.cells import Printed, form_notes, texts_of
from ft_toolkit.tasks.text.generation import Schema
from ft_toolkit.tasks.text.language_codes import same_language, short_code
from ft_toolkit.tasks.text.language_tokens import target_code
from ft_toolkit.tasks.text.text_notes import source_notes, target_notes
from ft_toolkit.tasks.text.token_targets import count_targets, pad_targets

# Language names for prefixes and prompts; T5 was trained on the first four. Other codes are used unchanged.
LANGUAGES = {
    "en": "English", "de": "German", "fr": "French", "ro": "Romanian", "ar": "Arabic", "cs": "Czech", "da": "Danish",
    "el": "Greek", "es": "Spanish", "et": "Estonian", "fi": "Finnish", "hi": "Hindi", "hu": "Hungarian", "it": "Italian",
    "ja": "Japanese", "ko": "Korean", "lt": "Lithuanian", "lv": "Latvian", "nl": "Dutch", "no": "Norwegian",
    "pl": "Polish", "pt": "Portuguese", "ru": "Russian", "sv": "Swedish", "tr": "Turkish", "uk": "Ukrainian",
    "zh": "Chinese",
}  # fmt: skip
# Languages with a Marian model Helsinki-NLP/opus-mt-SOURCE-TARGET on the Hub: into English, from English, and other pairs.
_TO_ENGLISH = (
    "ar", "cs", "da", "de", "es", "et", "fi", "fr", "hi", "hu", "id", "it", "ja", "ko", "lv", "nl", "pl", "ru", "sv", "tr",
    "uk", "zh",
)  # fmt: skip
_FROM_ENGLISH = (
    "ar", "cs", "da", "de", "el", "es", "et", "fi", "fr", "hi", "hu", "id", "it", "nl", "ro", "ru", "sv", "uk", "zh"
)  # fmt: skip
MARIAN_PAIRS = frozenset(
    {f"{language}-en" for language in _TO_ENGLISH}
    | {f"en-{language}" for language in _FROM_ENGLISH}
    | {"de-fr", "fr-de", "de-es", "es-de"}
)
T5_PREFIX = "translate {source_language} to {target_language}: "
PROMPT = "{source_language}: {source}\n{target_language}:\n"


class Settings(generation.GenerationSettings):
    """The `task:` section of a recipe. {source} in the prompt is replaced by the text.

    {source_language} and {target_language} in prefix and prompt are replaced by language names.
    """

    name: Literal["translation"] = "translation"
    # Language codes (en, de), also the column names for rows without the columns source and target. Checkpoints with language
    # tokens need the names of their tokenizer: en (M2M-100), en_XX (mBART), eng_Latn (NLLB). Rows with a text for each language
    # may have another spelling (en).
    source_language: str | None = None
    target_language: str | None = None


def read_rows(rows: Rows, settings: Settings | None, where: str) -> tuple[Rows, list[str]]:
    """Check the texts, and read them from a column with a dict by language (WMT on the Hub). Raises DataError."""
    languages = {
        "source": settings.source_language if settings else None,
        "target": settings.target_language if settings else None,
    }
    read: list[Row] = []
    printed: list[Printed] = []
    for number, row in enumerate(rows, 1):
        texts = {side: _side(row[side], side, languages[side], where, number) for side in languages if side in row}
        new = {**{name: value for name, value in row.items() if name != "references"}, **texts}
        if "target" in row or "references" in row:
            references = source_target.read_targets({**row, **texts}, "target", f"{where}: row {number}", printed)
            new |= {"target": references[0], **({"references": references} if len(references) > 1 else {})}
        read.append(new)
    source_target.check_texts(read, "source", where)
    return read, form_notes("target", printed)


def _side(value: Any, side: str, language: str | None, where: str, number: int) -> Any:
    by_language = texts_of(value, [])  # a csv file prints the dict
    if not isinstance(by_language, Mapping):
        return value
    if language is None:
        raise DataError(
            f"{where}: row {number}: the column has several languages ({one_of(by_language)}); set task.{side}_language"
        )
    name = same_language(language, by_language)  # a checkpoint may spell the language in another way than the data
    if name is None:
        raise DataError(
            f"{where}: row {number}: no text for task.{side}_language={language}; languages: {one_of(by_language)}."
            f"{did_you_mean(language, list(by_language))}"
        )
    return by_language[name]


def first_model(source: str | None, target: str | None) -> FirstModel:
    """Return a small pretrained model for a pair of languages; None is an unknown language."""
    if source == "en" and target in ("de", "fr", "ro"):
        return FirstModel("google-t5/t5-small", "a small model that was trained on this pair of languages")
    if f"{source}-{target}" in MARIAN_PAIRS:
        name = f"Helsinki-NLP/opus-mt-{source}-{target}"
        return FirstModel(name, "a model for this pair of languages")
    if source is not None and target is not None and len(source) == len(target) == 2:
        return FirstModel("facebook/m2m100_418M", "a model for 100 languages")
    return FirstModel("google/mt5-small", "a small model for texts in 101 languages")


def find_schema(settings: Settings, rows: Rows, defined: DefinedLabels | None, pretrained: Pretrained) -> Schema:
    """Find the special tokens and the text around a source; see `generation.find_schema`."""
    languages = (settings.source_language, settings.target_language)
    is_t5 = pretrained.config.model_type == "t5"
    if (
        None in languages
        and (pretrained.kind == "decoder" or is_t5)
        and settings.prefix is None
        and settings.prompt is None
    ):
        raise UsageError(
            "this checkpoint needs the names of the languages: set task.source_language and task.target_language (en, de ...), "
            + ("or task.prefix" if is_t5 else "or task.prompt")
        )
    code = target_code(pretrained.tokenizer, settings.target_language) if settings.prefix is None else ""
    prefix, prompt = (_with_names(text, languages) for text in (T5_PREFIX if is_t5 else code, PROMPT))
    written = {name: text for name in ("prefix", "prompt") if (text := getattr(settings, name)) is not None}
    return generation.find_schema(
        settings.model_copy(update={name: _with_names(text, languages) for name, text in written.items()}),
        pretrained,
        prefix=prefix,
        prompt=prompt,
        placeholder="{source}",
        languages=languages,
    )


def _with_names(text: str, languages: tuple[str | None, str | None]) -> str:
    """Return a text with the names of the languages in place of their placeholders."""
    for placeholder, code in zip(("{source_language}", "{target_language}"), languages, strict=True):
        if code is not None:
            text = text.replace(placeholder, LANGUAGES.get(short_code(code), code))
    return text


def encode(rows: Rows, tokenizer: Any, schema: Schema, max_length: int) -> Features:
    """Tokenize each row into one feature of at most max_length source and max_target_length target tokens."""
    targets = [str(row["target"]) for row in rows] if rows and "target" in rows[0] else None
    sources = [str(row["source"]) for row in rows]
    return source_target.encode(
        source_target.framed(sources, schema), targets, tokenizer, schema, max_length, "target tokens"
    )


def notes(rows: Rows, features: Features | None, tokenizer: Any, schema: Schema) -> list[str]:
    """Return notes on texts that the prefix, the prompt or the tokenizer changes."""
    on_sources = source_notes([str(row["source"]) for row in rows], schema)
    if features is None:
        return on_sources
    return on_sources + target_notes([str(row["target"]) for row in rows], tokenizer, schema)


def decode(values: Sequence[Any], features: Features, rows: Rows, schema: Schema) -> list[dict[str, Any]]:
    """Return {"translation"} per row."""
    return [{"translation": text} for text in values]


def reference_answer(row: Row, schema: Schema) -> str | list[str]:
    """Return the reference translation, or a list of several."""
    texts = source_target.references_of(row, "target")
    return texts[0] if len(texts) == 1 else texts


def to_arrays(decoded: Sequence[Mapping[str, Any]], rows: Rows, schema: Schema) -> tuple[np.ndarray, np.ndarray]:
    """Return the counts behind BLEU, chrF and TER of each example, and those of its first reference."""
    references = [source_target.references_of(row, "target") for row in rows]
    predictions = [str(prediction["translation"]) for prediction in decoded]
    return (
        scores.statistics(predictions, references),
        scores.statistics([texts[0] for texts in references], references),
    )


def metrics(settings: Settings) -> dict[str, Metric]:
    """Return the corpus metrics, 0 to 100. BLEU comes first, as in published tables."""
    return {
        "bleu": Metric(scores.bleu, best=100.0, is_share=True, hub_name="sacrebleu"),
        "chrf": Metric(scores.chrf, best=100.0, is_share=True),
        "ter": Metric(scores.ter, best=0.0, greater_is_better=False),
    }


def details(predictions: np.ndarray, references: np.ndarray, schema: Schema) -> dict[str, Any]:
    """Return the mean lengths in words (characters in scripts without spaces), and sacrebleu's signatures."""
    unit = "words" if scores.tokenizer_of(predictions, schema.target_language) == "13a" else "characters"
    return {
        f"mean_{unit}": {"predicted": scores.mean_length(predictions), "reference": scores.mean_length(references)},
        "signatures": scores.signatures(predictions, schema.target_language),
    }


def comparability(first: ScoredRun, other: ScoredRun) -> Comparability:
    """Exclude BLEU and TER from the comparison if the runs split texts into words in different ways."""
    names = [scores.tokenizer_of(run.predictions, run.schema.target_language) for run in (first, other)]
    if names[0] == names[1]:
        return Comparability()
    tokenizers = ", ".join(names)
    note = f"BLEU and TER were computed with different tokenizers ({tokenizers}); score the older run again with ftk evaluate."
    return Comparability(None, ("bleu", "ter"), note)


def copy_baseline(train: Rows, rows: Rows, schema: Schema, seed: int) -> list[dict[str, Any]]:
    """Return the source unchanged, which scores its names and numbers."""
    return [{"translation": str(row["source"])} for row in rows]


_SAMPLES = [
    ("The lamp in the kitchen is broken.", "Die Lampe in der Küche ist kaputt."),
    ("My parcel has not arrived yet.", "Mein Paket ist noch nicht angekommen."),
    ("Two children are playing in the park.", "Zwei Kinder spielen im Park."),
    ("How long does the battery last?", "Wie lange hält der Akku?"),
    ("A man is reading a newspaper on the train.", "Ein Mann liest im Zug eine Zeitung."),
    ("Please send me a new invoice.", "Bitte schicken Sie mir eine neue Rechnung."),
    ("The dog runs along the beach.", "Der Hund läuft am Strand entlang."),
    ("She opened the window because it was warm.", "Sie öffnete das Fenster, weil es warm war."),
    ("The shop is closed on Sundays.", "Das Geschäft ist sonntags geschlossen."),
    ("Which cable fits the old television?", "Welches Kabel passt zu dem alten Fernseher?"),
    ("We are waiting for the bus in the rain.", "Wir warten im Regen auf den Bus."),
    ("The red bicycle belongs to my sister.", "Das rote Fahrrad gehört meiner Schwester."),
]


def sample_rows(settings: Settings) -> list[dict[str, Any]]:
    """Return twelve sentences in English and German; every third one has two references."""
    rows: list[dict[str, Any]] = []
    for number, (source, target) in enumerate(_SAMPLES):
        row = {"id": str(number + 1), "source": source, "target": target}
        rows.append(row if number % 3 else {**row, "references": [target, target.replace(" ist ", " war ")]})
    return rows


TASK = Task(
    name="translation",
    settings=Settings,
    columns={
        "source": Column("the text to translate", named_by="source_language", example="A text."),
        "target": Column("the translation, or a list of translations", is_answer=True, named_by="target_language"),
        "references": Column("a list of translations; all count as references", required=False, is_answer=True),
    },
    read_rows=read_rows,
    answer_form=lambda row, settings: None,
    # without a word, or in another order, the source has no longer the meaning of its translation
    augmentation=lambda settings: Augmentation({"source": ("synonyms", "typos")}),
    guess=lambda table: guess_translation(table, first_model),
    find_schema=find_schema,
    load_schema=generation.load_schema,
    encode=encode,
    notes=notes,
    auto_class=generation.AUTO_CLASS,
    model_kwargs=generation.model_kwargs,
    pad_targets=pad_targets,
    loss_sum=generation.loss_sum,
    logit_positions=generation.logit_positions,
    count_targets=count_targets,
    decode=decode,
    reference_answer=reference_answer,
    answer=lambda prediction, schema: prediction["translation"],
    prediction_form=lambda schema: PredictionForm(Translation, text="translation"),
    to_arrays=to_arrays,
    metrics=metrics,
    details=details,
    comparability=comparability,
    baselines={"copy_source": Baseline(copy_baseline, "the source text")},
    wrong_examples=lambda records, schema: generated_texts(records, "translation"),
    effect_of_cut_answers="the model does not learn from them",
    pipeline_tag="translation",
    prediction_text=lambda schema: "A prediction has a translation.",
    sample_rows=sample_rows,
    text_column="source",
    generate=generation.generate,
    stream=generation.stream,
    exported_texts=generation.EXPORTED_TEXTS,
    configure=generation.configure,
)
