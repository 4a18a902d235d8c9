"""Language tokens of every family of multilingual encoder-decoders.

The labels and decoder inputs are those of transformers, and a tiny model of each family learns to copy.
"""

import inspect
import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from tokenizers import processors

from ft_toolkit.core.errors import ModelError, UsageError
from ft_toolkit.metrics import translation
from ft_toolkit.models.pretrained import load_model, load_tokenizer, read_pretrained
from ft_toolkit.models.tiny import make_tiny_model
from ft_toolkit.tasks import find_tasks
from ft_toolkit.tasks.base import Pretrained
from ft_toolkit.tasks.text.language_tokens import find_language_token, language_names, target_code
from ft_toolkit.training.collate import make_collate

TASKS = find_tasks()
TASK = TASKS["translation"]
WORDS = "abcdefgh"
TEXTS = [" ".join(random.Random(i).choices(WORDS, k=4)) for i in range(24)]
PIECES = [f"\u2581{word}" for word in WORDS]
SIZES = {
    "d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 4, "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "max_position_embeddings": 64, "dropout": 0.0,
}  # fmt: skip
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]
# Family -> source language and target language, in the spelling of the tokenizer.
LANGUAGES = {
    "mbart": ("en_XX", "ro_RO"),
    "mbart50": ("en_XX", "sl_SI"),
    "nllb": ("eng_Latn", "zho_Hans"),
    "nllb_legacy": ("eng_Latn", "zho_Hans"),
    "m2m_100": ("en", "zh"),
    "plbart": ("python", "en_XX"),
}
WITHOUT = ("t5", "marian", "bart")


def pieces_model() -> bytes:
    """Return a sentencepiece model of the texts."""
    import sentencepiece

    file = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS),
        model_writer=file,
        vocab_size=40,
        minloglevel=2,
        hard_vocab_limit=False,
    )
    return file.getvalue()


def make_tokenizer(family: str, folder: Path) -> Any:
    scored = [(piece, -1.0) for piece in [*PIECES, "\u2581"]]
    if family == "mbart":
        return transformers.MBartTokenizer(vocab=[*((token, 0.0) for token in SPECIAL), *scored])
    if family == "mbart50":
        return transformers.MBart50Tokenizer(vocab=[("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0), *scored])
    if family.startswith("nllb"):
        vocab = {token: i for i, token in enumerate([*SPECIAL, *sorted({*"".join(PIECES), "n"}), "en"])}
        return transformers.NllbTokenizer(vocab=vocab, merges=[("e", "n")], legacy_behaviour=family == "nllb_legacy")
    (folder / "pieces.model").write_bytes(pieces_model())
    if family == "plbart":
        return transformers.PLBartTokenizer(str(folder / "pieces.model"), src_lang="python", tgt_lang="en_XX")
    import sentencepiece

    model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "pieces.model"))
    pieces = [model.id_to_piece(i) for i in range(3, model.get_piece_size())]
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate([*SPECIAL, *pieces])}))
    return transformers.M2M100Tokenizer(str(folder / "vocab.json"), str(folder / "pieces.model"))


def make_model(family: str, folder: Path) -> Path:
    """Write a one-layer model of the family with its own tokenizer."""
    if family in WITHOUT:
        return make_tiny_model(folder, TEXTS, family)
    tokenizer = make_tokenizer(family, folder)
    name = {"mbart50": "mbart", "nllb": "m2m_100", "nllb_legacy": "m2m_100"}.get(family, family)
    ids = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 2}
    config = transformers.AutoConfig.for_model(
        name, vocab_size=150 if name == "m2m_100" and family == name else len(tokenizer), **SIZES, **ids
    )
    torch.manual_seed(0)
    transformers.AutoModelForSeq2SeqLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def get(family: str) -> Path:
        if family not in made:
            made[family] = make_model(family, tmp_path_factory.mktemp(family))
        return made[family]

    return get


class Copy:
    """A tiny model of a family, with rows whose target is the source."""

    def __init__(self, folder: Path, family: str) -> None:
        self.languages = LANGUAGES.get(family, ("en", "de"))
        self.tokenizer = load_tokenizer(folder)
        settings = TASK.settings(
            source_language=self.languages[0],
            target_language=self.languages[1],
            max_target_length=24,
            prefix="" if family in WITHOUT else None,
        )
        self.rows = [{"source": text, "target": text} for text in TEXTS]
        self.schema = TASK.find_schema(settings, self.rows, None, read_pretrained(folder, self.tokenizer))
        self.features = TASK.encode(self.rows, self.tokenizer, self.schema, 24)
        self.model = load_model(folder, TASK, self.schema, self.tokenizer, dropout=None, seed=1).model


