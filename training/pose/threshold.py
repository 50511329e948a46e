"""From which score on somebody found is shown: chosen where labels are known, on the validation set."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recognizer.evaluation.oks import HIT, oks
from recognizer.scenes import FoundPeople, People

FALLBACK = 0.3
"""Where nobody was found at all."""
LEAST, MOST = 0.05, 0.9


def best_threshold(people: Sequence[People], found: Sequence[FoundPeople]) -> float:
    """The score with the best F1: of people with a labelled person of OKS 0.5, and of labelled people with such a one.

    Rounded to a hundredth, as more digits would say something of these very pictures alone.
    """
    scores, right = [np.zeros(0)], [np.zeros(0, np.bool_)]
    for who, one in zip(people, found, strict=True):
        free = who.counted.copy()
        similar = oks(one, who)
        hit = np.zeros(len(one), np.bool_)
        for place in range(len(one)):  # the surest first
            best = int(np.where(free, similar[place], -1).argmax()) if free.any() else -1
            if best >= 0 and similar[place, best] >= HIT:
                free[best], hit[place] = False, True
        scores.append(one.scores.astype(np.float64))
        right.append(hit)
    every, hits = np.concatenate(scores), np.concatenate(right)
    if not hits.any():
        return FALLBACK
    wanted = sum(int(who.counted.sum()) for who in people)
    candidates = np.arange(round(LEAST * 100), round(MOST * 100) + 1) / 100
    f1 = [2 * (hits & (every >= at)).sum() / ((every >= at).sum() + wanted) for at in candidates]
    return float(candidates[int(np.argmax(f1))])
