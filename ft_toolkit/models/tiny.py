"""Create tiny models with a real architecture and random weights, for `--smoke` and for tests.

A tiny model shows that a recipe runs from end to end without downloading its model. Its scores mean nothing.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import AutoConfig, PreTrainedTokenizerFast

MAX_TOKENS = 512


@dataclass(frozen=True)
class _Architecture:
    """The sizes and the tokenizer of a tiny model. `special` maps roles to the family's special tokens, in id order."""

    auto_class: str
    sizes: dict[str, Any]
    special: dict[str, str]
    # Templates with the special tokens around one text and around two texts.
    single: str
    pair: str
    # The tokenizer: WordPiece if true, else byte level.
    word_pieces: bool = False


def _bert_sizes(**more: Any) -> dict[str, Any]:
    return {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": MAX_TOKENS + 8,  # RoBERTa numbers positions from the pad id
        **more,
    }


# The decoder starts with token 2: BART's end token, Marian's pad token.
_BART_SIZES = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": MAX_TOKENS,
    "decoder_start_token_id": 2,
    "forced_eos_token_id": None,
}

_BERT = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
_ROBERTA = {"cls": "<s>", "pad": "<pad>", "sep": "</s>", "unk": "<unk>", "mask": "<mask>"}
_IN_BERT = ("[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1")
_IN_DISTILBERT = ("[CLS] $A [SEP]", "[CLS] $A [SEP] $B [SEP]")
_IN_ROBERTA = ("<s> $A </s>", "<s> $A </s> </s> $B </s>")
_IN_T5 = ("$A </s>", "$A </s> $B </s>")
_ENCODER, _DECODER, _BOTH = "AutoModelForMaskedLM", "AutoModelForCausalLM", "AutoModelForSeq2SeqLM"

ARCHITECTURES: dict[str, _Architecture] = {
    "bert": _Architecture(_ENCODER, _bert_sizes(), _BERT, *_IN_BERT, word_pieces=True),
    "distilbert": _Architecture(
        _ENCODER,
        {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64, "max_position_embeddings": MAX_TOKENS},
        _BERT,
        *_IN_DISTILBERT,
        word_pieces=True,
    ),
    "electra": _Architecture(_ENCODER, _bert_sizes(embedding_size=16), _BERT, *_IN_BERT, word_pieces=True),
    "albert": _Architecture(_ENCODER, _bert_sizes(embedding_size=16), _BERT, *_IN_BERT, word_pieces=True),
    "roberta": _Architecture(_ENCODER, _bert_sizes(type_vocab_size=1), _ROBERTA, *_IN_ROBERTA),
    "deberta-v2": _Architecture(
        _ENCODER,
        _bert_sizes(relative_attention=True, pos_att_type=["p2c", "c2p"], position_buckets=16, type_vocab_size=0),
        _BERT,
        *_IN_BERT,
    ),
    "modernbert": _Architecture(
        _ENCODER,
        _bert_sizes(local_attention=16, global_attn_every_n_layers=2, reference_compile=False),
        _BERT,
        *_IN_DISTILBERT,
    ),
    "gpt2": _Architecture(
        _DECODER,
        {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": MAX_TOKENS},
        {"eos": "<|endoftext|>"},
        "$A",
        "$A $B",
    ),
    "llama": _Architecture(
        _DECODER,
        _bert_sizes(num_key_value_heads=2),
        {"unk": "<unk>", "bos": "<s>", "eos": "</s>"},
        "<s> $A",
        "<s> $A <s> $B",
    ),
    "t5": _Architecture(
        _BOTH,
        {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": 0},
        {"pad": "<pad>", "eos": "</s>", "unk": "<unk>"},
        *_IN_T5,
    ),
    "bart": _Architecture(
        _BOTH,
        _BART_SIZES,
        {"bos": "<s>", "pad": "<pad>", "eos": "</s>", "unk": "<unk>", "mask": "<mask>", "cls": "<s>", "sep": "</s>"},
        *_IN_ROBERTA,
    ),
    "marian": _Architecture(
        _BOTH,
        _BART_SIZES,
        {"eos": "</s>", "unk": "<unk>", "pad": "<pad>"},
        *_IN_T5,
    ),
}

# Pattern of a model name -> architecture. The first match counts; the default is BERT.
_NAMES = {
    "deberta": "deberta-v2",
    "distilbert": "distilbert",
    "modernbert": "modernbert",
    "roberta|xlm-r": "roberta",
    "albert": "albert",
    "electra": "electra",
    "opus-mt|marian": "marian",
    "bart|pegasus|m2m100|nllb": "bart",
    "t5": "t5",
    "gpt": "gpt2",
    "llama|smollm|mistral|qwen": "llama",
}


def architecture_of(name: str) -> str:
    """Guess a model's architecture from its name, the only information available without the network."""
    matches = (architecture for pattern, architecture in _NAMES.items() if re.search(pattern, name, re.IGNORECASE))
    return next(matches, "bert")


def make_tiny_model(folder: Path, texts: Iterable[str], architecture: str = "bert", seed: int = 0) -> Path:
    """Write a two-layer model of `architecture` with a vocabulary from `texts` to `folder`, and return the folder.

    An existing model is kept.
    """
    if (folder / "model.safetensors").is_file():  # the last file that is written
        return folder
    spec = ARCHITECTURES[architecture]
    torch.manual_seed(seed)
    tokenizer = make_tiny_tokenizer(texts, architecture)
    ids = {f"{role}_token_id": tokenizer.convert_tokens_to_ids(token) for role, token in spec.special.items()}
    token_ids = {"pad_token_id": ids.get("pad_token_id"), "bos_token_id": None, "eos_token_id": None} | ids
    config = AutoConfig.for_model(architecture, vocab_size=len(tokenizer), **token_ids | spec.sizes)
    model = getattr(transformers, spec.auto_class).from_config(config, trust_remote_code=False)
    tokenizer.save_pretrained(folder)
    model.save_pretrained(folder)
    return folder


def make_tiny_tokenizer(texts: Iterable[str], architecture: str) -> PreTrainedTokenizerFast:
    """Return the tokenizer of a tiny model of `architecture`, with a vocabulary from `texts`."""
    spec = ARCHITECTURES[architecture]
    special = list(dict.fromkeys(spec.special.values()))
    tokenizer = _word_pieces(special, texts) if spec.word_pieces else _bytes(special)
    special_ids = [(token, special.index(token)) for token in special]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=spec.single, pair=spec.pair, special_tokens=special_ids
    )
    two_segments = ":1" in spec.pair and spec.word_pieces
    names = ["input_ids", *(["token_type_ids"] if two_segments else []), "attention_mask"]
    roles = {f"{role}_token": token for role, token in spec.special.items()}
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=MAX_TOKENS, model_input_names=names, **roles
    )


def _word_pieces(special: list[str], texts: Iterable[str]) -> Tokenizer:
    """Return a BERT tokenizer with every word and letter of `texts` in its vocabulary."""
    words = {word for text in texts for word in re.findall(r"\w+|[^\w\s]", text.lower())}
    letters = {letter for word in words for letter in word} | set("abcdefghijklmnopqrstuvwxyz0123456789")
    pieces = [*special, *sorted(letters), *(f"##{letter}" for letter in sorted(letters)), *sorted(words - letters)]
    tokenizer = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def _bytes(special: list[str]) -> Tokenizer:
    """Return a byte-level tokenizer without merges: one token per byte."""
    alphabet = [*special, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE({piece: i for i, piece in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer
