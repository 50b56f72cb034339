"""Learning rates over the epochs, as a share of a paper's learning rate: pure functions.

`epoch` counts from 0 and may be fractional, as the trainer gives it at every step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

RISE = 0.3  # share of the epochs in which `one_cycle` rises
START = 0.04  # where `one_cycle` begins


def steps(epoch: float, every: int, factor: float) -> float:
    """1, times `factor` after each `every` epochs."""
    return factor ** (int(epoch) // every)


def warm_up_and_steps(
    epoch: float, warm_up: int, start: float, milestones: Sequence[int], factor: float
) -> float:
    """From near `start` evenly up to 1 in epoch number `warm_up`, then by `factor` at milestones.

        share(e) = start (1 - e / warm_up) + e / warm_up        for e < warm_up
        share(e) = factor ^ (number of milestones <= e)         from there on

    e = 1, 2, ... is the number of the epoch; its share holds for the whole epoch. The published
    scheduler steps at the start of every epoch, so none runs at `start` itself. Milestones inside
    the warm-up count there, too. Source: Luo et al., CVPRW 2019 ("Bag of tricks"), its published
    scheduler.
    """
    number = int(epoch) + 1
    rising = number / warm_up if number < warm_up else 1.0
    fallen = factor ** sum(milestone <= number for milestone in milestones)
    return (start * (1 - rising) + rising) * fallen


def one_cycle(epoch: float, epochs: int) -> float:
    """Half a cosine up from 0.04 to 1 in 0.3 of the epochs, half a cosine down to zero.

    No paper here has it: it is for short trainings from scratch, which get nowhere by steps.
    """
    done = epoch / epochs
    phase = done / RISE if done < RISE else (1 - done) / (1 - RISE)  # 0 to 1 to 0
    start = START if done < RISE else 0.0
    return start + (1 - start) * (1 - math.cos(math.pi * phase)) / 2
