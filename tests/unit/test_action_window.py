"""What a client may send to the action door, and what it hears when it sends something else."""

import gc
import io
import json
import pickle
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from recognizer.errors import FormatError, InputError, RecognizerError, UnsupportedMedia
from serving.action.body import read_npy, read_window
from serving.action.window import make_window

JSON, NPY = "application/json", "application/x-npy"


def people(m=1, t=3, channels=2):
    points = np.random.default_rng(0).uniform(1, 500, (m, t, 17, channels)).astype(np.float32)
    if channels == 3:
        points[..., 2] = 0.5
    return points


def npy(array, **options):
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def npy_header(text):
    padded = text.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded


def as_json(**fields):
    return json.dumps({name: np.asarray(value).tolist() for name, value in fields.items()}).encode()


@pytest.mark.parametrize(
    ("body", "media_type"),
    [
        (as_json(keypoints=people(2)), JSON),
        (as_json(keypoints=people(2), visibility=np.ones((2, 3, 17))), JSON),
        (npy(people(2)), NPY),
        (npy(people(2)), "application/octet-stream"),
        (npy(people(2).astype(np.float64)), NPY),
        (npy(people(2).astype(">f4")), NPY),
        (npy(np.asfortranarray(people(2))), NPY),
    ],
)
def test_the_same_window_by_every_way(body, media_type):
    window, canary = read_window(body, media_type)
    assert not canary
    np.testing.assert_allclose(window.keypoints, people(2), rtol=1e-6)
    assert window.keypoints.dtype == window.visibility.dtype == np.float32
    np.testing.assert_array_equal(window.visibility, np.ones((2, 3, 17)))


@pytest.mark.parametrize(("field", "canary"), [({}, False), ({"canary": False}, False), ({"canary": True}, True)])
def test_the_wish_for_the_challenger(field, canary):
    body = json.dumps({"keypoints": people().tolist(), **field}).encode()
    assert read_window(body, JSON)[1] is canary


@pytest.mark.parametrize("value", [1, "yes", None])
def test_a_wish_that_is_neither_true_nor_false(value):
    with pytest.raises(FormatError, match="neither true nor false"):
        read_window(json.dumps({"keypoints": people().tolist(), "canary": value}).encode(), JSON)


@pytest.mark.parametrize("channels", [2, 3])
def test_one_person_needs_no_axis_for_people(channels):
    window = make_window(people(1, 5, channels)[0])
    assert window.keypoints.shape == (1, 5, 17, 2)
    assert window.visibility.shape == (1, 5, 17)


def test_third_channel_is_visibility():
    assert set(make_window(people(channels=3)).visibility.ravel()) == {0.5}


def test_without_visibility_zero_zero_is_not_seen():
    points = people()
    points[0, 1, 4] = 0
    points[0, 2, 5, 0] = 0  # only x is zero: on the left edge of the picture
    visibility = make_window(points).visibility
    assert visibility[0, 1, 4] == 0
    assert visibility.sum() == 3 * 17 - 1


def test_integers_are_numbers_too():
    assert make_window(np.ones((1, 2, 17, 2), np.int64)).keypoints.dtype == np.float32


def with_value(value, channels=2, channel=0):
    points = people(channels=channels)
    points[0, 1, 7, channel] = value
    return points


