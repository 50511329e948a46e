"""The actions a body can act out, each a function from body and time to angles.

Differences that tell them apart are in the movement: standing people also raise an arm, falls and sitting down begin
with standing or walking, and everything starts at a random time and faces a random way.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from recognizer.synthetic.body import Body
from recognizer.synthetic.pose import DEGREE, LEFT_SIDE, RIGHT_SIDE, Pose, Track, blend, bump, drift, rise

Action = Callable[[Body, Track, np.random.Generator], Pose]
# Upper arm forward and outward, forearm further forward and outward, in degrees.
HELD_ARMS = (
    (20, 15, 125, 10),  # telephone
    (80, 10, 5, 0),  # pointing
    (0, 75, 10, 95),  # hand up
    (-15, 40, 70, -60),  # hand on the hip
    (45, 10, 100, -15),  # reading from something held in front
)
HALF_TURN = np.array([[0.0], [np.pi]])


def standing(body: Body, seconds: Track, generator: np.random.Generator) -> Pose:
    """Upright and idle; often with one or both arms held up or bent, but still."""
    pose = _idle(body, seconds, generator)
    if generator.random() < 0.6:
        held = pose.copy()
        one = int(generator.integers(2))
        for side in (one, 1 - one) if generator.random() < 0.4 else (one,):
            angles = HELD_ARMS[generator.integers(len(HELD_ARMS))]
            for limb, angle in zip((held.shoulder, held.raised, held.elbow, held.sweep), angles, strict=True):
                limb[side] = angle * DEGREE + drift(generator, seconds, 5 * DEGREE)
        pose = blend(pose, held, _bout(pose.frames, seconds, generator))
    return pose


def walking(body: Body, seconds: Track, generator: np.random.Generator) -> Pose:
    return _gait(
        body,
        seconds,
        generator,
        pace=generator.uniform(0.75, 1.0) * body.tempo,
        swing=generator.uniform(19, 27) * DEGREE * body.vigour,
        knee=generator.uniform(45, 62) * DEGREE,
        arms=generator.uniform(8, 28) * DEGREE * body.vigour,
        elbow=generator.uniform(10, 35) * DEGREE,
        lean=generator.uniform(0, 6) * DEGREE,
        flight=0.0,
    )


def running(body: Body, seconds: Track, generator: np.random.Generator) -> Pose:
    return _gait(
        body,
        seconds,
        generator,
        pace=generator.uniform(1.3, 1.55) * body.tempo,
        swing=generator.uniform(32, 43) * DEGREE * body.vigour,
        knee=generator.uniform(80, 110) * DEGREE,
        arms=generator.uniform(25, 45) * DEGREE * body.vigour,
        elbow=generator.uniform(65, 100) * DEGREE,
        lean=generator.uniform(6, 16) * DEGREE,
        flight=generator.uniform(0.04, 0.1),
    )


def sitting_down(body: Body, seconds: Track, generator: np.random.Generator) -> Pose:
    """Stands or walks, lowers itself under control within one to two seconds and stays seated."""
    before = _upright(body, seconds, generator)
    seat = _idle(body, seconds, generator)
    depth = generator.uniform(82, 100) * DEGREE
    seat.hip += depth
    seat.knee += depth - generator.uniform(-12, 15) * DEGREE
    seat.spread += generator.uniform(0, 12) * DEGREE
    seat.lean += generator.uniform(-12, 14) * DEGREE
    seat.shoulder += generator.uniform(5, 35) * DEGREE
    seat.elbow += generator.uniform(20, 70) * DEGREE
    length = min(generator.uniform(1.0, 1.9) / body.tempo * _rate(seconds), 0.6 * len(seconds))
    start = _when(len(seconds), length, generator)
    pose = blend(before, seat, rise(len(seconds), start, length))
    pose.heading = before.heading
    # To keep the weight over the feet the trunk bows while the hips go back.
    pose.lean += generator.uniform(18, 42) * DEGREE * bump(len(seconds), start + 0.45 * length, length)
    return pose


def falling(body: Body, seconds: Track, generator: np.random.Generator) -> Pose:
    """Stands or walks, then drops within half a second to a second, faster and faster, and stays down."""
    before = _upright(body, seconds, generator)
    down = _on_the_floor(body, seconds, generator, restless=0.4)
    before.toward = down.toward
    length = min(generator.uniform(0.55, 1.0) * _rate(seconds), 0.5 * len(seconds))
    start = _when(len(seconds), length, generator)
    pose = blend(before, down, rise(len(seconds), start, length, power=1.5))
    pose.heading = before.heading
    fling = bump(len(seconds), start + 0.6 * length, length) * generator.uniform(0.4, 1.4)
    pose.raised += fling * generator.uniform(0.3, 1.0, (2, 1))
    pose.shoulder += fling * generator.uniform(0.0, 1.0, (2, 1))
    pose.knee += bump(len(seconds), start + 0.4 * length, length) * generator.uniform(0.2, 1.0)
    return pose


def lying(body: Body, seconds: Track, generator: np.random.Generator) -> Pose:
    """On the floor from first to last frame; may stir, lift an arm or roll over."""
    pose = _on_the_floor(body, seconds, generator, restless=1.0)
    if generator.random() < 0.3:
        other = _on_the_floor(body, seconds, generator, restless=1.0)
        other.heading, other.toward = pose.heading, pose.toward
        other.roll = pose.roll + generator.choice([-1.0, 1.0]) * generator.uniform(60, 180) * DEGREE
        length = generator.uniform(1.5, 3.0) * _rate(seconds)
        pose = blend(pose, other, rise(len(seconds), _when(len(seconds), length, generator), length))
    return pose


def waving(body: Body, seconds: Track, generator: np.random.Generator) -> Pose:
    """Stands; for a part of the time one raised forearm (rarely both) swings to and fro."""
    pose = _idle(body, seconds, generator)
    wave = pose.copy()
    first = RIGHT_SIDE if body.right_handed else LEFT_SIDE
    sides = (first, 1 - first) if generator.random() < 0.15 else (first,)
    pace = generator.uniform(1.2, 2.2) * body.tempo
    reach = generator.uniform(32, 52) * DEGREE * body.vigour
    phase = generator.uniform(0, 2 * np.pi)
    for side in sides:
        swing = np.sin(2 * np.pi * pace * seconds + phase)
        outward = generator.uniform(45, 120) * DEGREE
        wave.raised[side] = outward + 0.2 * reach * swing
        wave.sweep[side] = generator.uniform(150, 185) * DEGREE - outward + reach * swing
        wave.shoulder[side] = generator.uniform(-10, 25) * DEGREE
        # Nobody waves in one plane only; seen from the side, this is what shows.
        wave.elbow[side] = generator.uniform(0, 20) * DEGREE + generator.uniform(0.4, 0.7) * reach * swing
    return blend(pose, wave, _bout(len(seconds), seconds, generator, least=0.75))


def fighting(body: Body, seconds: Track, generator: np.random.Generator) -> Pose:
    """Guard up, on springy knees; punches, now and then a kick, and leaning away from the other's.

    Before and after it, the two just stand there.
    """
    frames, rate = len(seconds), _rate(seconds)
    calm = standing(body, seconds, generator)
    pose = _idle(body, seconds, generator)
    guard = np.array([[generator.uniform(35, 65)], [generator.uniform(35, 65)]]) * DEGREE
    pose.shoulder += guard
    pose.elbow += generator.uniform(85, 120) * DEGREE
    pose.raised += generator.uniform(5, 25) * DEGREE
    bounce = np.sin(2 * np.pi * generator.uniform(1.2, 2.4) * seconds)
    pose.knee += (22 + 9 * bounce) * DEGREE
    pose.hip += (18 + 6 * bounce) * DEGREE
    pose.spread += 9 * DEGREE
    pose.twist += drift(generator, seconds, 15 * DEGREE, 0.8)
    moment = generator.uniform(0.0, 0.6)
    while moment < seconds[-1]:
        side, at = int(generator.integers(2)), moment * rate
        width = generator.uniform(0.28, 0.5) * rate
        strike = bump(frames, at, width) * body.vigour
        kind = generator.random()
        if kind < 0.68:
            pose.elbow[side] -= strike * generator.uniform(70, 100) * DEGREE
            pose.shoulder[side] += strike * generator.uniform(20, 50) * DEGREE
            pose.twist += strike * (35 if side == RIGHT_SIDE else -35) * DEGREE
            pose.lean += strike * generator.uniform(4, 16) * DEGREE
        elif kind < 0.84:
            pose.hip[side] += strike * generator.uniform(50, 85) * DEGREE
            pose.lean -= strike * 16 * DEGREE
        else:
            pose.lean -= strike * generator.uniform(12, 28) * DEGREE
            pose.tilt += strike * generator.uniform(-18, 18) * DEGREE
        moment += generator.uniform(0.3, 1.0) / body.tempo
    pose.elbow = pose.elbow.clip(0, 2.6)
    calm.heading = pose.heading
    return blend(calm, pose, _bout(frames, seconds, generator, least=0.75))


ACTIONS: dict[str, Action] = {
    "standing": standing,
    "walking": walking,
    "running": running,
    "sitting_down": sitting_down,
    "falling": falling,
    "lying": lying,
    "waving": waving,
    "fighting": fighting,
}


def _rate(seconds: Track) -> float:
    return 1 / float(seconds[1] - seconds[0])


def _when(frames: int, length: float, generator: np.random.Generator) -> float:
    """Start of something `length` frames long that a viewer has to see whole."""
    return float(generator.uniform(0.1 * frames, max(0.1 * frames, 0.95 * frames - length)))


def _bout(frames: int, seconds: Track, generator: np.random.Generator, least: float = 0.35) -> Track:
    """(T,) 1 during one stretch of at least the share `least` of the time, 0 around it."""
    length = generator.uniform(least, 1.0) * frames
    start, ramp = generator.uniform(0, frames - length), 0.45 * _rate(seconds)
    begin = rise(frames, start, ramp) if start > ramp else np.ones(frames)
    ends = start + length < frames - ramp
    return np.asarray(begin * (1 - rise(frames, start + length - ramp, ramp)) if ends else begin)


def _idle(body: Body, seconds: Track, generator: np.random.Generator) -> Pose:
    """Standing with the small movements nobody can help, facing a random way."""
    pose = Pose.zero(len(seconds))
    sway = 2.5 * DEGREE * body.vigour
    pose.heading += generator.uniform(0, 2 * np.pi) + drift(generator, seconds, generator.uniform(3, 40) * DEGREE, 0.15)
    pose.lean += body.stoop + drift(generator, seconds, sway)
    pose.tilt += drift(generator, seconds, sway)
    pose.twist += drift(generator, seconds, 2 * sway)
    pose.turn += drift(generator, seconds, generator.uniform(5, 35) * DEGREE, 0.25)
    pose.nod += generator.uniform(-5, 15) * DEGREE + drift(generator, seconds, 2 * sway)
    pose.spread += generator.uniform(1, 7) * DEGREE
    pose.knee += generator.uniform(1, 10) * DEGREE + np.abs(drift(generator, seconds, sway))
    pose.hip += generator.uniform(0, 5) * DEGREE
    for side in (LEFT_SIDE, RIGHT_SIDE):
        pose.shoulder[side] += generator.uniform(-8, 14) * DEGREE + drift(generator, seconds, 2 * sway)
        pose.raised[side] += generator.uniform(4, 16) * DEGREE + drift(generator, seconds, sway)
        pose.elbow[side] += generator.uniform(4, 35) * DEGREE + drift(generator, seconds, 2 * sway)
    return pose


def _upright(body: Body, seconds: Track, generator: np.random.Generator) -> Pose:
    """What somebody does before sitting down or falling."""
    return (walking if generator.random() < 0.4 else standing)(body, seconds, generator)


def _gait(
    body: Body,
    seconds: Track,
    generator: np.random.Generator,
    *,
    pace: float,
    swing: float,
    knee: float,
    arms: float,
    elbow: float,
    lean: float,
    flight: float,
) -> Pose:
    """Steps at `pace` strides per second, thighs swinging by `swing`, arms against the legs, along a bent path."""
    pose = _idle(body, seconds, generator)
    phase = 2 * np.pi * (pace * seconds + generator.uniform()) + drift(generator, seconds, 0.3)
    legs = phase + HALF_TURN
    pose.hip += swing * np.sin(legs) + 0.15 * swing
    pose.knee += knee * np.cos(legs - 0.35).clip(0) ** 1.5
    pose.shoulder += arms * np.sin(legs + np.pi)
    pose.elbow += elbow + 0.3 * arms * np.sin(legs + np.pi)
    pose.lean += lean
    pose.twist += 0.25 * arms * np.sin(phase)
    pose.lift += flight * np.abs(np.cos(phase))
    stride = 4 * (body.thigh + body.shin) * np.sin(swing)
    pose.speed += pace * stride * (1.0 if flight == 0 else 1.1)
    # Far walks go round, so that they stay in the picture.
    way = float(pose.speed.mean() * seconds[-1])
    radius = generator.uniform(1.2, 2.6) if way > 4.5 else generator.uniform(2.0, 15.0)
    pose.heading += generator.choice([-1.0, 1.0]) * pose.speed * seconds / radius
    return pose


def _on_the_floor(body: Body, seconds: Track, generator: np.random.Generator, *, restless: float) -> Pose:
    """Lying on the back, the belly or a side, limbs anyhow."""
    pose = _idle(body, seconds, generator)
    pose.pitch += generator.uniform(84, 96) * DEGREE
    toward = generator.uniform(0, 2 * np.pi)
    pose.toward += toward
    bent = generator.uniform(0, 75, (2, 1)) * DEGREE * (generator.random() < 0.6)
    pose.knee += bent * 1.3
    # Drawing up the knees works on the back and on a side; on the belly it would lift the body off the floor.
    pose.hip += bent * (0.1 + 0.4 * (1 - np.cos(toward)))
    pose.raised += generator.uniform(0, 60, (2, 1)) * DEGREE
    pose.shoulder += generator.uniform(-10, 40, (2, 1)) * DEGREE
    pose.elbow += generator.uniform(0, 90, (2, 1)) * DEGREE
    for limb in (pose.hip, pose.knee, pose.shoulder, pose.elbow):
        for side in (LEFT_SIDE, RIGHT_SIDE):
            limb[side] += restless * drift(generator, seconds, generator.uniform(0, 9) * DEGREE)
    return pose
