"""Named entities: forms of rows, words and tokens of several tokenizers, windows, decoding, the lexicon, a whole run."""

import dataclasses
import json
import random
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from ft_toolkit.core.counted_notes import shown
from ft_toolkit.core.errors import DataError, ModelError
from ft_toolkit.data.load_data import load_data
from ft_toolkit.models.pretrained import load_config, load_tokenizer
from ft_toolkit.recipe.sections import DataSection
from ft_toolkit.tasks.base import DefinedLabels, Features, Pretrained, without_answers
from ft_toolkit.tasks.ner import IGNORED, TASK, Schema, Settings
from ft_toolkit.tasks.text.entities import read_entity_rows

TYPES = ("LOC", "PER")
WORDS = [
    "Anna",
    "Berg",
    "lives",
    "in",
    "São",
    "Paulo",
    ",",
    "北京",
    "👩",
    "cafe\u0301",
    "U.S.",
    "...",
    "O'Neill",
    "überall",
    "7",
]
FORM = {
    "text": "Anna Berg saw Rome .",
    "tokens": ["Anna", "Berg", "saw", "Rome", "."],
    "entities": [{"start": 0, "end": 9, "label": "PER"}, {"start": 14, "end": 18, "label": "LOC"}],
}


def read(row):
    rows, notes = read_entity_rows([row], "file")
    return rows[0], shown(notes)


def spans(decoded):
    return [(e["start"], e["end"], e["label"]) for e in decoded["entities"]]


def schema_for(tokenizer, *, stride=4, decoder=False):
    return Schema(TYPES, stride, "last" if decoder else "first")


# Forms of rows


@pytest.mark.parametrize(
    "row",
    [
        {"tokens": FORM["tokens"], "tags": ["B-PER", "I-PER", "O", "B-LOC", "O"]},
        {"tokens": FORM["text"], "tags": "B-PER I-PER O B-LOC O"},
        {"tokens": FORM["tokens"], "tags": ["I-PER", "I-PER", "O", "I-LOC", "O"]},
        {"tokens": FORM["tokens"], "tags": ["B-PER", "E-PER", "O", "S-LOC", "O"]},
        {"tokens": FORM["tokens"], "tags": ["B-PER", "L-PER", "O", "U-LOC", "O"]},
        {"tokens": FORM["tokens"], "entities": FORM["entities"][::-1], "tags": None},
        {**FORM, "entities": json.dumps([{**one, "note": 1} for one in FORM["entities"]])},
        {**FORM, "entities": [{**one, "text": FORM["text"][one["start"] : one["end"]]} for one in FORM["entities"]]},
        FORM,
    ],
)
def test_all_forms_of_a_row_are_converted_to_one(row):
    assert read(row)[0] == FORM


def test_tokens_are_found_in_a_text_that_is_not_their_join():
    row, _ = read({"text": "Anna Berg saw Rome.", "tokens": FORM["tokens"], "tags": ["O", "O", "O", "B-LOC", "B-LOC"]})
    assert row["entities"] == [{"start": 14, "end": 18, "label": "LOC"}, {"start": 18, "end": 19, "label": "LOC"}]


def test_notes_report_the_changes():
    assert read(FORM)[1] == []
    assert read({"tokens": ["a"], "tags": ["B-X"]})[1] == []
    assert read({"tokens": ["a", "b"], "tags": ["I-X", "B-X"]})[1] == ["tags follow IOB1; the model learns IOB2"]
    row, notes = read({"tokens": list("abcde"), "tags": ["B-X", "I-X", "O", "B-X", "I-Y"]})
    assert len(row["entities"]) == 3 and notes[0].startswith("1 tags are illegal in IOB2")
    row, notes = read({"text": "in Rome now", "entities": [{"start": 2, "end": 8, "label": "LOC"}]})
    assert row["entities"] == [{"start": 3, "end": 7, "label": "LOC"}] and notes[0].startswith("1 entities started or")


