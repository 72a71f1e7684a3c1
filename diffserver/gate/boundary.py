"""Bounds that hold however often one looks: sequential statistics for differences of means and for shares.

An interval for one look errs more often the more often it is looked at. Each of these errs with probability alpha at
all looks together. An estimate's information is 1 over the square of its standard error; as reports come in, the
evidence (information × estimate) moves as a Brownian motion does, with information for its time: C. Jennison,
B. W. Turnbull, "Group Sequential Methods", 2000, chapter 11. The bounds rest on that.
"""

from __future__ import annotations

import math

import numpy as np

_SHARES = 200
"""The number of shares that are mixed; more change no decision."""


def half_width(error: float, freedom: float, alpha: float, resolution: float) -> float:
    """Return the half width of a one-sided interval: the truth is beyond it, at any look, with probability alpha.

    Args:
        error: The estimate's standard error, above 0.
        freedom: The degrees of freedom that the error was estimated with.
        alpha: The probability, for all looks together.
        resolution: The half width at which the interval is as narrow as it can be.

    It is Robbins' normal mixture, one-sided, in information in place of a number of observations: I. Waudby-Smith,
    D. Arbour, R. Sinha, E. H. Kennedy, A. Ramdas, "Time-uniform central limit theory and asymptotic confidence
    sequences", Annals of Statistics 52 (2024).
    """
    decline = -2 * math.log(2 * alpha)
    mixed = (decline + math.log(decline + 1)) * (resolution / error) ** 2 / (2 * decline)
    normal = math.sqrt(2 * (mixed + 1) / mixed * math.log1p(math.sqrt(mixed + 1) / (2 * alpha)))
    return error * student(normal, freedom)


def evidence(failed: int, tried: int, most: float) -> float:
    """Return the evidence that the share of failures is above `most` (0 to 1): an e-value.

    Where the share is not above it, the evidence ever reaches 1/alpha with probability alpha at the most (Ville's
    inequality). It is a mixture of likelihood ratios over the shares above `most`: S. R. Howard, A. Ramdas,
    J. McAuliffe, J. Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence sequences", Annals of Statistics 49
    (2021).
    """
    shares = most + (1 - most) * (np.arange(_SHARES) + 0.5) / _SHARES
    ratios = failed * np.log(shares / most) + (tried - failed) * np.log((1 - shares) / (1 - most))
    return float(np.exp(np.minimum(ratios, 700)).mean())


def student(normal: float, freedom: float) -> float:
    """Return the quantile of Student's distribution that is as probable as one of the normal distribution.

    D. L. Wallace, "Bounds on normal approximations to Student's and the chi-square distributions", Annals of
    Mathematical Statistics 30 (1959).
    """
    exponent = (normal * (8 * freedom + 3) / (8 * freedom + 1)) ** 2 / freedom
    return math.sqrt(freedom * math.expm1(exponent)) if exponent < 100 else math.inf
