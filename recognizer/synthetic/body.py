"""A body: bone lengths and habits of one person, and where its 17 joints are for given angles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recognizer.skeleton import JOINTS
from recognizer.synthetic.pose import DEGREE, Pose, Track

# Metres a joint stays above the floor when the body lies on it, in COCO order.
THICKNESS = np.array(
    [0.04, 0.06, 0.06, 0.07, 0.07, 0.08, 0.08, 0.05, 0.05, 0.04, 0.04, 0.10, 0.10, 0.06, 0.06, 0.08, 0.08]
)
TRUNK = [5, 6, 11, 12]
# Eyes and ears from the middle of the head, as shares of the body's height: forward, left, up.
NOSE, EYE, EAR = (0.062, 0.0, 0.0), (0.048, 0.019, 0.021), (0.0, 0.045, 0.010)


@dataclass(frozen=True)
class Body:
    """One person.

    Shares of the height follow Drillis and Contini (1966), varied from person to person.

    Attributes:
        height: metres; the other lengths in metres too.
        tempo: how fast this person does everything, around 1.
        vigour: how large its movements are, around 1.
        stoop: how far the spine leans when at rest, radians.
        right_handed: which hand waves and punches first.
    """

    height: float
    torso: float
    neck: float
    shoulders: float
    hips: float
    upper_arm: float
    forearm: float
    thigh: float
    shin: float
    tempo: float
    vigour: float
    stoop: float
    right_handed: bool

    @classmethod
    def draw(cls, generator: np.random.Generator) -> Body:
        """A random grown-up or youth between 1.45 and 1.98 m."""
        height = float(np.clip(generator.normal(1.71, 0.11), 1.45, 1.98))
        varied = height * generator.normal(1, 0.045, 8).clip(0.88, 1.12)
        return cls(
            height=height,
            torso=0.288 * float(varied[0]),
            neck=0.105 * float(varied[1]),
            shoulders=0.225 * float(varied[2]),
            hips=0.150 * float(varied[3]),
            upper_arm=0.180 * float(varied[4]),
            forearm=0.150 * float(varied[5]),
            thigh=0.245 * float(varied[6]),
            shin=0.246 * float(varied[7]),
            tempo=float(generator.uniform(0.85, 1.18)),
            vigour=float(generator.uniform(0.82, 1.2)),
            stoop=float(generator.uniform(-0.04, 0.16)),
            right_handed=bool(generator.random() < 0.85),
        )


def joints_of(body: Body, pose: Pose, seconds: Track) -> Track:
    """(T, 17, 3) joints in metres; the floor is z = 0, and the body rests on it unless `pose.lift` says no.

    The feet stay where they are (their middle follows the path walked), so that bending, sitting and falling
    move the body and not the floor.
    """
    whole = _about_z(pose.heading + pose.toward) @ _about_y(pose.pitch) @ _about_z(pose.roll - pose.toward)
    spine = whole @ _about_y(pose.lean) @ _about_x(pose.tilt) @ _about_z(pose.twist)
    head = spine @ _about_z(pose.turn) @ _about_y(pose.nod)
    skull = _put(spine, (0.0, 0.0, body.torso + body.neck))
    joints = np.zeros((pose.frames, len(JOINTS), 3))
    joints[:, 0] = skull + _put(head, _scaled(NOSE, body.height))
    for side, sign in enumerate((1.0, -1.0)):
        joints[:, 1 + side] = skull + _put(head, _scaled(EYE, body.height, sign))
        joints[:, 3 + side] = skull + _put(head, _scaled(EAR, body.height, sign))
        shoulder = _put(spine, (0.0, sign * body.shoulders / 2, body.torso))
        upper = _limb(spine, pose.shoulder[side], pose.raised[side], sign)
        fore = _limb(spine, pose.shoulder[side] + pose.elbow[side], pose.raised[side] + pose.sweep[side], sign)
        joints[:, 5 + side] = shoulder
        joints[:, 7 + side] = shoulder + body.upper_arm * upper
        joints[:, 9 + side] = joints[:, 7 + side] + body.forearm * fore
        hip = _put(whole, (0.0, sign * body.hips / 2, 0.0))
        joints[:, 11 + side] = hip
        joints[:, 13 + side] = hip + body.thigh * _limb(whole, pose.hip[side], pose.spread[side], sign)
        shin = _limb(whole, pose.hip[side] - pose.knee[side], pose.spread[side], sign)
        joints[:, 15 + side] = joints[:, 13 + side] + body.shin * shin
    joints[:, :, :2] += (_path(pose, seconds) - joints[:, 15:17, :2].mean(axis=1))[:, None]
    _settle(joints, pose)
    return joints


def _settle(joints: Track, pose: Pose) -> None:
    """Put the body on the floor, in place: on its lowest joint while upright, on its trunk once it has tipped over.

    Limbs that would then reach into the floor are laid on it.
    """
    depth = joints[:, :, 2] - THICKNESS
    tipped = np.clip((pose.pitch / DEGREE - 50) / 30, 0, 1)
    ground = (1 - tipped) * depth.min(axis=1) + tipped * depth[:, TRUNK].min(axis=1)
    joints[:, :, 2] += (pose.lift - ground)[:, None]
    np.maximum(joints[:, :, 2], THICKNESS, out=joints[:, :, 2])


def _path(pose: Pose, seconds: Track) -> Track:
    """(T, 2) the place on the floor that walking at `speed` along `heading` leads to, from (0, 0)."""
    step = np.diff(seconds, prepend=seconds[0]) * pose.speed
    return np.cumsum(np.stack([step * np.cos(pose.heading), step * np.sin(pose.heading)], axis=1), axis=0)


def _scaled(offset: tuple[float, float, float], height: float, sign: float = 1.0) -> tuple[float, float, float]:
    return offset[0] * height, sign * offset[1] * height, offset[2] * height


def _put(turn: Track, offset: tuple[float, float, float]) -> Track:
    return np.asarray(turn @ np.array(offset))


def _limb(turn: Track, forward: Track, outward: Track, sign: float) -> Track:
    """(T, 3) unit vector of a hanging bone swung forward and outward in the frame `turn` (T, 3, 3)."""
    bone = np.stack(
        [np.sin(forward) * np.cos(outward), sign * np.sin(outward), -np.cos(forward) * np.cos(outward)], axis=1
    )
    return np.asarray((turn @ bone[:, :, None])[:, :, 0])


def _turned(angle: Track, first: int, second: int) -> Track:
    """(T, 3, 3) rotation that takes axis `first` towards axis `second`."""
    turn = np.broadcast_to(np.eye(3), (len(angle), 3, 3)).copy()
    turn[:, first, first] = turn[:, second, second] = np.cos(angle)
    turn[:, second, first] = np.sin(angle)
    turn[:, first, second] = -np.sin(angle)
    return turn


def _about_x(angle: Track) -> Track:
    return _turned(angle, 2, 1)  # a positive tilt goes to the left


def _about_y(angle: Track) -> Track:
    return _turned(angle, 2, 0)  # a positive pitch, lean or nod goes forward


def _about_z(angle: Track) -> Track:
    return _turned(angle, 0, 1)  # a positive heading, twist or turn goes to the left
