"""Windows as the tokenizer's own truncation makes them, offsets of byte-level tokens, and the best spans by brute force."""

import itertools
import random
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from ft_toolkit.models.pretrained import load_tokenizer
from ft_toolkit.tasks.text.answer_windows import (
    Window,
    answer_tokens,
    best_spans,
    build_inputs,
    find_frame,
    share_room,
)
from ft_toolkit.tasks.text.windows import windows


def pieces(kind):
    """Return a tokenizer that joins texts as XLNet (CLS at the end) or RoBERTa does."""
    special = {"xlnet": ["<sep>", "<cls>"], "roberta": ["<s>", "</s>"]}[kind]
    tokenizer = Tokenizer(
        models.WordLevel({token: i for i, token in enumerate([*special, "<unk>", "a", "b"])}, "<unk>")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    single, pair = {
        "xlnet": ("$A:0 <sep>:0 <cls>:2", "$A:0 <sep>:0 $B:1 <sep>:1 <cls>:2"),
        "roberta": ("<s> $A </s>", "<s> $A </s> </s> $B </s>"),
    }[kind]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=single, pair=pair, special_tokens=[(token, i) for i, token in enumerate(special)]
    )
    names = ["input_ids", "token_type_ids"] if kind == "xlnet" else ["input_ids"]
    cls = "<cls>" if kind == "xlnet" else "<s>"
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, cls_token=cls, eos_token=special[-1], pad_token="<unk>", model_input_names=names
    )


def test_frames_of_tokenizers(tiny_bert, tiny_gpt2):
    bert, gpt2 = load_tokenizer(Path(tiny_bert)), load_tokenizer(Path(tiny_gpt2))
    frame = find_frame(bert, causal=False)
    cls, sep = bert.cls_token_id, bert.sep_token_id
    assert (frame.before, frame.between, frame.behind) == ([(cls, 0)], [(sep, 0)], [(sep, 1)])
    assert frame.has_types and (frame.question_type, frame.context_type, frame.null, frame.size) == (0, 1, 0, 3)
    frame = find_frame(gpt2, causal=True)
    line_break = gpt2("\n")["input_ids"]
    assert (frame.before, frame.between, frame.behind) == ([], [(line_break[0], 0)], [(gpt2.eos_token_id, 0)])
    assert (frame.has_types, frame.null, frame.size) == (False, -1, 2)
    assert find_frame(gpt2, causal=False).behind == [] and find_frame(gpt2, causal=False).null == 0
    frame = find_frame(pieces("roberta"), causal=False)
    assert [len(part) for part in (frame.before, frame.between, frame.behind)] == [1, 2, 1]
    assert (frame.null, frame.has_types) == (0, False)
    frame = find_frame(pieces("xlnet"), causal=False)
    assert (frame.before, frame.behind, frame.null) == ([], [(0, 1), (1, 2)], -1)
    ids, types, at, null = build_inputs(frame, [3], [4, 4])
    assert (ids, types) == ([3, 0, 4, 4, 0, 1], [0, 0, 1, 1, 1, 2])
    assert (at, null) == (2, 5)


@pytest.mark.parametrize("seed", range(30))
def test_windows_are_those_of_the_tokenizer(seed, tiny_bert):
    rng = random.Random(seed)
    tokenizer = load_tokenizer(Path(tiny_bert))
    letters = ["good", "lovely", "when", "does", "lamp", "the", "xyz", "é,", "."]
    question = " ".join(rng.choices(letters, k=rng.randint(1, 6)))
    context = "  ".join(rng.choices(letters, k=rng.randint(1, 80)))
    length, stride = rng.randint(40, 70), rng.randint(0, 9)
    theirs = tokenizer(
        question,
        context,
        truncation="only_second",
        max_length=length,
        stride=stride,
        return_overflowing_tokens=True,
        return_attention_mask=False,
    )
    frame = find_frame(tokenizer, causal=False)
    question_ids = tokenizer(question, add_special_tokens=False)["input_ids"]
    ids = tokenizer(context, add_special_tokens=False)["input_ids"]
    kept, room = share_room(len(question_ids), frame, length)
    assert kept == len(question_ids)
    ours = [build_inputs(frame, question_ids, ids[first:stop]) for first, stop in windows(len(ids), room, stride)]
    assert [found[0] for found in ours] == theirs["input_ids"]
    assert [found[1] for found in ours] == theirs["token_type_ids"]


