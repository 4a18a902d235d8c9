"""BLEU, chrF and TER of translations as in sacrebleu (Post 2018, arXiv:1804.08771), from 0 to 100.

Each metric is a function of sums over the examples: `statistics` is computed once, and a resample only adds rows. Texts are not
lower-cased beforehand. The script of the references determines how BLEU and TER split texts into words; a language code does
not, because its spelling varies (zh, zh_CN, zho_Hans). Report `signatures` with a score, because BLEU differs by several points
between tokenizations.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any

import numpy as np

from ft_toolkit.core.words import count_scripts

Array = np.ndarray
# Columns of `statistics`: BLEU's lengths (2), matches (4) and n-grams (4); chrF's (hypothesis, reference, match) for each
# order; TER's edits and mean reference length; words; references; the tokenizer (the same in every row).
CHAR_ORDER, BETA = 6, 2
_BLEU = slice(0, 10)
_CHRF = slice(10, 10 + 3 * CHAR_ORDER)
_TER = slice(_CHRF.stop, _CHRF.stop + 2)
_WORDS, _REFERENCES, _TOKENIZER = _TER.stop, _TER.stop + 1, _TER.stop + 2
# sacrebleu's tokenizers by their number in the last column. The default 13a finds no words in scripts without spaces: `zh` cuts
# Chinese into characters; `char` serves the others, because sacrebleu's tokenizers for Japanese and Korean require further
# packages and there is none for Thai, Lao, Khmer and Burmese.
_TOKENIZERS = ("13a", "zh", "char")
# The tokenizers of earlier versions, which chose by the language code and saved no number.
_EARLIER = {"zh": "zh", "ja": "char", "ko": "char", "th": "char"}


def choose_tokenizer(texts: Iterable[str]) -> str:
    """Return the name of sacrebleu's tokenizer for the scripts of reference texts: 13a, zh or char."""
    counts = count_scripts(texts)
    cut_into_letters = counts.without_spaces + counts.hangul
    if 10 * counts.han >= 9 * cut_into_letters and 10 * counts.han > counts.total:
        return "zh"  # cuts words of other scripts as 13a does, so a tenth of the words is enough
    return "char" if 2 * cut_into_letters > counts.total else "13a"


def tokenizer_of(statistics: Array, target_language: str | None) -> str:
    """Return the name of the tokenizer that an array of `statistics` was computed with.

    Arrays of earlier versions do not name it; their tokenizer follows from the language code.
    """
    if statistics.shape[1] <= _TOKENIZER:
        return _EARLIER.get(target_language or "", _TOKENIZERS[0])
    return _TOKENIZERS[int(statistics[0, _TOKENIZER])]


def statistics(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> Array:
    """Return the counts of each example, shape (examples, 33)."""
    tokenizer = choose_tokenizer(chain.from_iterable(references))
    bleu, _, ter = _scorers(tokenizer)
    cut = bleu.tokenizer if tokenizer != _TOKENIZERS[0] else str
    rows = []
    for prediction, texts in zip(predictions, references, strict=True):
        counts = bleu.sentence_score(prediction, texts)
        edits = ter.sentence_score(cut(prediction), [cut(text) for text in texts])
        rows.append(
            [
                *(counts.sys_len, counts.ref_len, *counts.counts, *counts.totals),
                *_best_chrf(prediction, texts),
                *(edits.num_edits, edits.ref_length),
                *(len(cut(prediction).split()), len(texts), _TOKENIZERS.index(tokenizer)),
            ]
        )
    return np.array(rows, np.float64).reshape(len(rows), _TOKENIZER + 1)


def _scorers(tokenizer: str) -> tuple[Any, Any, Any]:
    from sacrebleu.metrics import BLEU, CHRF, TER

    # effective_order changes no count, and prevents a warning about sentence scores, which are not used
    bleu = BLEU(tokenize=tokenizer, effective_order=True, force=True)
    return bleu, CHRF(char_order=CHAR_ORDER, word_order=0, beta=BETA), TER()


def _best_chrf(prediction: str, texts: Sequence[str]) -> list[int]:
    """Return the character n-gram counts against the reference with the best chrF, the first of equal ones."""
    best, best_score = [0] * (3 * CHAR_ORDER), -1.0
    ours = _char_ngrams(prediction)
    for text in texts:
        counts: list[int] = []
        for mine, theirs in zip(ours, _char_ngrams(text), strict=True):
            n_theirs = theirs.total()
            # as sacrebleu: n-grams longer than the reference are not counted against the prediction
            counts += [mine.total() if n_theirs else 0, n_theirs, (mine & theirs).total()]
        if (score := _chrf(np.array(counts, np.float64))) > best_score:
            best, best_score = counts, score
    return best


def _char_ngrams(text: str) -> list[Counter[str]]:
    """Return the character n-grams of orders 1 to 6 of a text without white space."""
    letters = "".join(text.split())
    return [Counter(letters[i : i + n] for i in range(len(letters) - n + 1)) for n in range(1, CHAR_ORDER + 1)]


def _chrf(sums: Array) -> float:
    """Return chrF of (hypothesis, reference, match) counts per order (Popović 2015), over the orders that both texts have."""
    hypothesis, reference, match = sums.reshape(-1, 3).T
    both = (hypothesis > 0) & (reference > 0)
    if not both.any():
        return 0.0
    precision, recall = (match[both] / hypothesis[both]).mean(), (match[both] / reference[both]).mean()
    if not precision + recall:
        return 0.0
    return float(100 * (1 + BETA**2) * precision * recall / (BETA**2 * precision + recall))


def bleu(predictions: Array, references: Array) -> float:
    """Return corpus BLEU with up to four-grams and exponential smoothing (Papineni et al. 2002)."""
    from sacrebleu.metrics import BLEU

    hyp, ref, *counts = (int(n) for n in predictions[:, _BLEU].sum(0))
    return float(BLEU.compute_bleu(counts[:4], counts[4:], hyp, ref, smooth_method="exp").score)


def chrf(predictions: Array, references: Array) -> float:
    """Return corpus chrF2: character n-grams up to six, recall weighted twice (Popović 2015)."""
    return _chrf(predictions[:, _CHRF].sum(0))


def ter(predictions: Array, references: Array) -> float:
    """Return the translation edit rate: edits per reference word times 100 (Snover et al. 2006); lower is better."""
    edits, length = predictions[:, _TER].sum(0)
    return float(100 * edits / length) if length else 100.0 * bool(edits)


def mean_length(statistics: Array) -> float:
    """Return the mean number of words in an array of `statistics`: split at white space, or by the tokenizer zh or char."""
    return float(statistics[:, _WORDS].mean())


def signatures(statistics: Array, target_language: str | None) -> dict[str, str]:
    """Return sacrebleu's signature of each metric for these data: number of references, case, tokenizer, version.

    The signature of TER names the tokenizer that splits the texts beforehand: `tok:zh+tercom`.
    """
    from sacrebleu.metrics import BLEU

    counts = sorted({int(n) for n in statistics[:, _REFERENCES]})
    streams: list[list[str | None]] = [["x" if i < n else None for n in counts] for i in range(counts[-1])]
    tokenizer = tokenizer_of(statistics, target_language)
    _, *others = _scorers(tokenizer)
    texts = {}
    for metric in (BLEU(tokenize=tokenizer), *others):
        metric.corpus_score(["x"] * len(counts), streams)  # sets the number of references
        texts[type(metric).__name__.lower()] = str(metric.get_signature())
    if tokenizer != _TOKENIZERS[0]:
        texts["ter"] = texts["ter"].replace("tok:", f"tok:{tokenizer}+")
    return texts
