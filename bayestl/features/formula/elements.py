"""Symbols of the chemical elements, and the error of a text that is no formula."""

from __future__ import annotations


def words(text: str) -> frozenset[str]:
    """The words of a text."""
    return frozenset(text.split())


_SYMBOLS = (
    "H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr Rb Sr Y Zr Nb Mo Tc "
    "Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi "
    "Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm Md No Lr Rf Db Sg Bh Hs Mt Ds Rg Cn Nh Fl Mc Lv Ts Og"
)
SYMBOLS = tuple(_SYMBOLS.split())
"""Symbols of the elements, by atomic number."""
ISOTOPES = {"D": "H", "T": "H"}
"""Isotopes with symbols of their own, and their elements."""
ATOMIC_NUMBER = {symbol: z for z, symbol in enumerate(SYMBOLS, 1)}
NONMETALS = words("H He B C N O F Ne Si P S Cl Ar Ge As Se Br Kr Sb Te I Xe At Rn Ts Og D T")


class FormulaError(ValueError):
    """A formula does not parse, or a feature of it is unknown; in a column the message names the rows."""


class Fault(Exception):
    """Why a text is not read as a formula, at which of its characters (from 0), and whether it may be a misprint."""

    def __init__(self, reason: str, place: int | None = None, misprint: bool = False) -> None:
        super().__init__(reason, place)
        self.misprint = misprint
        self.reason = reason if place is None else f"{reason} (character {place + 1})"