def test_the_tagging_scheme_fits_all_rows():
    rows = [{"tokens": ["a", "b"], "tags": ["B-X", "B-X"]}, {"tokens": ["a"], "tags": ["S-X"]}]
    found, notes = read_entity_rows(rows, "file")
    notes = shown(notes)
    assert [len(row["entities"]) for row in found] == [2, 1]
    assert "BIOES" in notes[0] and notes[1].startswith("2 tags are illegal in BIOES")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({}, r"no tokens and no text; name the column with data.columns.tokens=NAME"),
        ({"text": 3}, "column 'text' must be text; found 3"),
        ({"tokens": ["a", 3]}, "column 'tokens' must contain texts only; found 3"),
        ({"tokens": {"a": 1}}, "must be a list of texts, or a text with spaces"),
        ({"tokens": ["a"], "tags": [3]}, r"'tags' must contain texts only; found 3; replace numbers by the names of the tags"),
        ({"tokens": ["a"], "tags": ["PER"]}, "invalid tag 'PER'; allowed: O, or a prefix"),
        ({"tokens": ["a"], "tags": ["B-"]}, "invalid tag 'B-'; allowed"),
        ({"tokens": ["a", "b"], "tags": ["O"]}, "2 tokens but 1 tags; each token needs one tag"),
        ({"text": "a", "tags": ["O"]}, "tags without tokens"),
        ({"text": "a b", "tokens": ["b", "a"]}, "the text does not contain the tokens in this order"),
        ({**FORM, "tags": ["O"] * 5}, "both 'tags' and 'entities'"),
        ({"text": "a", "entities": "["}, "must be a list as JSON or Python print it"),
        ({"text": "a", "entities": 3}, "column 'entities' must be a list of {start, end, label}"),
        ({"text": "a", "entities": [{"start": 0}]}, "an entity must have start, end and label"),
        ({"text": "ab", "entities": [{"start": 0, "end": 3, "label": "X"}]}, "from 0 to 3 in a text of 2 characters"),
        ({"text": "ab", "entities": [{"start": -1, "end": 1, "label": "X"}]}, "from -1 to 1"),
        ({"text": "ab", "entities": [{"start": 2, "end": 1, "label": "X"}]}, "from 2 to 1"),
        ({"text": "ab", "entities": [{"start": 0.0, "end": 1, "label": "X"}]}, "from 0.0 to 1"),
        ({"text": "a ", "entities": [{"start": 1, "end": 2, "label": "X"}]}, "the X from 1 to 2 is empty"),
        ({"text": "ab", "entities": [{"start": 0, "end": 1, "label": " "}]}, "must be the name of its type; found ' '"),
        ({"text": "ab", "entities": [{"start": 0, "end": 1, "label": "X", "text": "b"}]}, "is 'a', but the entity has 'b'"),
        (
            {"text": "abc", "entities": [{"start": 1, "end": 3, "label": "X"}, {"start": 0, "end": 2, "label": "Y"}]},
            r"'ab' \(Y\) and 'bc' \(X\) overlap",
        ),
    ],
)  # fmt: skip
def test_invalid_rows_are_refused(row, message):
    with pytest.raises(DataError, match=f"^file: row 1: .*{message}"):
        read(row)


def test_types_come_from_recipe_then_card_then_rows():
    rows = [FORM]
    assert TASK.find_schema(Settings(), rows, None, None).labels == TYPES
    card = DefinedLabels(("PER", "LOC"), "the data card 'x'")
    assert TASK.find_schema(Settings(), rows, card, None).tags == ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
    assert TASK.find_schema(Settings(labels=["X", *TYPES]), rows, card, None).labels == ("X", *TYPES)
    with pytest.raises(DataError, match="contain no entities"):
        TASK.find_schema(Settings(), [{"text": "x", "entities": []}], None, None)
    with pytest.raises(DataError, match="contains a type twice"):
        TASK.find_schema(Settings(labels=["PER", "PER"]), rows, None, None)
    with pytest.raises(DataError, match=r"unknown entity type 'PER'; known: LOC, PRE\. Did you mean 'PRE'"):
        TASK.find_schema(Settings(labels=["LOC", "PRE"]), rows, None, None)


def test_the_order_of_a_head_for_the_same_types_is_kept(tiny_bert):
    def found(outputs, card=None, **settings):
        config = transformers.BertConfig(id2label=dict(enumerate(outputs.split())))
        return TASK.find_schema(Settings(**settings), [FORM], card, Pretrained("encoder", config, None)).labels

    assert (
        found("O B-PER I-PER B-LOC I-LOC")
        == found("O B-PER I-PER B-LOC I-LOC", card=DefinedLabels(("LOC", "PER"), "the card"))
        == ("PER", "LOC")
    )
    assert found("O B-PER I-PER B-LOC I-LOC", labels=["LOC", "PER"]) == ("LOC", "PER")
    for other in ("O B-PER B-LOC I-PER I-LOC", "O B-PER I-PER B-ORG I-ORG", "LABEL_0 LABEL_1", "O"):
        assert found(other) == ("LOC", "PER")