@pytest.mark.parametrize(
    ("points", "visibility", "says"),
    [
        (people()[:, :, :16], None, "16 joints"),
        (np.ones((1, 3, 133, 3)), None, "133 joints"),
        (people()[0, 0], None, r"shape \[17, 2\]"),
        (people()[None], None, "expected"),
        (np.ones((1, 3, 17, 4)), None, "expected"),
        (np.ones((0, 3, 17, 2)), None, "0 people"),
        (np.ones((2, 0, 17, 2)), None, "0 frames"),
        (with_value(np.nan), None, "person 0, frame 1, left_elbow"),
        (with_value(np.inf), None, "NaN or infinite"),
        (np.full((1, 3, 17, 2), 1e300), None, "infinite"),
        (with_value(np.nan, 3, 2), None, "NaN"),
        (with_value(1.5, 3, 2), None, r"to 1\.5"),
        (with_value(-0.1, 3, 2), None, r"from -0\.1"),
        (people(), np.full((1, 3, 17), 2.0), "clip"),
        (people(), np.ones((1, 2, 17)), r"shape \[1, 2, 17\]"),
        (people(), np.full((1, 3, 17), np.nan), "NaN"),
        (people(), np.array("yes"), "no array of numbers"),
        (people(channels=3), np.ones((1, 3, 17)), "given twice"),
        (np.zeros((1, 3, 17, 2)), None, "no joint is seen"),
        (people(), np.zeros((1, 3, 17)), "no joint is seen"),
        (np.ones((1, 3, 17, 2), complex), None, "no array of numbers"),
        (np.array(None), None, "no array of numbers"),
    ],
)
def test_refused_windows(points, visibility, says):
    with pytest.raises(InputError, match=says) as caught:
        make_window(points, visibility)
    assert caught.value.where in ("keypoints", "visibility")
    assert caught.value.hint


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"[1, 2",
        b"[]",
        b"null",
        b'"https://example.org/window.json"',
        b'{"points": []}',
        b'{"keypoints": [], "visibilty": []}',
        b'{"keypoints": "http://169.254.169.254/"}',
        b'{"keypoints": {"a": 1}}',
        b'{"keypoints": [[1, 2], [3]]}',
        b'{"keypoints": [["1", "2"]]}',
        b'{"keypoints": [[null]]}',
        b'{"keypoints": [1e999]}',
        b'{"keypoints": [' + b"9" * 400 + b"]}",
        b'{"keypoints": ' + b"[" * 100 + b"]" * 100 + b"}",
        b'{"keypoints": ' + b"[" * 100_000,
        b'{"keypoints": []}',
        b'{"keypoints": [[[]]]}',
        b"\xff\xfe",
        as_json(keypoints=people()).replace(b"[[[[", b"[[[[NaN, 1], ["),
        as_json(keypoints=people()).replace(b"[[[[", b"[[[[Infinity, 1], ["),
    ],
)
def test_refused_json(body):
    with pytest.raises(InputError) as caught:
        read_window(body, JSON)
    assert caught.value.hint


def test_nan_in_json_is_named():
    body = as_json(keypoints=with_value(np.nan))
    assert b"NaN" in body
    with pytest.raises(InputError, match="person 0, frame 1, left_elbow"):
        read_window(body, JSON)


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (b"", "not .npy"),
        (b"PK\x03\x04", "not .npy"),
        (b"\x93NUMPY", "not .npy"),
        (b"\x93NUMPY\x09\x00" + b"\0" * 100, "not .npy"),
        (npy(people())[:-1], "holds"),
        (npy(people()) + b"x", "holds"),
        (npy(people())[:50], "not .npy"),
        (npy(np.array([{"a": 1}], object), allow_pickle=True), "never unpickled"),
        (npy(np.array(["a"])), "expected numbers"),
        (npy(np.ones(3, dtype=[("a", "f4")])), "expected numbers"),
        (npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 17, 2), }"), "takes"),
        (npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (True, True, 17, 2), }"), "whole numbers"),
        (npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': tuple([1, 1]), }"), "not .npy"),
        (npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 17, 2), }") + b"\0" * 136, "negative"),
        (npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 17, 2), }"), "shape"),
        (npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (" + "1, " * 20 + "), }"), "shape"),
        (npy_header("{'descr': '|O', 'fortran_order': False, 'shape': (1, 17, 2), }") + pickle.dumps(1), "unpickled"),
        (npy_header("__import__('os').abort()"), "not .npy"),
        (npy_header("{'shape': (1,)}"), "not .npy"),
    ],
)
def test_refused_npy(body, says):
    with pytest.raises(FormatError, match=says) as caught:
        read_npy(body)
    assert "numpy.save" in caught.value.hint
    assert " at 0x" not in caught.value.what


@pytest.mark.parametrize(
    "media_type",
    ["application/vnd.bentoml+pickle", "multipart/form-data", "application/x-www-form-urlencoded", "text/plain", ""],
)
def test_other_media_are_not_read(media_type):
    with pytest.raises(UnsupportedMedia) as caught:
        read_window(pickle.dumps({"keypoints": people()}), media_type)
    assert caught.value.http_status == 415


def test_every_refusal_is_a_client_error():
    for raised in (InputError, FormatError, UnsupportedMedia):
        assert issubclass(raised, RecognizerError)
        assert 400 <= raised.http_status < 500


def test_many_threads_read_headers_at_once():
    """Python 3.11's `ast`, which numpy asks, fails when two threads use it and the collector runs in between."""
    bodies = [
        npy_header(f"{{'descr': '<f4', 'fortran_order': False, 'shape': (1, {n}, 17, 2), }}") for n in range(1, 400)
    ]
    bodies = [body + bytes(4 * 17 * 2 * n) for n, body in enumerate(bodies, start=1)]
    before = gc.get_threshold()

    def let_others_run(*_):
        time.sleep(0)

    gc.callbacks.append(let_others_run)
    gc.set_threshold(5)
    try:
        with ThreadPoolExecutor(8) as pool:
            shapes = list(pool.map(lambda body: read_npy(body).shape, bodies * 4))
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(let_others_run)
    assert shapes == [(1, n, 17, 2) for n in range(1, 400)] * 4