@pytest.mark.parametrize("family", [*LANGUAGES, *WITHOUT])
def test_inputs_labels_and_decoder_inputs_are_those_of_transformers(family: str, folder_of: Any) -> None:
    copy = Copy(folder_of(family), family)
    tokenizer, (source, target) = copy.tokenizer, copy.languages
    if family in LANGUAGES:
        tokenizer.src_lang, tokenizer.tgt_lang = source, target
    # NLLB's decoder was trained on LANG X </s>; its legacy tokenizers put the language after the end token.
    tokenizer.legacy_behaviour = False
    expected = tokenizer(TEXTS, text_target=TEXTS)
    if family != "nllb_legacy":
        assert copy.features.inputs["input_ids"] == expected["input_ids"]
    assert copy.features.targets == expected["labels"]
    shift = copy.model._shift_right if family == "t5" else None
    if shift is None:
        module = inspect.getmodule(type(copy.model))
        positional = [copy.model.config.pad_token_id, copy.model.config.decoder_start_token_id]
        n_extra = len(inspect.signature(module.shift_tokens_right).parameters) - 1
        shift = lambda labels: module.shift_tokens_right(labels, *positional[:n_extra])  # noqa: E731
    for labels, given in zip(copy.features.targets, copy.features.inputs["decoder_input_ids"], strict=True):
        assert shift(torch.tensor([labels])).tolist() == [given]
    assert copy.features.answers_cut == {"target tokens": [0] * len(TEXTS)}


STARTS = {"mbart": True, "plbart": True, "mbart50": False, "nllb": False, "nllb_legacy": False, "m2m_100": False}


