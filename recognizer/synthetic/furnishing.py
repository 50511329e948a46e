"""Which things stand in a scene: under people who sit, behind everybody, in front of somebody, close to the camera."""

from __future__ import annotations

import numpy as np

from recognizer.synthetic.arrangement import Actor
from recognizer.synthetic.canvas import Outline, Shape, outline
from recognizer.synthetic.light import Light
from recognizer.synthetic.pose import Track
from recognizer.synthetic.things import HIDING, STANDING_BEHIND, Placed, seat, shapes_of
from recognizer.synthetic.view import NEAREST, View
from recognizer.synthetic.wardrobe import dyed

MOST_BEHIND = 5
IN_FRONT = (0.52, 0.34, 0.14)  # shares of 0 to 2 things in front of somebody
FRAMED = 0.12  # share of scenes that are seen past something close to the camera
CLOSER = (0.3, 1.6)  # metres that a thing in front stands nearer to the camera than somebody's hips


def behind(view: View, light: Light, actors: list[Actor], wall: float, generator: np.random.Generator) -> list[Shape]:
    """Seats of those who sit, and furniture between the farthest person and the wall, `wall` metres away."""
    found = []
    for actor in actors:
        if actor.seated and generator.random() < 0.85:
            thing = seat(max(0.1, float(actor.joints[11:13, 2].mean()) - 0.1), generator)
            # Whoever sits on it is painted over it, all of them.
            depth = float(view.seen(actor.joints)[..., 2].max()) + 0.25
            found.append(Placed(thing, _spot(actor.place), generator.uniform(0, np.pi), depth=depth))
    far = max(float(actor.joints[:, 0].max()) for actor in actors)
    for _ in range(int(generator.integers(MOST_BEHIND + 1))):
        thing = STANDING_BEHIND[generator.integers(len(STANDING_BEHIND))](generator)
        ahead = generator.uniform(far + 0.3, max(wall, far + 0.5))
        aside = generator.uniform(-0.55, 0.55) * view.shape[1] / view.focal * ahead
        depth = float(view.seen(np.array([far, 0, 1.0]))[2]) + ahead
        found.append(Placed(thing, (ahead, aside), generator.normal(0, 0.5), _grain(generator), depth))
    return shapes_of(found, view, light)


def in_front(view: View, light: Light, actors: list[Actor], generator: np.random.Generator) -> list[Shape]:
    """Things that hide a part of somebody."""
    found = []
    for _ in range(int(generator.choice(len(IN_FRONT), p=IN_FRONT))):
        actor = actors[generator.integers(len(actors))]
        thing = HIDING[generator.integers(len(HIDING))](generator)
        far = float(np.hypot(*actor.place))
        nearer = min(generator.uniform(*CLOSER), 0.5 * far)
        place = actor.place * (1 - nearer / far) + np.array([0.0, generator.normal(0, 0.35)])
        found.append(Placed(thing, _spot(place), generator.normal(0, 0.4), _grain(generator)))
    shapes = shapes_of(found, view, light)
    return [*shapes, _frame(view, generator)] if generator.random() < FRAMED else shapes


def _frame(view: View, generator: np.random.Generator) -> Shape:
    """A bar across the picture, or the blunt corner of something, close to the camera."""
    height, width = view.shape
    size = np.array([width, height])
    if generator.random() < 0.5:
        middle, angle = generator.uniform(0, 1, 2) * size, generator.choice([0, np.pi / 2]) + generator.normal(0, 0.12)
        along = 2 * max(size) * np.array([np.cos(angle), np.sin(angle)])
        beside = generator.uniform(0.01, 0.05) * min(size) * np.array([-np.sin(angle), np.cos(angle)])
        line = _quad(middle - along, middle + along, beside)
    else:
        corner = generator.integers(0, 2, 2) * size
        turn = np.linspace(0, 2 * np.pi, 11, endpoint=False) + generator.uniform(0, 1)
        reach = generator.uniform(0.12, 0.36) * min(size) * generator.uniform(0.85, 1.15, 11)
        line = outline(corner + reach[:, None] * np.stack([np.cos(turn), np.sin(turn)], axis=1))
    return Shape(depth=NEAREST, layers=[(line, dyed(generator, 0.3))], pattern=_grain(generator))


def _spot(place: Track) -> tuple[float, float]:
    return float(place[0]), float(place[1])


def _quad(start: Track, end: Track, beside: Track) -> Outline:
    return outline(np.stack([start + beside, start - beside, end - beside, end + beside]))


def _grain(generator: np.random.Generator) -> float:
    return float(generator.uniform(2, 12) if generator.random() < 0.8 else generator.uniform(12, 50))