def test_a_type_without_training_rows_is_refused_before_training(tiny_bert):
    schema = dataclasses.replace(schema_for(None), labels=("PER",))
    with pytest.raises(DataError, match=r"row 7: unknown entity type 'LOC'; known: PER. Add it to task.labels"):
        TASK.encode([{**FORM, "id": "7"}], load_tokenizer(Path(tiny_bert)), schema, 32)


# Words, tokens, windows


def byte_pairs(*, trim):
    """Return a tokenizer as RoBERTa's (trim) or GPT-2's, whose offsets take in the space before a word."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<s>", "</s>", "<pad>"] if trim else ["</s>"]
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([" ".join(WORDS)] * 3, trainer)
    tokenizer.post_processor = (
        processors.RobertaProcessing(("</s>", 1), ("<s>", 0), trim_offsets=True, add_prefix_space=False)
        if trim
        else processors.ByteLevel(trim_offsets=False)
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=special[-1], eos_token="</s>", model_input_names=["input_ids"]
    )


def pieces():
    """Return a tokenizer as T5's or XLM-R's, whose pieces may join punctuation to the word before it."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=60, special_tokens=special, unk_token="<unk>", show_progress=False)
    tokenizer.train_from_iterator([" ".join(WORDS)] * 5, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_input_names=["input_ids"],
    )


@pytest.fixture(scope="module", params=["bert", "roberta", "gpt2", "bytes", "pieces"])
def tokenizer(request, tiny_bert, tiny_gpt2):
    make = {
        "bert": lambda: load_tokenizer(Path(tiny_bert)),
        "bytes": lambda: load_tokenizer(Path(tiny_gpt2)),
        "roberta": lambda: byte_pairs(trim=True),
        "gpt2": lambda: byte_pairs(trim=False),
        "pieces": pieces,
    }
    return make[request.param]()


def random_row(rng, *, tokens):
    words = [rng.choice(WORDS) for _ in range(rng.randint(0, 30))]
    text, entities, places = "", [], []
    for word in words:
        text += rng.choice(["", " ", "  ", "\n"]) if text and not tokens else " " * bool(text)
        places.append((len(text), len(text) + len(word)))
        text += word
    at = 0
    while at < len(places):
        size = min(rng.randint(1, 3), len(places) - at)
        if rng.random() < 0.4:
            entities.append({"start": places[at][0], "end": places[at + size - 1][1], "label": rng.choice(TYPES)})
        at += size
    row = {"text": text, "entities": entities}
    return {**row, "tokens": words} if tokens else row


def perfect_values(features, schema):
    """Return what a model would predict that knows the training targets, and says B-LOC wherever no word is tagged."""
    assert all(len(t) <= len(ids) for t, ids in zip(features.targets, features.inputs["input_ids"], strict=True))
    filled = [np.array([*t, *[IGNORED] * n])[:n] for t, n in zip(features.targets, features.lengths, strict=True)]
    return [(np.where(tags == IGNORED, 1, tags), np.full(len(tags), 0.5, np.float32)) for tags in filled]


@pytest.mark.parametrize("decoder", [False, True])
@pytest.mark.parametrize("tokens", [True, False])
@pytest.mark.parametrize(("max_length", "stride"), [(512, 4), (9, 3), (12, 0)])
def test_decoding_inverts_encoding(tokenizer, tokens, max_length, stride, decoder):
    """A model that gives back its training targets finds every entity that is not counted as out of reach."""
    rng = random.Random(max_length)
    rows, _ = read_entity_rows([random_row(rng, tokens=tokens) for _ in range(40)], "random")
    schema = schema_for(tokenizer, stride=stride, decoder=decoder)
    features = TASK.encode(rows, tokenizer, schema, max_length)
    assert max(features.lengths) <= max_length and sum(features.n_tokens_cut) == 0
    assert set(features.example_ids) == set(range(len(rows)))
    decoded = TASK.decode(perfect_values(features, schema), features, rows, schema)
    cut = features.answers_cut["entities"]
    n_true = 0
    for row, one, n_cut in zip(rows, decoded, cut, strict=True):
        true = {(e["start"], e["end"], e["label"]) for e in row["entities"]}
        assert len(true & set(spans(one))) == len(true) - n_cut
        assert all(e["text"] == row["text"][e["start"] : e["end"]] for e in one["entities"])
        n_true += len(true)
    assert n_true > 50 and sum(cut) < n_true / 2
    if tokens:
        assert all(len(one["tags"]) == len(row["tokens"]) for row, one in zip(rows, decoded, strict=True))


