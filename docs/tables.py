"""Makes the tables of the pages in ``docs/data``: formulas of real compounds, invented values; ``python docs/tables.py``."""

from pathlib import Path

import numpy as np
import pandas as pd

DATA = Path(__file__).parent / "data"
NEGATIVITY = {
    "F": 3.98,
    "Cl": 3.16,
    "Br": 2.96,
    "I": 2.66,
    "O": 3.44,
    "S": 2.58,
    "Se": 2.55,
    "Te": 2.10,
    "N": 3.04,
    "P": 2.19,
    "As": 2.18,
    "Sb": 2.05,
}
METALS = {
    "Li": (0.98, 2), "Na": (0.93, 3), "K": (0.82, 4), "Rb": (0.82, 5), "Cs": (0.79, 6), "Mg": (1.31, 3), "Ca": (1.00, 4), "Ba": (0.89, 6),
    "Zn": (1.65, 4), "Cd": (1.69, 5), "Hg": (2.00, 6), "Al": (1.61, 3), "Ga": (1.81, 4), "In": (1.78, 5), "B": (2.04, 2), "Pb": (1.87, 6),
}  # fmt: skip
PERIOD = {"F": 2, "O": 2, "N": 2, "Cl": 3, "S": 3, "P": 3, "Br": 4, "Se": 4, "As": 4, "I": 5, "Te": 5, "Sb": 5}
PAIRS = [
    *[(m, x) for m in ("Li", "Na", "K", "Rb", "Cs") for x in ("F", "Cl", "Br", "I")],
    *[(m, x) for m in ("Mg", "Ca", "Zn", "Cd", "Hg") for x in ("O", "S", "Se", "Te")],
    *[(m, x) for m in ("B", "Al", "Ga", "In") for x in ("N", "P", "As", "Sb")],
]


def gaps() -> pd.DataFrame:
    """56 binary compounds: a gap by PBE for all, by HSE for some, measured for a few."""
    rng = np.random.default_rng(12)
    rows = []
    for metal, partner in PAIRS:
        negativity, period = METALS[metal]
        difference, size = NEGATIVITY[partner] - negativity, period + PERIOD[partner]
        true = 0.2 + np.logaddexp(0.0, 1.15 * difference**1.6 + 14.0 / size - 1.8 + 0.3 * rng.standard_normal())
        pbe = 0.68 * true - 0.1 + 0.12 * rng.standard_normal()
        hse = 0.92 * true + 0.05 * rng.standard_normal()
        rows.append((f"{metal}{partner}", pbe, hse, true + 0.05 * rng.standard_normal()))
    table = pd.DataFrame(rows, columns=["formula", "pbe_gap", "hse_gap", "expt_gap"])
    values = ["pbe_gap", "hse_gap", "expt_gap"]
    table[values] = table[values].clip(lower=0.05).round(2)
    table = table.iloc[rng.permutation(len(table))].reset_index(drop=True)
    table.loc[sorted(rng.permutation(56)[28:]), "hse_gap"] = np.nan
    table.loc[sorted(rng.permutation(56)[20:]), "expt_gap"] = np.nan
    return table


def films() -> pd.DataFrame:
    """48 sputtered films of ZnO with aluminium: resistivity with limits, haze with zeros, colour, laboratory."""
    rng = np.random.default_rng(3)
    n = 48
    temperature, pressure, aluminium = rng.uniform(300, 700, n), rng.uniform(0.2, 4.0, n), rng.uniform(0.0, 6.0, n)
    heat = (temperature - 500) / 200
    resistivity = np.exp(1.1 - 0.9 * heat + 0.25 * (aluminium - 3.0) ** 2 + 0.15 * rng.standard_normal(n))
    roughness = 2.0 + 2.5 * heat + 0.6 * pressure + 0.4 * rng.standard_normal(n)
    haze = np.where(roughness > 2.5, 0.8 * (roughness - 2.2), 0.0)
    darkness = 0.5 * aluminium - 0.9 * heat + 0.4 * rng.standard_normal(n)
    shown = resistivity.round(2).astype(object)
    shown[resistivity > 10] = ">10"
    shown[rng.permutation(n)[:8]] = None
    colour = np.select([darkness > 2.0, darkness > 0.9], ["brown", "yellow"], "clear").astype(object)
    colour[rng.permutation(n)[:18]] = None
    table = pd.DataFrame(
        {
            "film": [f"F{i + 1:02d}" for i in range(n)],
            "temperature_K": temperature.round(),
            "pressure_Pa": pressure.round(2),
            "aluminium_percent": aluminium.round(1),
            "laboratory": rng.choice(["north", "south"], n),
            "resistivity_mohm_cm": shown,
            "haze_percent": haze.round(2),
            "colour": colour,
        }
    )
    table.loc[rng.permutation(n)[:12], "haze_percent"] = np.nan
    return table


if __name__ == "__main__":
    gaps().to_csv(DATA / "gaps.csv", index=False)
    films().to_csv(DATA / "films.csv", index=False)
