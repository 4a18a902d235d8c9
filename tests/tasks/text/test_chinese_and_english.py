"""Translation between Chinese and English, in both directions, with the checkpoint families that people use for it.

A tiny model of each family, with a tokenizer of its class, learns to copy: the words a b c become 甲乙丙, and 甲乙丙 become
a b c. It succeeds only if language tokens, decoder start, padding and decoding are right in both directions.
"""

import io
import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from ft_toolkit.core.errors import DataError
from ft_toolkit.models.pretrained import load_model, load_tokenizer, read_pretrained
from ft_toolkit.tasks import find_tasks
from ft_toolkit.tasks.text.language_codes import same_language, short_code
from ft_toolkit.training.collate import make_collate

TASK = find_tasks()["translation"]
WORDS, LETTERS = "abcdefgh", "甲乙丙丁戊己庚辛"
NUMBERS = [random.Random(i).choices(range(8), k=2 + i % 4) for i in range(24)]
TEXTS = {
    "en": [" ".join(WORDS[n] for n in numbers) for numbers in NUMBERS],
    "zh": ["".join(LETTERS[n] for n in numbers) for numbers in NUMBERS],
}
ROWS = [{"text": {"en": en, "zh": zh}} for en, zh in zip(TEXTS["en"], TEXTS["zh"], strict=True)]
SIZES = {
    "d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 4, "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "max_position_embeddings": 64, "dropout": 0.0,
}  # fmt: skip
# Family -> the codes of English and Chinese in the spelling of its tokenizer.
CODES = {
    "mbart50": ("en_XX", "zh_CN"),
    "nllb": ("eng_Latn", "zho_Hans"),
    "m2m_100": ("en", "zh"),
    "marian": ("en", "cmn_Hans"),
}


def pieces_model() -> bytes:
    """Return a sentencepiece model of the texts."""
    import sentencepiece

    file = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TEXTS["en"] + TEXTS["zh"]),
        model_writer=file,
        vocab_size=60,
        character_coverage=1.0,
        minloglevel=2,
        hard_vocab_limit=False,
    )
    return file.getvalue()


def vocabulary(special: list[str]) -> dict[str, int]:
    import sentencepiece

    pieces = sentencepiece.SentencePieceProcessor(model_proto=pieces_model())
    names = [*special, *(pieces.id_to_piece(i) for i in range(3, pieces.get_piece_size()))]
    return {name: number for number, name in enumerate(names)}


def make_tokenizer(family: str, folder: Path, codes: list[str]) -> Any:
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    if family == "mbart50":
        pieces = [(piece, -1.0) for piece in ["\u2581", *(f"\u2581{word}" for word in WORDS), *LETTERS]]
        return transformers.MBart50Tokenizer(vocab=[("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0), *pieces])
    if family == "nllb":
        vocab = {token: i for i, token in enumerate([*special, "\u2581", *WORDS, *LETTERS])}
        return transformers.NllbTokenizer(vocab=vocab, merges=[])
    (folder / "pieces.model").write_bytes(pieces_model())
    if family == "m2m_100":
        (folder / "vocab.json").write_text(json.dumps(vocabulary(special)))
        return transformers.M2M100Tokenizer(str(folder / "vocab.json"), str(folder / "pieces.model"))
    vocab = vocabulary(["</s>", "<unk>", *(f">>{code}<<" for code in codes)])
    (folder / "vocab.json").write_text(json.dumps({**vocab, "<pad>": len(vocab)}))
    pieces_file = str(folder / "pieces.model")
    return transformers.MarianTokenizer(
        source_spm=pieces_file, target_spm=pieces_file, vocab=str(folder / "vocab.json")
    )


def make_model(family: str, folder: Path, codes: list[str] | None = None) -> Path:
    """Write a one-layer model of the family. `codes` are the target languages of a Marian checkpoint with several."""
    tokenizer = make_tokenizer(family, folder, codes or [])
    pad, end = tokenizer.pad_token_id, tokenizer.eos_token_id
    ids = {"pad_token_id": pad, "eos_token_id": end, "decoder_start_token_id": pad if family == "marian" else end}
    name = {"mbart50": "mbart", "nllb": "m2m_100"}.get(family, family)
    size = 170 if family == "m2m_100" else len(tokenizer)
    config = transformers.AutoConfig.for_model(name, vocab_size=size, **SIZES, **ids)
    torch.manual_seed(0)
    transformers.AutoModelForSeq2SeqLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


class Direction:
    """The rows of one direction, encoded for a model folder."""

    def __init__(self, folder: Path, languages: tuple[str, str], tokenizer: Any) -> None:
        self.settings = TASK.settings(source_language=languages[0], target_language=languages[1], max_target_length=16)
        rows = [{"source": row["text"], "target": row["text"]} for row in ROWS]  # as on the Hub: a dict by language
        self.rows, _ = TASK.read_rows(rows, self.settings, "rows")
        self.schema = TASK.find_schema(self.settings, self.rows, None, read_pretrained(folder, tokenizer))
        self.features = TASK.encode(self.rows, tokenizer, self.schema, 24)
        self.batch = make_collate(self.features, TASK, self.schema, tokenizer.pad_token_id)(range(len(ROWS)))


def learn(model: Any, directions: list[Direction], steps: int) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    model.train()
    for step in range(steps):
        direction = directions[step % len(directions)]
        batch, schema = direction.batch, direction.schema
        loss = TASK.loss_sum(model(**batch.inputs), batch, schema) / TASK.count_targets(batch, schema)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    model.eval()


def copied(model: Any, direction: Direction, tokenizer: Any) -> float:
    """Return the share of the texts that are written exactly."""
    with torch.inference_mode():
        texts = TASK.generate(model, direction.batch, direction.schema, tokenizer)
    return sum(text == row["target"] for text, row in zip(texts, direction.rows, strict=True)) / len(texts)


@pytest.mark.trains
@pytest.mark.slow
@pytest.mark.parametrize("family", ["mbart50", "nllb", "m2m_100"])
def test_one_model_translates_in_both_directions(family: str, tmp_path: Path) -> None:
    folder = make_model(family, tmp_path)
    tokenizer = load_tokenizer(folder)
    english, chinese = CODES[family]
    directions = [Direction(folder, (english, chinese), tokenizer), Direction(folder, (chinese, english), tokenizer)]
    model = load_model(folder, TASK, directions[0].schema, tokenizer, dropout=None, seed=1).model
    learn(model, directions, 500)
    assert [copied(model, direction, tokenizer) > 0.9 for direction in directions] == [True, True]


@pytest.mark.trains
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")
@pytest.mark.parametrize("languages", [("zh", "en"), ("en", "cmn_Hans")])
def test_a_marian_model_for_each_direction(languages: tuple[str, str], tmp_path: Path) -> None:
    has_codes = languages[1] == "cmn_Hans"
    folder = make_model("marian", tmp_path, ["cmn_Hans", "yue_Hant"] if has_codes else None)
    tokenizer = load_tokenizer(folder)
    direction = Direction(folder, languages, tokenizer)
    assert direction.schema.before == (">>cmn_Hans<< " if has_codes else "")
    if has_codes:
        code = tokenizer.convert_tokens_to_ids(">>cmn_Hans<<")
        assert all(ids[0] == code for ids in direction.features.inputs["input_ids"])
    model = load_model(folder, TASK, direction.schema, tokenizer, dropout=None, seed=1).model
    learn(model, [direction], 400)
    assert copied(model, direction, tokenizer) > 0.9


@pytest.mark.parametrize("family", ["mbart50", "nllb", "m2m_100"])
def test_both_directions_have_the_tokens_of_transformers(family: str, tmp_path: Path) -> None:
    folder = make_model(family, tmp_path)
    tokenizer = load_tokenizer(folder)
    for source, target in (CODES[family], CODES[family][::-1]):
        direction = Direction(folder, (source, target), tokenizer)
        row = direction.rows[0]
        assert row["source"] == TEXTS[short_code(source)][0] and row["target"] == TEXTS[short_code(target)][0]
        plain = transformers.AutoTokenizer.from_pretrained(folder, src_lang=source, tgt_lang=target)
        expected = plain(row["source"], text_target=row["target"])
        assert direction.features.inputs["input_ids"][0] == expected["input_ids"]
        assert direction.features.targets[0] == expected["labels"]
        assert direction.schema.language_token_id == expected["labels"][0]
        assert tokenizer.unk_token_id not in expected["input_ids"] + expected["labels"]


@pytest.mark.parametrize(
    ("code", "names", "name"),
    [
        ("zho_Hans", ["en", "zh"], "zh"),
        ("zh_CN", ["en", "zh"], "zh"),
        ("cmn_Hans", ["eng", "zho"], "zho"),
        ("zh", ["zh", "zh_TW"], "zh"),
        ("zho_Hans", ["zh_CN", "zh_TW"], None),  # ambiguous
        ("de_DE", ["en", "zh"], None),
        ("eng_Latn", ["en", "zh"], "en"),
    ],
)
def test_codes_of_one_language(code: str, names: list[str], name: str | None) -> None:
    assert same_language(code, names) == name


def test_a_language_that_the_rows_do_not_have_is_refused() -> None:
    settings = TASK.settings(source_language="eng_Latn", target_language="deu_Latn")
    rows = [{"source": row["text"], "target": row["text"]} for row in ROWS]
    with pytest.raises(DataError, match=r"no text for task.target_language=deu_Latn; languages: en, zh"):
        TASK.read_rows(rows, settings, "rows")