def test_inputs_do_not_depend_on_the_answers(tokenizer):
    rng = random.Random(7)
    rows = [random_row(rng, tokens=False) for _ in range(30)]
    inside = [{"start": 0, "end": 6, "label": "LOC"}, {"start": 12, "end": 15, "label": "PER"}]
    rows.append({"text": "Berliner EUR500", "entities": inside})
    schema = schema_for(tokenizer)
    with_answers = TASK.encode(rows, tokenizer, schema, 16)
    without = TASK.encode([without_answers(row, TASK) for row in rows], tokenizer, schema, 16)
    assert (without.inputs, without.notes) == (with_answers.inputs, with_answers.notes)
    assert set(map(type, without.targets)) == {type(None)} and without.answers_cut == {}


def test_each_word_is_learned_once_whatever_the_windows(tokenizer):
    rows, _ = read_entity_rows([random_row(random.Random(n), tokens=True) for n in range(20)], "random")
    counts = set()
    for max_length, stride in [(512, 0), (12, 0), (12, 5), (9, 3)]:
        features = TASK.encode(rows, tokenizer, schema_for(tokenizer, stride=stride), max_length)
        counts.add(sum(tag != IGNORED for tags in features.targets for tag in tags))
    assert len(counts) == 1


def test_the_windows_of_a_long_text_share_stride_tokens(tiny_gpt2):
    tokenizer = load_tokenizer(Path(tiny_gpt2))
    row = {"text": "abcdefghij" * 4, "entities": []}
    for stride in (0, 3, 5):
        ids = TASK.encode([row], tokenizer, schema_for(tokenizer, stride=stride), 10).inputs["input_ids"]
        assert all(one[len(one) - stride :] == other[:stride] for one, other in pairwise(ids))
        assert len(ids) == {0: 4, 3: 6, 5: 7}[stride]


def test_the_tagged_token_is_the_first_or_for_a_decoder_the_last(tiny_gpt2, tiny_bert):
    tokenizer = load_tokenizer(Path(tiny_gpt2))
    row = {"text": "Ab cd", "entities": [{"start": 0, "end": 2, "label": "PER"}]}
    for decoder, expected in [(False, [3, IGNORED, IGNORED, 0, IGNORED]), (True, [IGNORED, 3, IGNORED, IGNORED, 0])]:
        assert TASK.encode([row], tokenizer, schema_for(tokenizer, decoder=decoder), 16).targets == [expected]
    from ft_toolkit.models.pretrained import read_pretrained

    for folder, which in [(tiny_gpt2, "last"), (tiny_bert, "first")]:
        pretrained = read_pretrained(Path(folder), load_tokenizer(Path(folder)))
        assert TASK.find_schema(Settings(), [FORM], None, pretrained).tagged_token == which


def test_a_boundary_inside_a_word_is_learned_and_counted_as_unreachable(tiny_gpt2):
    tokenizer = load_tokenizer(Path(tiny_gpt2))
    row = {"text": "EUR500 ok", "entities": [{"start": 3, "end": 6, "label": "PER"}]}
    features = TASK.encode([row], tokenizer, schema_for(tokenizer), 32)
    assert features.targets == [[0, -100, -100, 3, -100, -100, -100, 0, -100]]
    assert features.answers_cut == {"entities": [1]}
    assert features.notes == [[(0, 6, 0), (7, 9, 7)]]


def test_a_word_without_a_token_is_o_and_its_entity_is_missed(tiny_bert):
    tokenizer = load_tokenizer(Path(tiny_bert))
    row, _ = read({"tokens": ["New", "\x07", "York", "", "now"], "tags": ["B-LOC", "I-LOC", "I-LOC", "B-PER", "O"]})
    rows = [row]
    schema = schema_for(tokenizer)
    features = TASK.encode(rows, tokenizer, schema, 32)
    assert features.answers_cut == {"entities": [2]}
    (decoded,) = TASK.decode(perfect_values(features, schema), features, rows, schema)
    assert decoded["tags"] == ["B-LOC", "O", "B-LOC", "O", "O"]
    predictions, references = TASK.to_arrays([decoded], rows, schema)
    assert TASK.metrics(Settings())["recall"].fn(predictions, references) == 0


