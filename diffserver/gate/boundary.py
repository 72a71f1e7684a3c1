"""Bounds that hold however often one looks: sequential statistics for differences of means and for shares.

An interval for one look errs more often the more often it is looked at. Each of these errs with probability alpha at
all looks together. An estimate's information is 1 over the square of its standard error; as reports come in, the
evidence (information × estimate) moves as a Brownian motion does, with information for its time: C. Jennison,
B. W. Turnbull, "Group Sequential Methods", 2000, chapter 11. The bounds rest on that.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

_NORMAL = NormalDist()

_POWER = 0.95
"""The probability with which a plan shows what there is to be shown, at its end."""

_SPENT = ((0.8, 1), (0.2, 4))
"""The share of alpha that is spent until so many times the planned information is there."""

_SHARES = 200
"""The number of shares that are mixed; more change no decision."""


def planned(error: float, freedom: float, alpha: float, margin: float) -> float:
    """Return the half width of a one-sided interval that is to show that something is less than a margin away.

    Args:
        error: The estimate's standard error, above 0.
        freedom: The degrees of freedom that the error was estimated with.
        alpha: The probability that the truth is ever beyond the interval.
        margin: What is to be shown: the plan is for the information that shows it with a probability of 95 % where
            the truth is 0.

    The evidence is compared with a constant (P. C. O'Brien, T. R. Fleming, Biometrics 35, 1979), in its limit of ever
    so many looks, where the probability follows from the reflection principle. Beyond four times the planned
    information nothing is said.
    """
    information = 1 / error**2
    quantiles = [_NORMAL.inv_cdf(1 - share * alpha / 2) for share, _ in _SPENT]
    plan = ((quantiles[0] + _NORMAL.inv_cdf(_POWER)) / margin) ** 2
    for quantile, (_, times) in zip(quantiles, _SPENT, strict=True):
        if information <= times * plan:
            return error * student(quantile * math.sqrt(times * plan / information), freedom)
    return math.inf


def open_ended(error: float, freedom: float, alpha: float, resolution: float) -> float:
    """Return the half width of a one-sided interval without an end; it is tightest at about the given resolution.

    Robbins' normal mixture, one-sided, in information in place of a number of observations: I. Waudby-Smith, D. Arbour,
    R. Sinha, E. H. Kennedy, A. Ramdas, "Time-uniform central limit theory and asymptotic confidence sequences", Annals
    of Statistics 52 (2024). The arguments are those of `planned`.
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
