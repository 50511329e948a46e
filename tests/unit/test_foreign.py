"""Whether a model that was trained elsewhere takes what its task's predictor makes."""

from pathlib import Path

import numpy as np
import pytest

from flows.foreign import require_inputs
from recognizer.card import Tensor
from recognizer.errors import FormatError

ARRAYS = {"image": np.zeros((1, 3, 64, 96), np.float32), "beside": np.zeros((1, 6))}
FITS = Tensor(name="image", dtype="float32", shape=("n", 3, 64, 96))


def tensor(**changes):
    return Tensor(**{**FITS.model_dump(), **changes})


@pytest.mark.parametrize("taken", [FITS, tensor(shape=("n", 3, "h", "w")), tensor(shape=("n", 3, "h", 96))])
def test_what_the_predictor_keeps_for_itself_no_model_has_to_take(taken):
    require_inputs([taken], ARRAYS, Path("model.onnx"))


@pytest.mark.parametrize(
    "taken",
    [
        [tensor(name="picture")],
        [FITS, tensor(name="other")],
        [tensor(dtype="float64")],
        [tensor(shape=(1, 3, 64, 96))],
        [tensor(shape=("n", 3, 64))],
        [tensor(shape=("n", 3, 64, 64))],
        [FITS, tensor(name="beside")],
    ],
)
def test_what_does_not_fit(taken):
    with pytest.raises(FormatError, match=r"expected image float32 \[batch, 3, 64, 96\]"):
        require_inputs(taken, ARRAYS, Path("model.onnx"))
