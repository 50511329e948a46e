"""The images that a COCO file labels, as scenes: read one at a time, and checked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from recognizer.errors import FormatError, InputError, RecognizerError, UsageError
from recognizer.images import decode
from recognizer.ingest.coco import CocoImage, CocoPeople
from recognizer.scenes import Scene

NAMED = 3


def find_images(labelled: CocoPeople, folder: Path) -> tuple[CocoImage, ...]:
    """Every image of the file, all of which lie in the folder.

    Raises:
        UsageError: there is no such folder.
        InputError: images are missing; names some.
    """
    if not folder.is_dir():
        raise UsageError("no such folder of images", where=str(folder), hint="name it with --images DIR")
    missing = [image.name for image in labelled.images if not (folder / image.name).is_file()]
    if missing:
        more = f" and {len(missing) - NAMED:,} more" if len(missing) > NAMED else ""
        raise InputError(
            f"{len(missing):,} of {len(labelled.images):,} images are not there: {', '.join(missing[:NAMED])}{more}",
            where=str(folder),
            hint="name the folder that holds them with --images DIR, or take them out of the file",
        )
    return labelled.images


def read_images(images: tuple[CocoImage, ...], folder: Path) -> Iterator[Scene]:
    """The scenes of images, each read, decoded once to see that it is whole, and of the size that the file says.

    Raises:
        InputError: an image cannot be read or decoded; FormatError: it has another size.
    """
    for image in images:
        path = folder / image.name
        try:
            content = path.read_bytes()
            shape = decode(content).shape[:2]
        except OSError as error:
            raise InputError(f"cannot be read: {error.strerror}", where=str(path), hint="check its rights") from error
        except RecognizerError as error:
            raise InputError(error.what, where=str(path), hint="put the image right, or take it out") from error
        if shape != image.shape:
            raise FormatError(
                f"is {shape[1]} x {shape[0]} pixels, the labels are for {image.shape[1]} x {image.shape[0]}",
                where=str(path),
                hint="give the images that were labelled",
            )
        yield Scene(image.name, content, image.shape, image.people)