@pytest.mark.parametrize("n", [0, 1, 5, 17, 40])
@pytest.mark.parametrize("stride", [0, 3, 1000])
@pytest.mark.parametrize("n_question", [1, 9, 500])
@pytest.mark.parametrize("length", [8, 12, 30])
def test_every_token_is_in_a_window_and_no_window_is_too_long(n, stride, n_question, length, tiny_bert):
    frame = find_frame(load_tokenizer(Path(tiny_bert)), causal=False)
    kept, room = share_room(n_question, frame, length)
    assert kept + room + frame.size <= length
    assert kept >= min(n_question, (length - frame.size) // 2)
    found = windows(n, room, stride)
    assert {token for first, stop in found for token in range(first, stop)} == set(range(n))
    for (_, stop), (following, _) in itertools.pairwise(found):
        assert stop - following == min(stride, room // 2)


def byte_spans(tokenizer, text):
    found = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    return np.array(found, np.int32).reshape(-1, 2)


def test_offsets_of_byte_level_tokens(tiny_gpt2):
    tokenizer = load_tokenizer(Path(tiny_gpt2))
    text = "The café 北京 🎹 is old."
    spans = byte_spans(tokenizer, text)
    for answer in ("The", "café", "北京", "京", "🎹", "is old", "é"):
        start = text.index(answer)
        first, last = answer_tokens(start, start + len(answer), spans)
        # every byte of its first and of its last character is inside
        assert text[spans[first, 0] : spans[last, 1]].strip() == answer
        assert first == 0 or spans[first - 1, 1] <= start
        assert last == len(spans) - 1 or spans[last + 1, 0] >= start + len(answer)


def test_a_token_with_a_leading_space_holds_its_word():
    text = "The old piano"
    spans = np.array([[0, 3], [3, 7], [7, 13]])  # "The", " old", " piano", as GPT-2 with untrimmed offsets
    assert answer_tokens(4, 7, spans) == (1, 1)
    assert answer_tokens(4, 13, spans) == (1, 2)
    windows = [Window(0, 3, 0, 3, spans)]
    logits = np.array([[0, 5, 0, -9], [0, 5, 0, -9]], np.float32)
    (best,) = best_spans([logits], windows, text, longest=3, limit=1, with_null=False).spans
    assert (best.start, best.end) == (4, 7), "the space is not part of the answer"


def test_an_answer_without_a_token_is_none():
    assert answer_tokens(3, 4, np.array([[0, 3], [5, 8]])) is None
    assert answer_tokens(0, 2, np.zeros((0, 2), int)) is None


def test_the_position_of_an_answer_in_a_window():
    window = Window(first=10, n=5, start=4, null=0, spans=np.zeros((5, 2)))
    assert window.position((10, 14)) == (4, 8)
    assert window.position((12, 12)) == (6, 6)
    assert window.position((9, 12)) == window.position((14, 15)) == window.position(None) == (0, 0)


def test_a_window_comes_back_from_its_note():
    spans = np.array([[3, 5], [5, 5], [7, 70_000]])
    window = Window(10, 3, 4, 0, spans)
    again = Window.from_note(window.note())
    assert (again.first, again.n, again.start, again.null) == (10, 3, 4, 0) and np.array_equal(again.spans, spans)
    empty = Window.from_note(Window(0, 0, 1, 0, np.zeros((0, 2), int)).note())
    assert empty.n == 0 and empty.spans.shape == (0, 2)


def brute_force(logits, windows, longest):
    """Return {(first, last): score} of every allowed span of tokens, and the null score."""
    scores = {}
    for (start, end), window in zip(logits, windows, strict=True):
        for i, j in itertools.product(range(window.n), repeat=2):
            if i <= j < i + longest:
                span = (window.first + i, window.first + j)
                score = float(start[window.start + i]) + float(end[window.start + j])
                scores[span] = max(score, scores.get(span, -np.inf))
    return scores, min(float(s[w.null]) + float(e[w.null]) for (s, e), w in zip(logits, windows, strict=True))


@pytest.mark.parametrize("seed", range(30))
def test_the_best_spans_are_the_best_of_all(seed):
    rng = np.random.default_rng(seed)
    n, longest, limit = int(rng.integers(1, 40)), int(rng.integers(1, 9)), int(rng.integers(1, 6))
    context = "ab " * n
    spans = np.array([(3 * i, 3 * i + 2) for i in range(n)])
    room = int(rng.integers(1, 15))
    step = max(1, room - int(rng.integers(0, room)))
    windows, first = [], 0
    while True:
        size = min(room, n - first)
        windows.append(Window(first, size, 2, 0, spans[first : first + size]))
        if first + room >= n:
            break
        first += step
    logits = [rng.normal(size=(2, w.n + 3)).astype(np.float32) for w in windows]
    for with_null in (False, True):
        found = best_spans(logits, windows, context, longest=longest, limit=limit, with_null=with_null)
        scores, null = brute_force(logits, windows, longest)
        expected = sorted(scores, key=lambda span: -scores[span])[:limit]
        assert [(one.start, one.end) for one in found.spans] == [(3 * i, 3 * j + 2) for i, j in expected]
        assert [one.score for one in found.spans] == pytest.approx([scores[span] for span in expected], abs=1e-6)
        total = sum(np.exp(score) for score in scores.values()) + (np.exp(null) if with_null else 0)
        shares = [np.exp(scores[span]) / total for span in expected]
        assert [one.probability for one in found.spans] == pytest.approx(shares, rel=1e-6)
        assert found.null_probability == (pytest.approx(np.exp(null) / total) if with_null else 0)
        assert found.null_margin == pytest.approx(null - scores[expected[0]], abs=1e-6)


def test_a_context_of_white_space_tokens_has_no_span():
    windows = [Window(0, 2, 1, 0, np.array([[0, 1], [1, 2]]))]
    found = best_spans([np.zeros((2, 4), np.float32)], windows, " \n", longest=5, limit=3, with_null=True)
    assert found.spans == [] and np.isfinite(found.null_margin)
    empty = [Window(0, 0, 1, 0, np.zeros((0, 2), int))]
    found = best_spans([np.zeros((2, 2), np.float32)], empty, "x", longest=5, limit=3, with_null=True)
    assert found.spans == [] and found.null_probability == 1
