"""Case names: what identifies the case in the name of a label map.

``prediction_00210.nii.gz``, ``case_00210.nii.gz``, ``case_00210/segmentation.nii.gz`` and
``KiTS-210.nii`` are the same case: their names differ in words that name the kind of file, not the
patient. Other words (``siteA``), and further numbers (a date, a visit), belong to the case.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from functools import cached_property

from renalis.io.scan import case_id_from

__all__ = ["GENERIC", "CaseName", "case_key"]

_DATASET = re.compile(r"(kits|task|dataset)[-_]?\d+(?!\d)", re.IGNORECASE)
_YEAR_OF_KITS = re.compile(r"kits[-_]?(19|2019|21|2021|23|2023)(?!\d)", re.IGNORECASE)
_TOKEN = re.compile(r"\d+|[^\W\d_]+")

_KINDS = frozenset(
    re.findall(
        r"\w+",
        "segmentation segmentations segmented seg label labels mask masks prediction predictions "
        "pred reference references ref gt truth groundtruth ground output outputs result results "
        "rtstruct rtss annotation annotations contours",
    )
)
_REST = frozenset(
    re.findall(
        r"\w+",
        "case patient pat subject sub subj kits imaging image images img ct scan volume vol "
        "aggregated maj manual auto expert roi final nnunet unet totalsegmentator renalis",
    )
)
_KNOWN = _KINDS | _REST

GENERIC = _KINDS | {"aggregated_maj_seg", "segmentation_straight"}
"""Names of files that say what they hold; the folder says which case it is of."""


@dataclass(frozen=True)
class CaseName:
    """A name, taken apart.

    Parameters
    ----------
    given : str
        Name of the file without its ending, or of the folder where the file's says nothing.
    """

    given: str

    @cached_property
    def tokens(self) -> tuple[str, ...]:
        """Words (in small letters) and numbers (as written) that may tell the case, in order."""
        found = _TOKEN.findall(_without_datasets(unicodedata.normalize("NFC", self.given)).lower())
        telling = tuple(t for t in found if t not in _KNOWN)
        return telling or tuple(found) or (self.given.lower(),)

    @property
    def words(self) -> Counter[str]:
        """The words among the tokens."""
        return Counter(t for t in self.tokens if not t.isdecimal())

    @property
    def numbers(self) -> Counter[str]:
        """The numbers among the tokens, without leading zeros."""
        return Counter(str(int(t)) for t in self.tokens if t.isdecimal())

    @property
    def number(self) -> int | None:
        """The number that most probably counts cases: the longest as written, and the last."""
        written = [t for t in self.tokens if t.isdecimal()]
        return int(max(reversed(written), key=len)) if written else None

    @property
    def key(self) -> str:
        """Equal for names that differ only in known words, separators and leading zeros."""
        return "_".join(str(int(t)) if t.isdecimal() else t for t in self.tokens)

    @property
    def order(self) -> tuple[tuple[int, int, str], ...]:
        """Sorts cases by number where they have one, else by name."""
        return tuple((0, int(t), "") if t.isdecimal() else (1, 0, t) for t in self.tokens)

    @property
    def case_id(self) -> str:
        """The case's name in tables: KiTS's where a number is all that tells it."""
        if self.key.isdecimal():
            return f"case_{int(self.key):05d}"
        words = [w for w in re.split(r"[-_. ]+", self.given) if w]
        telling = [w for w in words if w.lower() not in _KNOWN]
        return case_id_from("_".join(telling) or self.given)

    def contradiction(self, other: CaseName) -> str:
        """Why two names with the same number are not the same case; empty if nothing says so.

        One may say more than the other (a site, a visit), but both must not say different things.
        """
        mine, theirs = self.words - other.words, other.words - self.words
        if not (mine and theirs):
            mine, theirs = self.numbers - other.numbers, other.numbers - self.numbers
        if not (mine and theirs):
            return ""
        return f"one says {', '.join(mine)!r} where the other says {', '.join(theirs)!r}"


def case_key(name: str) -> str:
    """What identifies a case in a table: its number, or what else its name tells.

    Examples
    --------
    >>> case_key("prediction_00210")
    '210'
    >>> case_key("kits19_case_00210_seg")
    '210'
    >>> case_key("img0210_0000")
    '210'
    >>> case_key("KiTS-19")
    '19'
    >>> case_key("Smith_label")
    'smith'
    >>> case_key("siteA_001"), case_key("P01_visit2")
    ('sitea_1', 'p_1_visit_2')
    """
    return CaseName(name).key


def _without_datasets(name: str) -> str:
    """The name without nnU-Net's channel and without the data set, if something is left."""
    rest = _if_telling(re.sub(r"_0000$", "", name), name)
    # "kits19_smith" names the data set and then the case; in "KiTS-19" nothing else does.
    rest = _if_telling(_YEAR_OF_KITS.sub("", rest), rest)
    # "KiTS_210" is a case, "kits19_case_00210" names the data set and then the case.
    shorter = _DATASET.sub("", rest)
    return shorter if re.search(r"\d", shorter) else rest


def _if_telling(shorter: str, name: str) -> str:
    """The shorter name if it still tells a case."""
    tokens = _TOKEN.findall(shorter.lower())
    return shorter if any(t not in _KNOWN for t in tokens) else name
