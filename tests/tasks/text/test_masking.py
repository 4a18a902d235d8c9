"""Masking: the share of masked tokens for every kind of tokenizer and script, whole words, and 80/10/10."""

from functools import cache
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import BertConfig, PreTrainedTokenizerFast

from ft_toolkit.tasks import language_modelling as lm
from ft_toolkit.tasks.base import Pretrained
from ft_toolkit.tasks.language_modelling import MaskedSchema
from ft_toolkit.tasks.text.masking import choose_masked, mask_tokens, measured_share, number_words

SENTENCES = {
    "english": "Ada moved to Lyon in 1990, and bought the internationally acknowledged shop on the corner.",
    "german": "Die Donaudampfschifffahrtsgesellschaft übernahm die Straßenbahnhaltestellen.",
    "chinese": "天气问题一直受到居民的广泛关注和讨论专家建议尽快改进各部门应当共同努力解决天气方面存在的困难",
    "japanese": "東京の天気についてのニュースが毎日のように報道されていて多くの人々が関心を持っている",
    "korean": "날씨문제는 주민들의 광범위한 관심을 지속적으로 받아왔습니다 전문가들은 조속한 개선을 권고했습니다",
    "thai": "กรุงเทพมหานครเป็นเมืองหลวงของประเทศไทยและมีประชากรมากเขาเดินทางไปโรงเรียนทุกวันโดยรถไฟฟ้า",
    "khmer": "គាត់ធ្វើការនៅផ្ទះរាល់ថ្ងៃហើយចូលចិត្តអានសៀវភៅនៅពេលល្ងាច",
    "hindi": "मौसम की समस्या पर निवासियों का व्यापक ध्यान जाता रहा है और विशेषज्ञों ने सुधार की सलाह दी है",
    "arabic": "استقطبت مشكلة الطقس اهتماما واسعا من السكان وأوصى الخبراء بإجراء تحسينات سريعة",
    "emoji": "😀😃🚀👩‍👩‍👧‍👦🏳️‍🌈🎉🔥💡📚🎵🍕🌍⚽🏀🎮🎯🎲🧩🎨🎭",
    "code": "def compute_cross_entropy_loss(logits_per_position):return -(log_probabilities*targets).sum(dim=-1)",
}
TEXTS = {name: [f"{text} {i}" for i in range(40)] for name, text in SENTENCES.items()}
FAMILIES = ("wordpiece", "xlm-r", "bytes", "byte-level bpe")


@cache
def tokenizer_of(family: str) -> PreTrainedTokenizerFast:
    """A tokenizer of the family, trained on all texts."""
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    texts = [text for several in TEXTS.values() for text in several]
    if family == "wordpiece":
        tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer: Any = trainers.WordPieceTrainer(vocab_size=500, special_tokens=special, show_progress=False)
    elif family == "xlm-r":
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.normalizer = normalizers.NFKC()
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
        )
        trainer = trainers.UnigramTrainer(
            vocab_size=600, special_tokens=special, unk_token="<unk>", show_progress=False
        )
    else:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = trainers.BpeTrainer(
            vocab_size=261 if family == "bytes" else 600,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
    tokenizer.train_from_iterator(texts, trainer)
    ids = [(token, special.index(token)) for token in ("<s>", "</s>")]
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ids)
    roles = {
        "cls_token": "<s>",
        "pad_token": "<pad>",
        "sep_token": "</s>",
        "unk_token": "<unk>",
        "mask_token": "<mask>",
    }
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **roles)


def encode(family: str, texts: list[str], **settings: Any) -> tuple[list[dict[str, Any]], Any, Any]:
    rows = [{"text": text} for text in texts]
    tokenizer = tokenizer_of(family)
    schema = lm.find_schema(lm.Settings(**settings), rows, None, Pretrained("encoder", BertConfig(), tokenizer))
    return rows, lm.encode(rows, tokenizer, schema, 64), schema


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("script", SENTENCES)
def test_the_masked_share_is_the_setting_for_every_tokenizer_and_script(family: str, script: str) -> None:
    _, features, _ = encode(family, TEXTS[script][:10])
    for share in (0.15, 0.3):
        assert measured_share(features.notes, share) == pytest.approx(share, abs=0.02)


def test_the_start_of_a_run_says_what_is_masked() -> None:
    for script, settings, text in (
        ("english", {}, "in whole words"),
        ("english", {"whole_words": False}, " of the tokens are masked"),
        ("thai", {}, "in whole words, or in letters or tokens where the script has no spaces (99% of the words)"),
    ):
        description = lm.describe_features(*encode("xlm-r", TEXTS[script], **settings))
        assert description.startswith(("14.", "15."))
        assert description.endswith(text)


def test_short_texts_are_masked_more_and_a_note_says_so() -> None:
    rows, features, schema = encode("wordpiece", ["Ada", "Lyon", "shop"] * 10)
    (note,) = lm.notes(rows, features, tokenizer_of("wordpiece"), schema)
    rows, features, schema = encode("wordpiece", TEXTS["english"])
    assert lm.notes(rows, features, tokenizer_of("wordpiece"), schema) == []
    assert "instead of task.mask_share=0.15, because at least one token of each text is masked" in note


@pytest.mark.parametrize(
    ("text", "offsets", "numbers"),
    [
        ("a lamp's", [(0, 0), (0, 1), (2, 3), (3, 6), (6, 7), (7, 8), (0, 0)], [4, 0, 1, 1, 2, 3, 10]),
        ("天气好", [(0, 2), (2, 3)], [0, 2]),  # a token with two letters is alone
        (
            "天气",
            [(0, 1), (0, 1), (0, 1), (1, 2), (1, 2), (1, 2)],
            [0, 0, 0, 1, 1, 1],
        ),  # bytes of a letter are together
        ("a  b", [(0, 1), (1, 2), (2, 4)], [0, 3, 1]),  # white space is alone, or belongs to the word after it
        ("ที่", [(0, 1), (1, 2), (2, 3)], [0, 0, 0]),  # a letter with its marks
        ("", [], []),
    ],
)
def test_a_token_belongs_to_the_first_word_that_it_overlaps(text: str, offsets: Any, numbers: list[int]) -> None:
    (found,) = number_words(text, [offsets])
    assert found == numbers


def test_words_are_masked_whole_with_the_share_in_the_mean_and_never_special_tokens() -> None:
    rng = np.random.default_rng(2)
    words = [-1, *[word for word in range(60) for _ in range(1 + word % 3)], -1]
    sizes = []
    for _ in range(400):
        chosen = choose_masked(words, 0.15, rng)
        assert 0 not in chosen and len(words) - 1 not in chosen
        masked = {words[place] for place in chosen}
        assert chosen == [place for place, word in enumerate(words) if word in masked]
        sizes.append(len(chosen))
    assert {16, 17, 18, 19, 20} >= set(sizes) and np.mean(sizes) == pytest.approx(18, abs=0.1)


@pytest.mark.parametrize(
    ("lengths", "share"), [([12] * 5, 0.15), ([40, 40], 0.15), ([3] * 7, 0.4), ([1] * 7, 0.15), ([30], 0.5)]
)
def test_long_words_do_not_change_the_mean_share(lengths: list[int], share: float) -> None:
    rng = np.random.default_rng(5)
    words = [word for word, length in enumerate(lengths) for _ in range(length)]
    sizes = [len(choose_masked(words, share, rng)) for _ in range(4000)]
    assert min(sizes) >= 1 and np.mean(sizes) / len(words) == pytest.approx(share, abs=0.01)


def test_every_row_with_a_word_has_a_masked_token() -> None:
    rng = np.random.default_rng(3)
    found = [choose_masked([-1, 0, 0, 0, -1], 0.15, rng) for _ in range(50)]
    assert {tuple(chosen) for chosen in found} == {(1,), (2,), (3,)}
    assert choose_masked([-1, -1], 0.15, rng) == []


def test_eighty_ten_ten() -> None:
    rng = np.random.default_rng(4)
    ids = [7] * 20_000
    masked = np.array(mask_tokens(ids, range(len(ids)), MaskedSchema(0.15, True, 4, 50, (0, 1, 2, 3, 4)), rng))
    assert abs((masked == 4).mean() - 0.8) < 0.01
    assert abs((masked == 7).mean() - 0.1 - 0.1 / 45) < 0.01
    assert not np.isin(masked, [0, 1, 2, 3]).any()
    assert mask_tokens([5, 6], [], MaskedSchema(0.15, True, 4, 50, ()), rng) == [5, 6]
