"""Translation: columns named by language, prefixes, real Marian tokenizers, language tokens."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
import transformers

from ft_toolkit.core.errors import DataError, UsageError
from ft_toolkit.data.load_data import load_data
from ft_toolkit.models.pretrained import load_model, load_tokenizer, read_pretrained
from ft_toolkit.models.tiny import make_tiny_model
from ft_toolkit.recipe.sections import DataSection
from ft_toolkit.tasks import find_tasks
from ft_toolkit.tasks.base import Pretrained, ScoredRun

TASK = find_tasks()["translation"]
EN_DE = {"source_language": "en", "target_language": "de"}
ROWS = TASK.sample_rows(TASK.settings())


@pytest.mark.parametrize("form", ["named", "by_language", "dict"])
def test_columns_by_name_by_language_or_in_a_dict(form: str, tmp_path: Path) -> None:
    pairs = [("one", "eins"), ("two", "zwei"), ("three", "drei")]
    row_of = {
        "named": lambda s, t: {"source": s, "target": t},
        "by_language": lambda s, t: {"en": s, "de": t},
        "dict": lambda s, t: {"translation": {"de": t, "en": s}},
    }[form]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row_of(*pair)) + "\n" for pair in pairs))
    columns = {"source": "translation", "target": "translation"} if form == "dict" else {}
    section = DataSection(train=str(path), validation=str(path), columns=columns)
    data = load_data(section, TASK, TASK.settings(**EN_DE))
    assert [(row["source"], row["target"]) for row in data.splits["train"]] == pairs
    if form == "by_language":
        backwards = load_data(section, TASK, TASK.settings(source_language="de", target_language="en"))
        assert backwards.splits["train"][0] == {"id": "1", "source": "eins", "target": "one"}
        with pytest.raises(
            DataError, match=r"no column 'target' or 'fr' for translation's 'target'.*columns found: en, de"
        ):
            load_data(section, TASK, TASK.settings(source_language="en", target_language="fr"))
    if form == "dict":
        with pytest.raises(DataError, match=r"the column has several languages \(de, en\); set task.source_language"):
            load_data(section, TASK, TASK.settings())
        with pytest.raises(
            DataError, match=r"no text for task.target_language=dee; languages: de, en\. Did you mean 'de'"
        ):
            load_data(section, TASK, TASK.settings(source_language="en", target_language="dee"))


def test_several_translations() -> None:
    rows, _ = TASK.read_rows([{"source": "a", "target": ["x", "y"]}], TASK.settings(), "here")
    assert rows == [{"source": "a", "target": "x", "references": ["x", "y"]}] and TASK.reference_answer(
        rows[0], None
    ) == ["x", "y"]
    assert TASK.read_rows([{"source": "a"}], None, "here")[0] == [{"source": "a"}]


class T5:
    """As much of a T5 tokenizer as find_schema asks for."""

    eos_token_id, sep_token_id, cls_token_id, pad_token_id, model_max_length = 1, None, None, 0, 512


def t5_schema(**settings: Any) -> Any:
    config = transformers.T5Config(decoder_start_token_id=0)
    return TASK.find_schema(TASK.settings(**settings), [], None, Pretrained("encoder-decoder", config, T5()))


def test_the_prefix_of_a_source(tmp_path: Path) -> None:
    assert t5_schema(**EN_DE).before == "translate English to German: "
    assert t5_schema(source_language="de", target_language="gsw").before == "translate German to gsw: "
    assert t5_schema(prefix=">>deu<< ").before == ">>deu<< "
    assert t5_schema(prefix="to {target_language}: ", **EN_DE).before == "to German: "
    assert t5_schema(**EN_DE).max_positions is None
    with pytest.raises(UsageError, match=r"set task.source_language and task.target_language"):
        t5_schema()
    folder = make_tiny_model(tmp_path, [], "gpt2")
    tokenizer = load_tokenizer(folder)
    schema = TASK.find_schema(TASK.settings(**EN_DE), [], None, read_pretrained(folder, tokenizer))
    assert (schema.before, schema.after) == ("English: ", "\nGerman:\n")


def make_marian(folder: Path) -> Path:
    """A small Marian model with the two sentencepiece tokenizers and the one vocabulary that such models have."""
    import sentencepiece

    vocab = {"</s>": 0, "<unk>": 1}
    for side in ("source", "target"):
        file = io.BytesIO()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter([row[side] for row in ROWS]),
            model_writer=file,
            vocab_size=90,
            minloglevel=2,
            hard_vocab_limit=False,
        )
        (folder / f"{side}.spm").write_bytes(file.getvalue())
        pieces = sentencepiece.SentencePieceProcessor(model_proto=file.getvalue())
        for i in range(3, pieces.get_piece_size()):
            vocab.setdefault(pieces.id_to_piece(i), len(vocab))
    vocab["<pad>"] = pad = len(vocab)
    (folder / "vocab.json").write_text(json.dumps(vocab))
    tokenizer = transformers.MarianTokenizer(
        source_spm=str(folder / "source.spm"), target_spm=str(folder / "target.spm"), vocab=str(folder / "vocab.json")
    )
    sizes = {"d_model": 32, "encoder_layers": 1, "decoder_layers": 1, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32}
    heads = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "max_position_embeddings": 128}
    tokens = {"vocab_size": len(vocab), "pad_token_id": pad, "eos_token_id": 0, "decoder_start_token_id": pad}
    transformers.MarianMTModel(transformers.MarianConfig(**sizes, **heads, **tokens)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.mark.filterwarnings("ignore:Recommended. pip install sacremoses")
def test_a_marian_tokenizer_reads_the_target_with_the_target_s_pieces(tmp_path: Path) -> None:
    folder = make_marian(tmp_path)
    tokenizer = load_tokenizer(folder)
    schema = TASK.find_schema(
        TASK.settings(**EN_DE, max_target_length=60), ROWS, None, read_pretrained(folder, tokenizer)
    )
    features = TASK.encode(ROWS, tokenizer, schema, 64)
    pad = tokenizer.pad_token_id
    for row, source, target, given in zip(
        ROWS, features.inputs["input_ids"], features.targets, features.inputs["decoder_input_ids"], strict=True
    ):
        assert tokenizer.batch_decode([target], skip_special_tokens=True) == [row["target"]]
        assert source == tokenizer(row["source"])["input_ids"] and source[-1] == target[-1] == 0
        assert given == [pad, *target[:-1]]
    assert features.answers_cut == {"target tokens": [0] * len(ROWS)}
    model = load_model(folder, TASK, schema, tokenizer, dropout=None, seed=1).model
    assert model.generation_config.decoder_start_token_id == pad and model.generation_config.max_new_tokens == 60


def test_language_tokens_start_the_target() -> None:
    """NLLB: the source begins with its language, the target with its own, which generation forces."""
    vocab = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "eng_Latn": 4, "deu_Latn": 5, "<mask>": 6}
    tokenizer = transformers.NllbTokenizer(vocab=vocab, merges=[], src_lang="fra_Latn")
    config = transformers.M2M100Config(decoder_start_token_id=2)
    pretrained = Pretrained("encoder-decoder", config, tokenizer)
    settings = {"source_language": "eng_Latn", "target_language": "deu_Latn"}
    schema = TASK.find_schema(TASK.settings(**settings), [], None, pretrained)
    features = TASK.encode([{"source": "a", "target": "b"}], tokenizer, schema, 16)
    assert features.inputs["input_ids"][0][0] == 4 and features.targets[0][0] == 5 == schema.language_token_id
    assert features.inputs["decoder_input_ids"][0][:2] == [2, 5] and features.targets[0][-1] == 2
    for wrong, message in (
        ({}, "set task.source_language and task.target_language"),
        (
            {**settings, **EN_DE},
            "source_language=en is not a language of this checkpoint's tokenizer. Similar: eng_Latn",
        ),
    ):
        with pytest.raises(UsageError, match=message):
            TASK.find_schema(TASK.settings(**wrong), [], None, pretrained)


def test_scores_signatures_and_the_untranslated_source() -> None:
    rows, _ = TASK.read_rows(ROWS, TASK.settings(**EN_DE), "samples")
    schema = t5_schema(**EN_DE)
    perfect, references = TASK.to_arrays([{"translation": row["target"]} for row in rows], rows, schema)
    copied, _ = TASK.to_arrays(TASK.baselines["copy_source"].predict(rows, rows, schema, 0), rows, schema)
    metrics = TASK.metrics(TASK.settings())
    assert list(metrics) == ["bleu", "chrf", "ter"]
    assert [metrics[name].fn(perfect, references) for name in metrics] == pytest.approx([100, 100, 0])
    assert metrics["bleu"].fn(copied, references) < 5 and metrics["ter"].fn(copied, references) > 80
    details = TASK.details(perfect, references, schema)
    assert details["signatures"]["bleu"].startswith("nrefs:var|case:mixed|eff:no|tok:13a|smooth:exp")
    assert details["mean_words"]["predicted"] == details["mean_words"]["reference"]


def test_bleu_of_runs_with_other_tokenizers_is_not_compared() -> None:
    rows = [{"source": "a", "target": "他在家。"}]
    array, _ = TASK.to_arrays([{"translation": "他在家。"}], rows, None)
    schema = t5_schema(source_language="en", target_language="zh_CN")
    now, earlier = (ScoredRun(TASK.settings(), schema, each) for each in (array, array[:, :-1]))
    assert TASK.comparability(now, now).incomparable == ()
    found = TASK.comparability(earlier, now)
    assert found.incomparable == ("bleu", "ter") and "different tokenizers (13a, zh)" in found.note
    assert TASK.details(array, array, schema)["mean_characters"] == {"predicted": 4, "reference": 4}
