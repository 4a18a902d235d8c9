"""Check names of repositories, licences and languages as the Hub does, so that a wrong one is found before training."""

import re

from ft_toolkit.core.errors import did_you_mean

# The Hub's licence identifiers, as its documentation lists them (hub/repositories-licenses, August 2026).
_LICENCES = """
afl-3.0 agpl-3.0 apache-2.0 apple-amlr apple-ascl artistic-2.0 bigcode-openrail-m bigscience-bloom-rail-1.0
bigscience-openrail-m bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 c-uda cc cc-by-2.0 cc-by-2.5 cc-by-3.0
cc-by-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0
cc-by-nc-sa-4.0 cc-by-nd-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 cdla-permissive-1.0 cdla-permissive-2.0 cdla-sharing-1.0
creativeml-openrail-m deepfloyd-if-license ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2
fair-noncommercial-research-license gemma gfdl gpl gpl-2.0 gpl-3.0 grok2-community h-research intel-research isc lgpl
lgpl-2.1 lgpl-3.0 lgpl-lr llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 lppl-1.3c mit mpl-2.0 ms-pl ncsa odbl odc-by
ofl-1.1 openmdw-1.0 openmdw-1.1 openrail openrail++ osl-3.0 other pddl postgresql unknown unlicense wtfpl zlib
"""
LICENCES = frozenset(_LICENCES.split())
# ISO 639-1.
_TWO_LETTERS = """
aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en eo es et
eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv ka kg ki kj kk kl
km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj
om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv sw ta te tg th ti tk tl tn to
tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu
"""
TWO_LETTERS = frozenset(_TWO_LETTERS.split())
# Allowed besides language codes.
_OTHER_LANGUAGES = ("multilingual", "code")
_PART = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?", re.ASCII)
_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._/-]*", re.ASCII)
_LONGEST_ID = 96


def is_hub_id(name: str) -> bool:
    """Return whether a name is valid for a repository: owner/name, or a name without owner for the oldest models."""
    parts = name.split("/")
    return (
        len(parts) <= 2
        and len(name) <= _LONGEST_ID
        and all(_PART.fullmatch(part) for part in parts)
        and not any(bad in name for bad in ("--", ".."))
        and not name.endswith(".git")
    )


def hub_id(name: str) -> str:
    """Return the name of a repository unchanged. Raises ValueError for an invalid name."""
    if not is_hub_id(name):
        raise ValueError(
            f"found {name!r}; a Hub id is required: owner/name with letters, digits, '-', '_' and '.', at most {_LONGEST_ID} "
            "characters, without '--' and '..', and without '-' or '.' at the start or end of a part"
        )
    return name


def data_set(name: str) -> str:
    """Return the name of a data set, with or without @REVISION, unchanged. Raises ValueError for an invalid name."""
    repo, at, revision = name.partition("@")
    hub_id(repo)
    if at and not _REVISION.fullmatch(revision):
        raise ValueError(f"found {name!r}; '@' must be followed by a branch, a tag or a commit")
    return name


def owned_id(name: str) -> str:
    """Return the name of a repository unchanged. Raises ValueError for an invalid name or one without owner."""
    if "/" not in hub_id(name):
        raise ValueError(f"found {name!r}; the owner is missing: owner/{name}")
    return name


def split_revision(name: str) -> tuple[str, str | None]:
    """Return repository and revision of owner/name@revision; the revision is None if there is no @."""
    repo, _, revision = name.partition("@")
    return repo, revision or None


def revision_name(name: str) -> str:
    """Return the name of a branch or tag unchanged. Raises ValueError for an invalid name."""
    if not _REVISION.fullmatch(name) or name.startswith("refs/") or name.endswith(("/", ".", ".lock")) or ".." in name:
        raise ValueError(f"found {name!r}; the name of a branch or tag is required, such as main or v1.0")
    return name


def licence(name: str) -> str:
    """Return the Hub's identifier of a licence unchanged. Raises ValueError for an unknown licence."""
    if name not in LICENCES:
        raise ValueError(
            f"found {name!r}; a licence identifier of the Hub is required, such as apache-2.0, mit, cc-by-4.0 or other (see "
            f"huggingface.co/docs/hub/repositories-licenses).{did_you_mean(name.lower(), sorted(LICENCES))}"
        )
    return name


def language(code: str) -> str:
    """Return a language code unchanged: ISO 639-1 (two letters), or any three letters. Raises ValueError."""
    three = len(code) == 3 and code.isascii() and code.isalpha() and code.islower()
    if code not in TWO_LETTERS and code not in _OTHER_LANGUAGES and not three:
        raise ValueError(
            f"found {code!r}; an ISO 639 code is required, such as en, de or nds, or one of {', '.join(_OTHER_LANGUAGES)}"
        )
    return code