@pytest.mark.parametrize("text", ["", " ", "\x00"])
def test_a_text_without_words_has_no_entities(tokenizer, text):
    rows = [{"text": text, "entities": []}]
    schema = schema_for(tokenizer)
    features = TASK.encode(rows, tokenizer, schema, 16)
    assert len(features.inputs["input_ids"]) == 1 and features.inputs["input_ids"][0]
    assert TASK.decode(perfect_values(features, schema), features, rows, schema) == [{"entities": []}]


def test_a_tokenizer_without_offsets_is_refused(tiny_bert):
    class Slow:
        is_fast = False

    with pytest.raises(ModelError, match="ner requires a fast tokenizer"):
        TASK.encode([FORM], Slow(), schema_for(None), 16)


def test_an_encoder_decoder_is_refused(tiny_bert, tmp_path):
    transformers.BartConfig().save_pretrained(tmp_path)
    with pytest.raises(
        ModelError, match="ner does not support bart, which is of kind encoder-decoder; allowed: encoder, decoder"
    ):
        load_config(tmp_path, TASK, schema_for(None), load_tokenizer(Path(tiny_bert)), None)


# Decoding, scores, lexicon


def decode(tags, row, probabilities=None):
    """Return what is decoded when the model gives these tags to the words of a row."""
    schema = Schema(TYPES, 4, "first")
    from ft_toolkit.tasks.text.entities import words_of

    note = [(start, end, place) for place, (start, end) in enumerate(words_of(row))]
    values = [(np.array([schema.tags.index(t) for t in tags.split()]), np.array(probabilities or [0.5] * len(note)))]
    return TASK.decode(values, Features({}, [None], [0], [0], {}, [note]), [row], schema)[0]


def test_decoding_gives_spans_texts_and_mean_probabilities():
    row = {"text": "Zoë 👩 saw São Paulo!"}
    found = decode("B-PER I-PER O B-LOC I-LOC O", row, [0.9, 0.5, 0.1, 1.0, 0.5, 0.2])
    assert found == {
        "entities": [
            {"start": 0, "end": 5, "label": "PER", "text": "Zoë 👩", "score": 0.7},
            {"start": 10, "end": 19, "label": "LOC", "text": "São Paulo", "score": 0.75},
        ]
    }


def test_illegal_predicted_tags_are_corrected():
    row, _ = read({"tokens": ["a", "b", "c", "d", "e"]})
    found = decode("I-PER I-PER I-LOC O I-PER", row)
    assert found["tags"] == ["B-PER", "I-PER", "B-LOC", "O", "B-PER"]
    assert spans(found) == [(0, 3, "PER"), (4, 5, "LOC"), (8, 9, "PER")]
    assert decode("B-PER B-PER O O O", row)["tags"] == ["B-PER", "B-PER", "O", "O", "O"]


def test_gold_is_perfect_and_details_are_per_type():
    schema = Schema(TYPES, 4, "first")
    gold = {"entities": TASK.reference_answer(FORM, schema)}
    assert gold["entities"][0] == {"start": 0, "end": 9, "label": "PER", "text": "Anna Berg"}
    wrong = {"entities": [{**gold["entities"][0], "label": "LOC"}, gold["entities"][1]]}
    predictions, references = TASK.to_arrays([gold, wrong], [FORM, FORM], schema)
    scores = {name: metric.fn(predictions, references) for name, metric in TASK.metrics(Settings()).items()}
    assert scores == pytest.approx(
        {"f1": 0.75, "precision": 0.75, "recall": 0.75, "f1_macro": (0.8 + 2 / 3) / 2, "f1_boundary": 1.0}
    )
    assert next(iter(scores)) == "f1"
    assert all(metric.fn(references, references) == 1 for metric in TASK.metrics(Settings()).values())
    table = TASK.details(predictions, references, schema)["per_class"]
    assert table[1] == {"label": "PER", "precision": 1.0, "recall": 0.5, "f1": pytest.approx(2 / 3), "support": 2}


