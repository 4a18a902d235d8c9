"""First names of different origins, and gendered English words; written for this project."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


# In lower case. No name is also a common English word, and no name is common for both genders.
FEMALE_NAMES = _words(
    """
    emily sarah jessica laura hannah emma olivia charlotte margaret elizabeth susan karen linda julia rachel
    maria carmen lucia sofia isabella valentina camila fatima aisha layla zainab khadija yasmin noor leila
    mei ling xiu yuki sakura haruka naoko jiwoo soojin priya ananya lakshmi deepika sunita kavita anjali
    ngozi adaeze chioma amara wanjiru thandiwe makena zanele latoya keisha tamika ebony shanice
    olga natasha svetlana katarzyna agnieszka ingrid astrid greta freya chantal amelie giulia chiara
    """
)
MALE_NAMES = _words(
    """
    james john robert michael david william richard thomas daniel matthew andrew peter george edward henry
    jose carlos luis diego javier alejandro miguel mohammed ahmed omar hassan ibrahim mustafa khalid yusuf
    wei jian hiroshi kenji takeshi haruto minho jihoon arjun rahul vikram sanjay amit rajesh
    chukwuemeka oluwaseun kwame kofi kamau sipho tendai jamal darnell tyrone deshawn malik
    ivan dmitri sergei pawel tomasz lars sven erik bjorn pierre jacques giovanni lorenzo stefan
    """
)

# Each word of a pair is replaced by the other. Words with two counterparts (her, his) are handled in perturb.gender.
_PAIRS = """
    he she, himself herself, man woman, men women, boy girl, boys girls, father mother, fathers mothers, dad mom, dads moms,
    daddy mommy, son daughter, sons daughters, brother sister, brothers sisters, husband wife, husbands wives, uncle aunt,
    uncles aunts, nephew niece, nephews nieces, grandfather grandmother, grandfathers grandmothers, grandson granddaughter,
    grandpa grandma, boyfriend girlfriend, boyfriends girlfriends, gentleman lady, gentlemen ladies, king queen,
    prince princess, actor actress, actors actresses, waiter waitress, hero heroine, male female, males females, widower widow,
    guy gal, businessman businesswoman, policeman policewoman, spokesman spokeswoman, mr ms
"""
_SPLIT = [_words(pair) for pair in _PAIRS.split(",")]
GENDERED: dict[str, str] = {
    **{pair[0]: pair[1] for pair in _SPLIT},
    **{pair[1]: pair[0] for pair in _SPLIT},
    "him": "her",
    "hers": "his",
    "mrs": "mr",
}

# A word that follows `her` or `his` where these do not precede a noun: "saw her and left", "the book is his but".
NOT_A_NOUN = frozenset(
    _words(
        """
    a an the this that these those and or but nor so yet if when while because as than though although until unless since
    at by for from in into of off on onto out over to toward towards under up with without about above across after against
    along among around before behind below beneath beside between beyond down during inside near outside past through
    is are was were be been being am has have had do does did will would can could shall should may might must not
    who whom whose which what where why how there here then now again too also alone away back just only very
    he she it they we you i him them us me
    """
    )
)
