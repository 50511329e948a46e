"""Recordings of simulated people: who acts what, with whom beside, filmed and detected."""

from __future__ import annotations

import numpy as np

from recognizer.errors import UsageError
from recognizer.ingest.recorded import TEST, TRAIN, Recorded, Source
from recognizer.sequences import SequenceSet, SkeletonSequence
from recognizer.synthetic.actions import ACTIONS, fighting, standing
from recognizer.synthetic.body import Body, joints_of
from recognizer.synthetic.camera import detect, film
from recognizer.synthetic.pose import Pose, Track

SUBJECTS = 40
HELD_OUT = 5  # every fifth subject is in `test`
FRAMES = (40, 300)
RATES = (25.0, 30.0)
# 1 to 4 people in a scene; fighting needs a second one.
CROWD = (0.66, 0.22, 0.08, 0.04)
GLIMPSE = 0.1  # who is seen less than this is nobody to the tracker
LEAST = HELD_OUT * len(ACTIONS)


def generate(count: int = 1200, *, seed: int = 0) -> Recorded:
    """`count` recordings of all actions, each acted in turn by up to 40 simulated subjects.

    The first person that is generated does the action; others do the same, or stand around. Their order is random.
    Every fifth subject is held out as `test`. The same arguments give the same recordings; so does every
    recording for itself, whatever `count` is.

    Raises:
        UsageError: fewer recordings than five subjects need to act everything once.
    """
    if count < LEAST:
        raise UsageError(f"{count} synthetic recordings are too few", hint=f"ask for at least {LEAST}")
    names = tuple(ACTIONS)
    bodies = [Body.draw(np.random.default_rng([seed, 1, subject])) for subject in range(SUBJECTS)]
    sequences, split = [], {TRAIN: [], TEST: []}  # type: tuple[list[SkeletonSequence], dict[str, list[str]]]
    for index in range(count):
        label, subject = index % len(names), index // len(names) % SUBJECTS
        generator = np.random.default_rng([seed, 2, index])
        name = f"s{subject:02d}_{names[label]}_{index:05d}"
        people, main = act(names[label], bodies[subject], generator)
        pixels, shape = film(people, main, generator)
        keypoints, visibility = detect(pixels[generator.permutation(len(pixels))], shape, generator)
        there = (visibility > 0).mean(axis=(1, 2)) > GLIMPSE
        keypoints, visibility = keypoints[there], visibility[there]
        sequences.append(SkeletonSequence(name, keypoints, visibility, label, f"s{subject:02d}", shape))
        split[TEST if subject % HELD_OUT == HELD_OUT - 1 else TRAIN].append(name)
    return Recorded(
        SequenceSet(names, tuple(sequences)),
        {part: tuple(members) for part, members in split.items()},
        Source(f"synthetic, {count} recordings, seed {seed}", ""),
    )


def act(action: str, body: Body, generator: np.random.Generator) -> tuple[Track, int]:
    """Joints (M, T, 17, 3) of everybody, the actors first, and how many actors there are."""
    frames, rate = int(generator.integers(FRAMES[0], FRAMES[1] + 1)), generator.uniform(*RATES)
    seconds = np.arange(frames) / rate
    people = [joints_of(body, ACTIONS[action](body, seconds, generator), seconds)]
    crowd = int(generator.choice(len(CROWD), p=CROWD)) + 1
    if action == "fighting":
        people = _fight(body, seconds, generator)
        crowd = max(crowd, 2)
    main = len(people)
    while len(people) < crowd:
        other = Body.draw(generator)
        together = action != "fighting" and generator.random() < 0.5
        if together and len(people) == main:
            people.append(_beside(people[0], other, ACTIONS[action](other, seconds, generator), seconds, generator))
            main += 1
        else:
            people.append(_beside(people[0], other, standing(other, seconds, generator), seconds, generator))
    return np.stack(people), main


def _fight(body: Body, seconds: Track, generator: np.random.Generator) -> list[Track]:
    """Two people a step apart, facing each other, moving about a little."""
    facing, apart = generator.uniform(0, 2 * np.pi), generator.uniform(0.75, 1.15)
    fighters = []
    for fighter, turn in ((body, 0.0), (Body.draw(generator), np.pi)):
        pose = fighting(fighter, seconds, generator)
        pose.heading += facing + turn - pose.heading.mean()
        joints = joints_of(fighter, pose, seconds)
        place = -apart / 2 * np.array([np.cos(facing + turn), np.sin(facing + turn)])
        joints[:, :, :2] += place - joints[:, 15:17, :2].mean(axis=(0, 1))
        fighters.append(joints)
    return fighters


def _beside(first: Track, body: Body, pose: Pose, seconds: Track, generator: np.random.Generator) -> Track:
    """Another body, one to three metres away from where the first one mostly is."""
    joints = joints_of(body, pose, seconds)
    away, where = generator.uniform(1.0, 2.8), generator.uniform(0, 2 * np.pi)
    middle = np.median(first[:, 11:13, :2], axis=(0, 1)) + away * np.array([np.cos(where), np.sin(where)])
    joints[:, :, :2] += middle - np.median(joints[:, 11:13, :2], axis=(0, 1))
    return joints
