"""What Collins, Sohl-Dickstein & Sussillo (2017) printed, to stand beside what is measured here."""

SOURCE = "Collins et al. 2017"

BITS_PER_PARAMETER = "3 to 6, about 5 for larger networks; ReLU and IRNN about 3.5"
"""Section 2.1.2 and Figure 1."""

CAPACITY_ORDER = ("rnn", "ugrnn", "gru", "lstm", "intersection")
"""From more to less, section 2.1.2; the IRNN is below them all."""

INFEASIBLE: dict[tuple[str, int], float] = {
    ("gru", 1): 0.155,
    ("irnn", 1): 0.567,
    ("lstm", 1): 0.120,
    ("rnn", 1): 0.215,
    ("ugrnn", 1): 0.202,
    ("intersection", 8): 0.088,
    ("gru", 8): 0.032,
    ("irnn", 8): 0.446,
    ("lstm", 8): 0.040,
    ("rnn", 8): 0.187,
    ("ugrnn", 8): 0.115,
}
"""Table 1: fraction of 1000 random sets of hyperparameters that diverged, by cell and depth; parentheses, 200k parameters."""

_PAIRS = (
    ("intersection", "gru"), ("intersection", "irnn"), ("intersection", "lstm"), ("intersection", "rnn"),
    ("intersection", "ugrnn"), ("gru", "irnn"), ("gru", "lstm"), ("gru", "rnn"), ("gru", "ugrnn"), ("irnn", "lstm"),
    ("irnn", "rnn"), ("irnn", "ugrnn"), ("lstm", "rnn"), ("lstm", "ugrnn"), ("rnn", "ugrnn"),
)  # fmt: skip
_T1 = (-7.74, -6.65, -26.5, -4.11, 2.23, -12.7, 4.03, -19.6, 2.25, 20.7)
_T8 = (-23.6, -25.7, -26.1, -25.8, -24.3, -3.51, -4.84, -3.93, -1.13, -2.04, -0.571, 2.37, 1.53, 3.81, 2.81)

WELCH: dict[tuple[str, str, int], float] = {
    **{(*pair, 1): t for pair, t in zip(_PAIRS[5:], _T1, strict=True)},
    **{(*pair, 8): t for pair, t in zip(_PAIRS, _T8, strict=True)},
}
"""Appendix Table 2: t of Welch's test of evaluation losses, by pair and depth; below 0 where the second's mean is larger."""

RERUNS: dict[str, tuple[float, float, float, float, float]] = {
    "rnn": (1.16e-2, 0.0, 1.41e-2, 8.21e-2, 0.294),
    "irnn": (4.20e-4, 0.48, 2.24e-4, 5.02e-4, 8.69e-4),
    "ugrnn": (1.02e-4, 0.0, 3.66e-5, 2.71e-4, 6.06e-3),
    "gru": (2.80e-4, 0.01, 7.66e-5, 1.89e-4, 5.48e-4),
    "lstm": (7.96e-4, 0.0, 8.10e-4, 2.02e-3, 1.45e-2),
}
"""Appendix Table 1, parentheses, 100k parameters, depth 1: original loss, fraction infeasible, minimum, mean, maximum."""


def welch_t(first: str, second: str, depth: int) -> float | None:
    """The printed t for a pair in either order."""
    found = WELCH.get((first, second, depth))
    other = WELCH.get((second, first, depth))
    return found if found is not None else None if other is None else -other
