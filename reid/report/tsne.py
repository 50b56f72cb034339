"""t-SNE: points of many dimensions laid out in a plane, so that near ones stay near.

Exact, of all pairs: for a picture of a thousand points at most. The start is by principal
components, so that nothing is drawn at random.

Source  van der Maaten and Hinton, Visualizing data using t-SNE, JMLR 2008
"""

from __future__ import annotations

import numpy as np

EXAGGERATED, STEPS = 150, 500  # of the descent: with attraction made stronger, and in all
EXAGGERATION = 12.0


def embed(points: np.ndarray, perplexity: float = 30.0) -> np.ndarray:
    """(N, D) points to (N, 2), N up to about 1,000. `perplexity` is how many neighbours count."""
    count = len(points)
    if count < 4:
        return np.stack([np.arange(count), np.zeros(count)], 1).astype(float)
    near = affinities(points, min(perplexity, (count - 1) / 3))
    near = ((near + near.T) / (2 * count)).clip(1e-12)  # (N, N), sums to 1; no denormal numbers
    laid = _principal(points.astype(np.float64))
    moved, gains = np.zeros_like(laid), np.ones_like(laid)
    rate = max(count / EXAGGERATION / 4, 50.0)
    for step in range(STEPS):
        early = step < EXAGGERATED
        gradient = _gradient(laid, near * (EXAGGERATION if early else 1.0))
        same = (gradient > 0) == (moved > 0)
        gains = np.where(same, gains * 0.8, gains + 0.2).clip(0.01)
        moved = (0.5 if early else 0.8) * moved - rate * gains * gradient
        laid = laid + moved
    return laid - laid.mean(0)


def affinities(points: np.ndarray, perplexity: float) -> np.ndarray:
    """(N, N): row i has the shares of i's neighbours, by a normal curve as wide as is needed.

    The curve's width is such that two to the row's entropy, in bits, is the perplexity.
    """
    from scipy.spatial.distance import cdist

    squared = cdist(points, points, "sqeuclidean")  # (N, N)
    squared /= squared.mean() or 1.0
    np.fill_diagonal(squared, np.inf)
    squared -= squared.min(1, keepdims=True)  # changes no share, and no row is all zero
    low, high = np.full((len(points), 1), -30.0), np.full((len(points), 1), 60.0)
    shares = np.empty_like(squared)
    for _ in range(40):  # halve the span of the exponent, in powers of two
        middle = (low + high) / 2
        shares = np.exp(-squared * 2.0**middle)
        shares /= shares.sum(1, keepdims=True)
        entropy = -(shares * np.log2(shares.clip(1e-300))).sum(1, keepdims=True)
        wide = entropy > np.log2(perplexity)
        low, high = np.where(wide, middle, low), np.where(wide, high, middle)
    return shares


def _principal(points: np.ndarray) -> np.ndarray:
    """(N, D) to (N, 2): the first components, small, each with its largest part positive."""
    centred = points - points.mean(0)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:2]
    axes *= np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(1)])[:, None]
    laid = np.zeros((len(points), 2))
    laid[:, : len(axes)] = centred @ axes.T
    return 1e-4 * laid / (laid[:, 0].std() or 1.0)


def _gradient(laid: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Of the divergence of the plane's affinities from `near`, (N, 2)."""
    length = (laid**2).sum(1)  # (N,)
    heavy = laid @ (-2 * laid.T)
    heavy += length[:, None] + (1 + length)  # 1 + the squared distance
    np.reciprocal(heavy, out=heavy)  # Student's t with one degree of freedom
    np.fill_diagonal(heavy, 0)
    pull = heavy * (-1 / heavy.sum())
    pull += near
    pull *= heavy
    return 4 * (pull.sum(1, keepdims=True) * laid - pull @ laid)