def test_the_lexicon_takes_the_longest_match_and_the_most_frequent_type():
    def row(text, *entities):
        places = [(text.index(t), text.index(t) + len(t), n) for t, n in entities]
        return {"text": text, "entities": [{"start": a, "end": b, "label": n} for a, b, n in places]}

    train = [row("New York", ("New York", "LOC")), row("York met New", ("York", "PER"), ("New", "LOC"))]
    train += [row("York", ("York", "LOC")), row("York", ("York", "PER")), row("a Berliner", ("Berlin", "LOC"))]
    schema = Schema(TYPES, 4, "first")
    (found,) = TASK.baselines["lexicon"].predict(train, [{"text": "New  York, York; Yorker new Berlin"}], schema, 0)
    assert spans(found) == [(0, 9, "LOC"), (11, 15, "PER"), (28, 34, "LOC")]
    given, _ = read({"tokens": ["Old", "New", "York"]})
    assert TASK.baselines["lexicon"].predict(train, [given], schema, 0)[0]["tags"] == ["O", "B-LOC", "I-LOC"]
    assert TASK.baselines["lexicon"].predict([row("x")], [{"text": "x y"}], schema, 0) == [{"entities": []}]


def test_the_lexicon_leaves_out_words_that_are_usually_no_entity():
    def row(text, *places):
        entities = [{"start": a, "end": b, "label": "LOC"} for a, b in places]
        return {"text": text, "entities": entities}

    train = [
        row("Reading is a town", (0, 7)),
        row("Reading is fun"),
        row("Reading and Bath", (12, 16)),
        row("Bath time"),
    ]
    schema = Schema(TYPES, 4, "first")
    (found,) = TASK.baselines["lexicon"].predict(train, [{"text": "Reading Bath"}], schema, 0)
    assert spans(found) == [(8, 12, "LOC")], "one of three, and one of two"


# Files and a run


def test_conll_files_reach_the_task_with_notes(tmp_path):
    (tmp_path / "train.conll").write_text("Anna\tI-PER\nBerg\tI-PER\n\nRome\tI-LOC\nOslo\tB-LOC\n", encoding="utf-8")
    (tmp_path / "test.conll").write_text("Rome\tB-LOC\nnow\tO\n", encoding="utf-8")
    train, test = str(tmp_path / "train.conll"), str(tmp_path / "test.conll")
    data = load_data(DataSection(train=train, validation=test, test=test, max_length=32), TASK, Settings())
    assert data.notes == ["train: tags follow IOB1; the model learns IOB2"]
    assert data.splits["train"][1]["entities"] == [
        {"start": 0, "end": 4, "label": "LOC"},
        {"start": 5, "end": 9, "label": "LOC"},
    ]


def test_rows_without_answers_are_refused_with_the_columns_that_were_found(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_text('{"tokens": ["a"], "ner_tags": ["O"]}\n', encoding="utf-8")
    with pytest.raises(
        DataError, match=r"ner needs the column tags or entities; columns found: tokens, ner_tags. Set its name"
    ):
        load_data(DataSection(train=str(path), validation=str(path), max_length=32), TASK, Settings())


def test_a_run_from_files_to_predictions(tmp_path, tiny_bert, write_recipe):
    """Train on the samples, predict a text and given words afresh, in characters of the text."""
    from rich.console import Console

    from ft_toolkit.api import load
    from ft_toolkit.recipe.load_recipe import load_recipe
    from ft_toolkit.runs.options import RunOptions
    from ft_toolkit.runs.run import run
    from ft_toolkit.tasks import find_tasks

    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in TASK.sample_rows(Settings())), encoding="utf-8")
    files = {name: str(path) for name in ("train", "validation", "test")}
    recipe = write_recipe(
        task={"name": "ner"},
        data={**files, "max_length": 24},
        training={"learning_rate": 1e-2, "num_train_epochs": 12, "examples_per_batch": 4},
        evaluation={"bootstrap_samples": 100, "eval_steps": 1000},
    )
    out = tmp_path / "run"
    loaded = load_recipe(recipe, [], find_tasks())
    results = run(loaded, RunOptions(output=out, resume=False, smoke=False, command="ftk", console=Console(quiet=True)))
    test = results["scores"]["test"]
    assert test["metrics"]["f1"]["value"] > 0.3
    assert list(test["baselines"]) == ["lexicon"] and {row["label"] for row in test["per_class"]} >= {"person", "place"}
    model = load(out)
    text = "👩 Anna Berg moved to Oslo in March 2019 ."
    (as_text,) = model([text])
    (as_tokens,) = model([{"tokens": text.split()}])
    assert as_text["entities"] and all(text[e["start"] : e["end"]] == e["text"] for e in as_text["entities"])
    assert as_tokens["entities"] == as_text["entities"] and len(as_tokens["tags"]) == len(text.split())
