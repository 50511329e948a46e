"""Who does what where: people of one cast in a room, and a camera that sees them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from recognizer.synthetic.actions import ACTIONS
from recognizer.synthetic.body import joints_of
from recognizer.synthetic.pose import DEGREE, Pose, Track
from recognizer.synthetic.view import View
from recognizer.synthetic.wardrobe import MEMBERS, Outfit, Person, cast_of

CROWD = (0.3, 0.3, 0.22, 0.18)  # shares of 1 to 4 people, before those who would hardly be seen are left out
# How often each action is acted; upright ones look much the same in one picture.
SHARES = {
    "standing": 0.2, "walking": 0.16, "running": 0.1, "sitting_down": 0.16,
    "falling": 0.1, "lying": 0.08, "waving": 0.08, "fighting": 0.12,
}  # fmt: skip
SECONDS = np.arange(30) / 7.5
# Acting takes longer than painting: everybody acts everything a few times, and scenes take instants of that.
TAKES, KEPT_TAKES = 3, 6000
SIZES = (0.28, 1.25)  # a standing person's height as a share of the picture's, for the first one
OTHERS = (0.22, 1.5)  # and for the others
BODY = 1.71  # metres that these are for
APART, APART_LYING = 0.42, 0.7  # metres between the middles of two people
TRIES = 8
FOCAL = (0.75, 1.9)  # as a share of the picture's height
LOOSE = 0.4  # share of takes in which arms and legs are somewhere that no action has them
HIGH = (2.0, 3.8)  # metres of a camera on the wall; the others are held by somebody
HELD = (0.6, 1.9)


@dataclass(frozen=True)
class Actor:
    """One person in one instant.

    Attributes:
        joints: (17, 3) metres in the room.
        action: the name of what the person does.
    """

    person: Person
    outfit: Outfit
    joints: Track
    action: str

    @property
    def place(self) -> Track:
        """(2,) the middle of the hips on the floor."""
        return np.asarray((self.joints[11, :2] + self.joints[12, :2]) / 2)

    @property
    def seated(self) -> bool:
        """Whether the hips are about as low as the knees and the trunk is upright."""
        hips, knees = self.joints[11:13, 2].mean(), self.joints[13:15, 2].mean()
        return bool(hips < knees + 0.16 and hips > 0.3 and self.joints[5:7, 2].mean() > hips + 0.3)


def arrange(seed: int, cast: int, shape: tuple[int, int], generator: np.random.Generator) -> tuple[View, list[Actor]]:
    """A camera and one to four members of a cast, the first well inside the picture of (height, width)."""
    count = int(generator.choice(len(CROWD), p=CROWD)) + 1
    members = [(seed, cast, member) for member in generator.permutation(MEMBERS)[:count].tolist()]
    actions = [str(name) for name in generator.choice(list(SHARES), count, p=list(SHARES.values()))]
    height, width = shape
    focal = float(np.exp(generator.uniform(*np.log(FOCAL)))) * height
    size = float(np.exp(generator.uniform(*np.log(SIZES))))
    far = focal * BODY / (size * height)
    first = _posed(members[0], actions[0], generator)
    middle = float(first.joints[:, 2].mean())
    view = _camera(far, middle, focal, shape, generator)
    ahead = float(np.sqrt(far**2 - (view.place[2] - middle) ** 2))
    aside = (generator.uniform(0.12, 0.88) - 0.5) * width / focal * far
    actors = [_moved(first, np.array([ahead, -aside]))]
    for member, action in zip(members[1:], actions[1:], strict=True):
        partner = actors[0] if "fighting" in (action, actors[0].action) and len(actors) == 1 else None
        other = _posed(member, "fighting" if partner else action, generator)
        put = _opposite(other, partner, generator) if partner else _somewhere(other, actors, view, generator)
        if put is not None:
            actors.append(put)
    return view, actors


def _camera(far: float, middle: float, focal: float, shape: tuple[int, int], generator: np.random.Generator) -> View:
    """On the wall or held, aimed so that somebody `far` metres away, `middle` metres up, is in the picture."""
    high = generator.uniform(*(HIGH if generator.random() < 0.55 else HELD))
    rise = float(np.clip(high - middle, -0.3 * far, 0.75 * far))  # not from straight above
    aim = generator.uniform(-0.22, 0.25) * shape[0] / focal
    roll = generator.normal(0, 2) if generator.random() < 0.85 else generator.normal(0, 10)
    return View.towards_x(middle + rise, float(np.arcsin(rise / far) + np.arctan(aim)), roll * DEGREE, focal, shape)


def _posed(who: tuple[int, int, int], action: str, generator: np.random.Generator) -> Actor:
    """An instant of a member (seed, cast, number) doing something at the origin, facing any way."""
    person = cast_of(who[0], who[1])[who[2]]
    track = _take(*who, action, int(generator.integers(TAKES)))
    joints = _turned(track[generator.integers(len(track))], generator.uniform(0, 2 * np.pi))
    return Actor(person, person.outfits[generator.integers(len(person.outfits))], joints, action)


@lru_cache(maxsize=KEPT_TAKES)
def _take(seed: int, cast: int, member: int, action: str, number: int) -> NDArray[np.float32]:
    """(T, 17, 3) joints of a member of a cast who acts something."""
    generator = np.random.default_rng([seed, 14, cast, member, list(ACTIONS).index(action), number])
    body = cast_of(seed, cast)[member].body
    pose = ACTIONS[action](body, SECONDS, generator)
    if generator.random() < LOOSE:
        _loosen(pose, generator)
    return joints_of(body, pose, SECONDS).astype(np.float32)


def _turned(joints: Track, angle: float) -> Track:
    """Joints (17, 3) turned about the vertical, from x towards y."""
    cos, sin = np.cos(angle), np.sin(angle)
    turned = joints.astype(np.float64)
    turned[:, :2] = turned[:, :2] @ np.array([[cos, sin], [-sin, cos]])
    return turned


def _loosen(pose: Pose, generator: np.random.Generator) -> None:
    """Arms anywhere an arm gets to, legs a little apart, head turned; in place."""
    for side in range(2):
        if generator.random() < 0.7:
            pose.shoulder[side] = generator.uniform(-35, 160) * DEGREE
            pose.raised[side] = generator.uniform(-10, 110) * DEGREE
            pose.elbow[side] = generator.uniform(0, 130) * DEGREE
            pose.sweep[side] = generator.uniform(-50, 40) * DEGREE
        pose.hip[side] += generator.normal(0, 10) * DEGREE
        pose.spread[side] += abs(generator.normal(0, 8)) * DEGREE
    pose.lean += generator.normal(0, 12) * DEGREE
    pose.turn += generator.normal(0, 25) * DEGREE
    pose.nod += generator.normal(0, 12) * DEGREE


def _moved(actor: Actor, place: Track) -> Actor:
    joints = actor.joints.copy()
    joints[:, :2] += place - actor.place
    return replace(actor, joints=joints)


def _opposite(actor: Actor, other: Actor, generator: np.random.Generator) -> Actor:
    """A step in front of somebody, face to face."""
    facing = _faces(other.joints)
    joints = _turned(actor.joints, facing + np.pi - _faces(actor.joints) + generator.normal(0, 0.25))
    apart = generator.uniform(0.65, 1.15)
    return _moved(replace(actor, joints=joints), other.place + apart * np.array([np.cos(facing), np.sin(facing)]))


def _faces(joints: Track) -> float:
    """The way a trunk faces on the floor, from x towards y."""
    x, y = joints[11, :2] - joints[12, :2]
    return float(np.arctan2(-x, y))


def _somewhere(actor: Actor, others: list[Actor], view: View, generator: np.random.Generator) -> Actor | None:
    """Beside somebody or anywhere in the picture; None where no place of a few is free and in sight."""
    height, width = view.shape
    for _ in range(TRIES):
        if generator.random() < 0.5:
            away, angle = generator.uniform(0.5, 1.6), generator.uniform(0, 2 * np.pi)
            beside = others[generator.integers(len(others))].place
            place = beside + away * np.array([np.cos(angle), np.sin(angle)])
        else:
            size = float(np.exp(generator.uniform(np.log(0.24), np.log(1.1))))
            far = view.focal * BODY / (size * height)
            place = np.array([far, (generator.uniform(0.0, 1.0) - 0.5) * width / view.focal * far])
        low = "lying" in (actor.action, *(other.action for other in others))
        near = min(float(np.hypot(*(place - other.place))) for other in others)
        seen = view.seen(np.array([place[0], place[1], 0.9]))
        column, row = view.pixels(seen)
        size = float(view.scale(seen)) * BODY / height
        inside = 0 < column < width and -0.05 * height < row < 1.05 * height
        if near > (APART_LYING if low else APART) and inside and OTHERS[0] < size < OTHERS[1] and seen[2] > 0.6:
            return _moved(actor, place)
    return None
