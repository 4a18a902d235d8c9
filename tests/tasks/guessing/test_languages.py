"""The language of texts, from scripts and frequent words."""

import pytest

from ft_toolkit.tasks.guessing.languages import language_of

TEXTS = {
    "en": "The lamp that I bought is broken and you have not answered my letter.",
    "de": "Die Lampe ist kaputt und ich habe keine Antwort auf den Brief.",
    "fr": "La lampe est cassée et les vendeurs ne répondent pas dans le magasin.",
    "es": "La lámpara está rota y los vendedores no contestan en la tienda.",
    "ja": "ランプが壊れました。返事をください。",
    "zh": "灯坏了请尽快回复。",
    "ko": "램프가 고장났습니다.",
    "ru": "Лампа сломалась, ответьте на письмо.",
    "uk": "Лампа зламалася, відповідайте на лист її власника.",
    "ar": "المصباح مكسور ولم يرد أحد",
    "fa": "چراغ شکسته است و پاسخی نیست",
    "th": "โคมไฟเสีย",
    "hi": "दीपक टूट गया है",
}


@pytest.mark.parametrize(("code", "text"), TEXTS.items())
def test_the_language_of_a_text(code: str, text: str) -> None:
    assert language_of([text] * 3) == code


def test_ascii_without_frequent_words_counts_as_english_and_no_letters_as_unknown() -> None:
    assert language_of(["raleigh federal savings bank qtr net"]) == "en"
    assert language_of(["12 34", ""]) is None
    assert language_of([]) is None
    assert language_of(["Łóżko żółte źródło"]) is None
