"""What a request comes to: how many glances and looks to aim for, and when an answer may stop."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from avgn_edge._base.arguments import whole
from avgn_edge._base.errors import BudgetError, BundleError
from avgn_edge.runtime.budget import smallest
from avgn_edge.runtime.exits import DELTA, ExitRules
from avgn_edge.runtime.options import Options

if TYPE_CHECKING:
    from avgn_edge.bundle.calibration_tables import OperatingPoint
    from avgn_edge.bundle.manifest import Manifest
    from avgn_edge.runtime.budget import Budget

_CALIBRATE = "run avgn-edge calibrate BUNDLE --data CLIPS"
_TOLERANCE = 0.05
"""How far outside the calibrated averages an average may lie that is asked for."""


@dataclass(frozen=True)
class Strategy:
    """What options come to with a bundle: how each clip is gone about."""

    glances: int
    """T_G, where the budget reaches."""
    looks: int
    """k, where the budget reaches."""
    rules: ExitRules
    options: Options = Options()  # noqa: RUF009 - frozen
    """What was asked for."""
    points: tuple[OperatingPoint, ...] = ()
    """What did best under which limit of compute; empty where T_G or k was asked for, or no limit was."""
    notes: tuple[str, ...] = ()
    """What a user should know of it."""
    plans: dict[int, Any] = field(default_factory=dict, init=False, compare=False, repr=False)
    """What the policy has planned so far, by how many moments are heard: the same for every clip."""
    batched: bool = True
    """Whether looks between which nothing can end the clip run together; one by one, each step has its own price."""


def strategy(manifest: Manifest, precision: str, options: Options) -> Strategy:
    """Decide what the options come to with a bundle in a precision.

    ArgumentError for more glances or looks than there are moments, BudgetError for a request that makes no sense or
    a budget that does not cover listening, BundleError for one that needs a calibrated bundle.
    """
    own, moments = manifest.settings, manifest.preprocessing.moments
    glances = own.glances if options.glances is None else whole("glances", options.glances, 0, moments)
    looks = own.looks if options.looks is None else whole("looks", options.looks, 1, moments)
    budget, risk = options.budget, options.exit_risk
    least = manifest.cost[manifest.network.listener].macs(moments)
    if budget.macs is not None and budget.macs < least:
        why = "listening to a clip alone costs more"
        raise BudgetError(f"budget {budget.asked}", why, f"give at least {smallest(least)}")
    measured = measured_precision(manifest, precision)
    if options.average is not None:
        if risk is not None or options.glances is not None or options.looks is not None:
            why = "it decides by itself how many glances and looks there are, and when they end"
            raise BudgetError(f"average {options.average.asked}", why, "leave the exit risk, T_G and k out")
        point, notes = _average_point(manifest, measured, options.average)
        if measured != precision:
            notes += (f"the average was measured in {measured}, this is {precision}",)
        rules = ExitRules(manifest.exits, measured, thresholds=point.thresholds)
        return Strategy(point.glances, point.looks, rules, options, notes=notes)
    rules = ExitRules(manifest.exits, measured, risk=risk)
    notes = () if risk is None else _risk_notes(manifest, precision, rules, risk, glances)
    if budget.macs is None or options.glances is not None or options.looks is not None:
        return Strategy(glances, looks, rules, options, notes=notes)
    points = tuple(
        point for point in manifest.operating_points if point.precision == measured and point.thresholds is None
    )
    return Strategy(glances, looks, rules, options, points, notes)


def measured_precision(manifest: Manifest, precision: str) -> str:
    """Return the precision whose tables hold for `precision`: its own, for fp16 without any those of fp32."""
    return "fp32" if precision == "fp16" and "fp16" not in manifest.exits.tables else precision


def _risk_notes(manifest: Manifest, precision: str, rules: ExitRules, risk: float, glances: int) -> tuple[str, ...]:
    if not 0.0 <= risk < 1.0:
        raise BudgetError(f"exit risk {risk:g}", "it is a share of clips", "give 0 or more, and less than 1")
    if not rules.calibrated:
        raise BundleError(f"exit risk {risk:g}", f"the bundle's exits are not calibrated in {precision}", _CALIBRATE)
    if not rules.certifies(glances):
        return (f"no early exit: the calibration clips certify none at a risk of {risk:g}",)
    measured = measured_precision(manifest, precision)
    if measured != precision:
        return (f"the exit risk was measured in {measured}, this is {precision}",)
    return ()


def _average_point(manifest: Manifest, precision: str, average: Budget) -> tuple[OperatingPoint, tuple[str, ...]]:
    asked = f"average {average.asked}"
    if average.macs is None:
        raise BudgetError(asked, "an average is of compute", "write it as 1gflops or 250mflops")
    points = [
        point for point in manifest.operating_points if point.precision == precision and point.thresholds is not None
    ]
    if not points:
        raise BundleError(asked, f"the bundle has no operating points in {precision}", _CALIBRATE)
    macs = average.macs
    within = [point for point in points if point.mean_macs <= macs * (1 + _TOLERANCE)]
    if not within:
        least = math.ceil(min(point.mean_macs for point in points) / 1e6)
        raise BudgetError(asked, "no operating point costs so little", f"give at least {least}mflops")
    nearest = min(within, key=lambda point: abs(math.log(point.mean_macs) - math.log(macs)))
    if macs <= nearest.mean_macs * (1 + _TOLERANCE):
        return nearest, ()
    spent = f"{nearest.mean_macs / 1e9:.3g}gflops"
    whole = nearest.mean_macs == max(point.mean_macs for point in points)
    what = "the whole network spends" if whole else "the nearest operating point spends"
    return nearest, (f"{what} {spent} on average, less than the {average.asked} asked for",)


def promise(risk: float) -> str:
    """Say what an exit risk promises, and what it does not."""
    return (
        f"in at most {risk:.1%} of clips like the calibration clips does stopping early change the answer "
        f"(with {1 - DELTA:.0%} confidence over the choice of those clips)"
    )
