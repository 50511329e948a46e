"""Golden images: a few in which everybody has to be found, and nobody besides, whatever a model's averages say.

They lie as shards (`recognizer.pose.shards`) in `data/golden/pose`, those of made-up people in its folder `synthetic`.
"""

from __future__ import annotations

from pathlib import Path

from recognizer.digest import sha256_bytes, sha256_file
from recognizer.errors import FormatError
from recognizer.evaluator import GoldenSet
from recognizer.golden import SYNTHETIC, golden_files
from recognizer.pose.shards import Shard
from recognizer.scenes import Scene


def read_golden_scenes(folder: Path | None, *, synthetic: bool) -> GoldenSet:
    """The golden images of a folder; none where there is none.

    Args:
        synthetic: whether the model learned from made-up people; only such a model is asked for them.

    Raises:
        FormatError: a shard cannot be read, or two images have one name; names the file.
    """
    scenes: list[Scene] = []
    origin: dict[str, str] = {}
    left_out, said = 0, ""
    for path in golden_files(folder, "*.shard"):
        shard = Shard(path)
        if path.parent.name == SYNTHETIC and not synthetic:
            left_out += len(shard)
            continue
        said += f"{path.name}\0{sha256_file(path)}\n"
        for scene in shard:
            if scene.name in origin:
                raise FormatError(
                    f"holds image {scene.name!r}, which {origin[scene.name]} holds too",
                    where=str(path),
                    hint="give every golden image a name of its own",
                )
            origin[scene.name] = path.name
            scenes.append(scene)
    return GoldenSet(tuple(scenes), left_out, sha256_bytes(said.encode()))