@pytest.mark.parametrize("family", STARTS)
def test_generation_starts_with_the_language(family: str, folder_of: Any, tmp_path: Path) -> None:
    """Also in plain transformers, which reads the saved generation settings and languages."""
    copy = Copy(folder_of(family), family)
    token = copy.schema.language_token_id
    if family == "m2m_100":
        assert token == copy.tokenizer.get_lang_id("zh")
    saved = copy.model.generation_config
    assert copy.schema.language_starts_decoder == STARTS[family]
    assert saved.decoder_start_token_id == (token if STARTS[family] else 2)
    assert saved.forced_bos_token_id == (None if STARTS[family] else token)
    copy.model.save_pretrained(tmp_path)
    copy.tokenizer.save_pretrained(tmp_path)
    plain = transformers.AutoModelForSeq2SeqLM.from_pretrained(tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    encoded = tokenizer(TEXTS[0], return_tensors="pt")
    assert encoded["input_ids"].tolist() == [copy.features.inputs["input_ids"][0]]
    generated = plain.generate(**encoded)[0].tolist()
    assert generated[: 1 if STARTS[family] else 2] == ([token] if STARTS[family] else [2, token])


def test_a_target_that_only_loses_the_language_token_is_not_cut(folder_of: Any) -> None:
    copy = Copy(folder_of("mbart"), "mbart")
    length = len(copy.features.targets[0])
    row, token = copy.rows[:1], copy.schema.language_token_id
    for limit, n_cut in ((length, 0), (length - 1, 0), (length - 2, 1)):
        schema = TASK.load_schema({**copy.schema.__dict__, "max_target_length": limit})
        features = TASK.encode(row, copy.tokenizer, schema, 24)
        assert features.answers_cut == {"target tokens": [n_cut]}
        assert features.inputs["decoder_input_ids"][0] == [token, *features.targets[0][:-1]]


@pytest.mark.slow
@pytest.mark.parametrize("family", [*LANGUAGES, "t5", "bart"])
def test_a_tiny_model_learns_to_copy(family: str, folder_of: Any) -> None:
    copy = Copy(folder_of(family), family)
    collate = make_collate(copy.features, TASK, copy.schema, copy.tokenizer.pad_token_id)
    optimizer = torch.optim.AdamW(copy.model.parameters(), lr=5e-3)
    copy.model.train()
    for _ in range(400):
        batch = collate(range(len(TEXTS)))
        loss = TASK.loss_sum(copy.model(**batch.inputs), batch, copy.schema) / TASK.count_targets(batch, copy.schema)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(copy.model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    copy.model.eval()
    texts = TASK.generate(copy.model, collate(range(len(TEXTS))), copy.schema, copy.tokenizer)
    statistics = translation.statistics(texts, [[text] for text in TEXTS])
    assert translation.bleu(statistics, statistics) > 80


@pytest.mark.parametrize(
    ("family", "language", "hint"),
    [
        ("mbart", "en", "Similar: en_XX."),
        ("mbart", "\u2581a", "All 25: ar_AR"),  # an ordinary token of the vocabulary
        ("mbart50", "EN", "Similar: en_XX."),
        ("mbart", "sl_SI", "All 25"),  # mBART-50 has it, mBART-25 does not
        ("nllb", "en", "Similar: eng_Latn"),  # an ordinary token of the vocabulary
        ("nllb", "zh", "Similar: zho_Hans, zho_Hant"),
        ("nllb", "<unk>", "All 202"),
        ("m2m_100", "__en__", "Similar: en."),
        ("m2m_100", "eng_Latn", "Similar: en."),
        ("plbart", "rust", "All 3"),
    ],
)
def test_other_names_of_languages_are_refused(family: str, language: str, hint: str, tmp_path: Path) -> None:
    tokenizer = make_tokenizer(family, tmp_path)
    source, target = LANGUAGES[family]
    for side, languages in (("source", (language, target)), ("target", (source, language))):
        with pytest.raises(UsageError) as raised:
            find_language_token(tokenizer, languages)
        message = str(raised.value)
        assert message.startswith(f"task.{side}_language={language} is not a language of this checkpoint's tokenizer.")
        assert hint in message
    assert find_language_token(tokenizer, (source, target)) is not None


def test_an_added_language_is_a_language() -> None:
    """Users add the token of a new language to NLLB."""
    vocab = {token: i for i, token in enumerate([*SPECIAL, "a"])}
    tokenizer = transformers.NllbTokenizer(vocab=vocab, merges=[], extra_special_tokens=["eng_Latn", "gsw_Latn"])
    assert language_names(tokenizer) == ["eng_Latn", "gsw_Latn"]
    token = find_language_token(tokenizer, ("eng_Latn", "gsw_Latn"))
    assert token is not None and token.token_id == tokenizer.convert_tokens_to_ids("gsw_Latn")


def test_another_layout_is_refused() -> None:
    """SeamlessM4T reads </s> LANG X </s>."""
    vocab = {token: i for i, token in enumerate([*SPECIAL, "a"])}

    class Other(transformers.NllbTokenizer):
        def set_tgt_lang_special_tokens(self, lang: str) -> None:
            tokens = [self.eos_token, lang]
            ids = [(token, self.convert_tokens_to_ids(token)) for token in tokens]
            self._tokenizer.post_processor = processors.TemplateProcessing(
                single=[*tokens, "$A", self.eos_token], special_tokens=ids
            )

    with pytest.raises(ModelError, match="puts the tokens '</s> zho_Hans </s>' around a target"):
        find_language_token(Other(vocab=vocab, merges=[]), ("eng_Latn", "zho_Hans"))


def test_a_checkpoint_without_a_start_token_needs_none_when_the_language_starts_the_decoder(folder_of: Any) -> None:
    tokenizer = load_tokenizer(folder_of("mbart"))
    settings = TASK.settings(source_language="en_XX", target_language="ro_RO")
    config = transformers.MBartConfig(decoder_start_token_id=None)
    schema = TASK.find_schema(settings, [], None, Pretrained("encoder-decoder", config, tokenizer))
    assert schema.decoder_start_token_id == schema.language_token_id == tokenizer.convert_tokens_to_ids("ro_RO")


def test_summarization_takes_a_language_for_documents_and_summaries(folder_of: Any) -> None:
    summarization = TASKS["summarization"]
    tokenizer = load_tokenizer(folder_of("mbart50"))
    pretrained = read_pretrained(folder_of("mbart50"), tokenizer)
    with pytest.raises(UsageError, match=r"set task.source_language and task.target_language to languages of its"):
        summarization.find_schema(summarization.settings(), [], None, pretrained)
    for target, token in ((None, "en_XX"), ("ro_RO", "ro_RO")):
        settings = summarization.settings(source_language="en_XX", target_language=target, max_target_length=16)
        schema = summarization.find_schema(settings, [], None, pretrained)
        (labels,) = summarization.encode([{"document": "a", "summary": "b"}], tokenizer, schema, 16).targets
        assert tokenizer.convert_ids_to_tokens(labels) == [token, "\u2581b", "</s>"]
    plain = read_pretrained(folder_of("bart"), load_tokenizer(folder_of("bart")))
    for name in ("source_language", "target_language"):
        with pytest.raises(UsageError, match=f"task.{name} has no effect: this checkpoint has no language tokens"):
            summarization.find_schema(summarization.settings(**{name: "en_XX"}), [], None, plain)


class Marian:
    """The codes of a Marian tokenizer for several target languages."""

    supported_language_codes = (">>fra<<", ">>ron<<")
    eos_token_id, sep_token_id, cls_token_id, pad_token_id, model_max_length = 0, None, None, 1, 512


def test_marian_reads_the_target_language_at_the_beginning_of_the_source() -> None:
    def before(**settings: Any) -> str:
        pretrained = Pretrained("encoder-decoder", transformers.MarianConfig(decoder_start_token_id=1), Marian())
        return TASK.find_schema(TASK.settings(**settings), [], None, pretrained).before

    assert before(source_language="en", target_language="ron") == ">>ron<< "
    assert before(prefix="") == "" and before(prefix=">>fra<< ") == ">>fra<< "
    for target in (None, "ro"):
        with pytest.raises(UsageError, match=r'set task.target_language to one of fra, ron, or task.prefix=""'):
            before(target_language=target)
    assert target_code(object(), "de") == ""


def test_fsmt_has_the_attribute_of_a_language_but_no_language_tokens() -> None:
    class Fsmt:
        tgt_lang = "ru"

    assert not hasattr(transformers.FSMTTokenizer, "set_tgt_lang_special_tokens")
    assert find_language_token(Fsmt(), ("en", "ru")) is None
