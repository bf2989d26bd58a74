"""Whether a name from outside tells who the patient is, known by hashes of identifiers only."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Sequence

__all__ = ["hashed", "identifiers", "is_child", "owner_of", "tells_patient"]

_APOSTROPHE = re.compile("['`\u00b4\u02bc\u2018\u2019]")
_LETTERS = re.compile(r"[^\W\d_]+")
_TOKENS = re.compile(r"[^\W_]+")
_CAMEL = re.compile(r"(?<=[a-z\u00df-\u00f6\u00f8-\u00ff])(?=[A-Z\u00c0-\u00d6\u00d8-\u00de])")
_WITHOUT_MARKS = str.maketrans({"\u00f8": "o", "\u00e6": "ae", "\u0153": "oe", "\u0142": "l"})
_SHORTEST_ID = 4
_HOSPITAL_NUMBER = re.compile(r"[^\W\d_]{0,2}\d{6,}[^\W\d_]?")
"""What hospitals give; pseudonyms of studies (KiTS-00210, sub-012) are what users go by."""
_MOST_JOINED = 4
_ADULT = {"D": 16 * 365, "W": 16 * 52, "M": 16 * 12, "Y": 16}
"""From how many days, weeks, months or years on a patient is as large as an adult, about."""


def hashed(word: str) -> str:
    """An identifier as it may be kept in memory: comparable, not readable."""
    return hashlib.sha256(word.encode("utf-8", "surrogatepass")).hexdigest()


def owner_of(patient_id: str) -> str:
    """Short hash of a PatientID, by which studies of two patients are told apart."""
    return hashed(f"owner {patient_id}")[:16] if patient_id else ""


def is_child(age: str) -> bool:
    """Whether a PatientAge (0010,1010) is below 16 years; not of what is no age, as 000Y is not.

    >>> [is_child(age) for age in ("015Y", "016Y", "030M", "012D", "000Y", "015", "")]
    [True, False, True, True, False, False, False]
    """
    known = re.fullmatch(r"(\d{1,3})([DWMY])", age.strip().upper())
    if known is None or not int(known[1]):
        return False
    return int(known[1]) < _ADULT[known[2]]


def identifiers(name: str, patient_id: str, birth_date: str) -> frozenset[str]:
    """Hashes of all by which `tells_patient` recognizes a patient.

    Parameters
    ----------
    name : str
        PatientName (0010,0010) with its carets.
    patient_id : str
        PatientID (0010,0020); ignored if it looks like a study's pseudonym: fewer than six digits
        in a row, or more than two letters before them.
    birth_date : str
        PatientBirthDate (0010,0030), YYYYMMDD.

    Returns
    -------
    frozenset of str
        Hashes of the words of the name, the ID, and the date in two orders.
    """
    # O'Neil is found in folders named ONeil and O_Neil.
    known = {_name_hash(w) for text in _apostrophes(name) for w in _LETTERS.findall(_plain(text))}
    number = "".join(_TOKENS.findall(_plain(patient_id)))
    if _HOSPITAL_NUMBER.fullmatch(number):
        known |= {_id_hash(n) for n in (number, number.lstrip("0")) if len(n) >= _SHORTEST_ID}
    if re.fullmatch(r"\d{8}", birth_date):
        known |= {_id_hash(birth_date), _id_hash(birth_date[6:] + birth_date[4:6] + birth_date[:4])}
    return frozenset(known)


def tells_patient(text: str, known: frozenset[str]) -> bool:
    """Whether a name of a folder or file holds an identifier of the patient.

    Words of the name count by themselves when they have three letters (two, if not Latin);
    shorter ones when another word of the name is there as well. Words may be joined in any order.

    Parameters
    ----------
    text : str
        The name.
    known : frozenset of str
        From `identifiers`.
    """
    if not known:
        return False
    words = [_plain(word) for word in _LETTERS.findall(_CAMEL.sub("_", text))]
    names = {w for w in _joined(words) if _name_hash(w) in known}
    if any(len(w) >= (3 if w.isascii() else 2) for w in names):
        return True
    if len(names) > 1 and sum(map(len, names)) >= 3:
        return True
    runs = [*words, *(_plain(run) for run in _LETTERS.findall(text))]
    if any(_is_made_of_names(run, known) for run in runs):
        return True
    tokens = _TOKENS.findall(_plain(text))
    numbers = [*_joined(tokens), *re.findall(r"\d+", text)]
    return any(
        _id_hash(n) in known for t in numbers for n in (t, t.lstrip("0")) if len(n) >= _SHORTEST_ID
    )


def _is_made_of_names(run: str, known: frozenset[str]) -> bool:
    """Whether a run of letters is nothing but words of the name, as in ``MUSTERERIKA``."""
    if len(run) < 3:
        return False
    ends = {0}
    longest = 0
    for end in range(1, len(run) + 1):
        starts = [s for s in ends if _name_hash(run[s:end]) in known]
        if starts:
            ends.add(end)
            longest = max(longest, end - min(starts))
    return len(run) in ends and longest >= 2  # initials alone make up too many words


def _joined(words: Sequence[str]) -> Iterator[str]:
    """Each word, and each few neighbouring ones as one."""
    for start in range(len(words)):
        for end in range(start + 1, min(len(words), start + _MOST_JOINED) + 1):
            yield "".join(words[start:end])


def _apostrophes(name: str) -> tuple[str, str]:
    """A name without apostrophes, and with its words parted there."""
    return _APOSTROPHE.sub("", name), _APOSTROPHE.sub(" ", name)


def _plain(text: str) -> str:
    """Small letters without accents, however the accents are stored."""
    marked = unicodedata.normalize("NFKD", text.casefold().translate(_WITHOUT_MARKS))
    bare = "".join(c for c in marked if not unicodedata.combining(c))
    return unicodedata.normalize("NFC", bare)


def _name_hash(word: str) -> str:
    # Umlauts are written as one letter or two: Müller, Mueller and Muller are one.
    return hashed("name " + re.sub(r"(?<=[aou])e", "", word))[:16]


def _id_hash(number: str) -> str:
    return hashed("id " + number)[:16]
