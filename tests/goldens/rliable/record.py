"""Records what the rliable package computes of score matrices, for tests/it/suite.rs.

    python3 -m venv VENV && VENV/bin/pip install rliable==1.2.0 "pandas<3"
    VENV/bin/python record.py >scores.json
"""

import json

import numpy as np
from rliable import library, metrics

REPS = 4_000
THRESHOLDS = [-0.5, 0.0, 0.25, 0.5, 0.75, 1.0]


def matrices():
    """Pairs of score matrices (seeds × environments): random ones, with ties, of a single environment."""
    rng = np.random.default_rng(7)
    for seeds, environments in [(5, 3), (3, 10), (10, 4), (4, 1), (7, 2)]:
        spread = rng.uniform(0.1, 1.0, environments)
        x = rng.normal(0.6, spread, (seeds, environments))
        y = rng.normal(0.5, spread, (seeds + 1, environments))
        yield x, y
        yield np.round(x, 1), np.round(y, 1)
    same = np.round(rng.normal(0.5, 0.2, (4, 3)), 2)
    yield same, same.copy()
    yield np.ones((3, 3)), np.zeros((3, 3))


def intervals(scores, statistic):
    """Point estimates and 95 % intervals."""
    points, ends = library.get_interval_estimates(
        {"x": scores}, statistic, reps=REPS, random_state=np.random.RandomState(1)
    )
    return points["x"].tolist(), ends["x"].T.tolist()


def figures(scores):
    return np.array([
        metrics.aggregate_iqm(scores),
        metrics.aggregate_median(scores),
        metrics.aggregate_mean(scores),
        metrics.aggregate_optimality_gap(scores),
    ])


def record(x, y):
    points, ends = intervals(x, figures)
    improvement = float(metrics.probability_of_improvement(x, y))
    both, over = library.get_interval_estimates(
        {"x": (x, y)},
        lambda a, b: np.array([metrics.probability_of_improvement(a, b)]),
        reps=1_000,
        random_state=np.random.RandomState(1),
    )
    return {
        # Environment by environment.
        "x": x.T.tolist(),
        "y": y.T.tolist(),
        "figures": points,
        "intervals": ends,
        "improvement": improvement,
        "improvement_interval": over["x"][:, 0].tolist(),
        "profile": [float(library.run_score_deviation(x, tau)) for tau in THRESHOLDS],
    }


print(json.dumps({"thresholds": THRESHOLDS, "pairs": [record(x, y) for x, y in matrices()]}, indent=1))
