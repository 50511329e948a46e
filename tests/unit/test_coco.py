import copy
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recognizer.errors import FormatError, InputError, RecognizerError, UsageError
from recognizer.home import checkout
from recognizer.ingest.coco import CROWDPOSE_JOINTS, read_coco
from recognizer.ingest.coco_results import read_coco_results
from recognizer.ingest.recorded import Source
from recognizer.skeleton import JOINTS

SHARED = Path(os.environ.get("RECOGNIZER_SHARED_DATA") or checkout().parent / "shared" / "data")
NAN, INF = float("nan"), float("inf")


def keypoints(joints=17, seen=2):
    return [number for joint in range(joints) for number in ((joint + 10, joint + 20.5, seen) if seen else (0, 0, 0))]


def annotation(own=1, image=5, **changes):
    made = {
        "id": own,
        "image_id": image,
        "category_id": 1,
        "keypoints": keypoints(),
        "num_keypoints": 17,
        "bbox": [10, 20, 30, 40.5],
        "area": 600.25,
        "iscrowd": 0,
        **changes,
    }
    return {key: value for key, value in made.items() if value is not ...}


def image(own=5, **changes):
    made = {"id": own, "file_name": f"{own}.jpg", "height": 480, "width": 640, **changes}
    return {key: value for key, value in made.items() if value is not ...}


def labels(*annotations, images=None, **changes):
    made = {
        "info": {"description": "anything"},
        "images": [image()] if images is None else images,
        "categories": [{"id": 1, "name": "person", "keypoints": list(JOINTS)}],
        "annotations": list(annotations),
        **changes,
    }
    return {key: value for key, value in made.items() if value is not ...}


def result(own=5, **changes):
    made = {"image_id": own, "category_id": 1, "keypoints": keypoints(seen=0.75), "score": 0.5, **changes}
    return {key: value for key, value in made.items() if value is not ...}


@pytest.fixture
def read(tmp_path):
    def reading(content):
        path = tmp_path / "labels.json"
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return read_coco(path)

    return reading


@pytest.fixture
def results(tmp_path, read):
    def reading(content, of=None):
        labelled = read(of or labels(annotation(), images=[image(), image(7)]))
        path = tmp_path / "results.json"
        path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return read_coco_results(path, labelled)

    return reading


# -- labels --------------------------------------------------------------------------------------------------------


def test_a_person_as_they_are_read(read, tmp_path):
    one = annotation()
    one["keypoints"][3:6] = [0, 0, 0]
    one["keypoints"][6:9] = [99, 98, 1]
    labelled = read(labels({**one, "num_keypoints": 16}))
    (shown,) = labelled.images
    assert (shown.id, shown.name, shown.shape, shown.annotations) == (5, "5.jpg", (480, 640), (1,))
    people = shown.people
    assert people.joints[0, :4].tolist() == [[10, 20.5], [0, 0], [99, 98], [13, 23.5]]
    assert people.labelled[0].tolist() == [2, 0, 1] + [2] * 14
    assert people.boxes.tolist() == [[10, 20, 30, 40.5]]
    assert people.areas.tolist() == [600.25]
    assert people.crowd.tolist() == [False]
    assert people.areas.dtype == np.float64
    assert labelled.warnings == ()
    assert labelled.joints == JOINTS
    assert labelled.source == Source.of(tmp_path / "labels.json")
    assert labelled.people == (people,)


def test_images_come_by_id_and_people_as_they_stand(read):
    labelled = read(
        labels(
            annotation(4, 9),
            annotation(3, 2),
            annotation(2, 9),
            images=[image(9), image(7), image(2, file_name="a/b.png")],
        )
    )
    assert [(shown.id, shown.annotations) for shown in labelled.images] == [(2, (3,)), (7, ()), (9, (4, 2))]
    assert labelled.images[0].name == "a/b.png"
    assert [len(people) for people in labelled.people] == [1, 0, 2]


def test_crowdpose_is_mapped_to_the_joints_it_shares(read):
    file = labels(annotation(keypoints=keypoints(14), num_keypoints=14, area=...))
    file["categories"][0]["keypoints"] = list(CROWDPOSE_JOINTS)
    labelled = read(file)
    (people,) = labelled.people
    assert people.labelled[0].tolist() == [0] * 5 + [2] * 12
    assert people.joints[0, 5:].tolist() == [[10 + joint, 20.5 + joint] for joint in range(12)]
    assert people.areas == pytest.approx(0.53 * 30 * 40.5)
    assert labelled.joints == CROWDPOSE_JOINTS
    assert labelled.warnings == ("1 annotations without `area` got 0.53 of their box",)


def test_joints_in_another_order_are_found_by_name(read):
    file = labels(annotation())
    file["categories"][0]["keypoints"] = list(reversed(JOINTS))
    assert read(file).people[0].joints[0, 0].tolist() == [26, 36.5]


def test_who_has_only_a_head_in_crowdpose_is_kept_and_not_counted(read):
    one = annotation(keypoints=[*keypoints(12, seen=0), 1, 2, 2, 3, 4, 2], num_keypoints=2)
    file = labels(one)
    file["categories"][0]["keypoints"] = list(CROWDPOSE_JOINTS)
    labelled = read(file)
    assert labelled.people[0].counted.tolist() == [False]
    assert labelled.warnings == ("1 people have no labelled joint: they are neither to be found nor missed",)


ID = 'annotations without an id, or with id 0, which COCO\'s evaluators take for "not matched", got one'


@pytest.mark.parametrize(
    ("annotations", "ids", "warnings"),
    [
        ([annotation(0)], (1,), (f"1 {ID}",)),
        ([annotation(0), annotation(7)], (8, 7), (f"1 {ID}",)),
        ([annotation(...), annotation(7), annotation(0), annotation(...)], (8, 7, 9, 10), (f"3 {ID}",)),
        ([annotation(1), annotation(2, area=...)], (1, 2), ("1 annotations without `area` got 0.53 of their box",)),
        ([annotation(1), annotation(2, area=None)], (1, 2), ("1 annotations without `area` got 0.53 of their box",)),
        (
            [annotation(1, image=77), annotation(2)],
            (2,),
            ("1 annotations of images that are not listed were left out",),
        ),
        ([annotation(1, category_id=3), annotation(2)], (2,), ("1 annotations of other categories were left out",)),
        ([annotation(1, category_id=...), annotation(2)], (2,), ("1 annotations of other categories were left out",)),
        ([annotation(1, category_id=True)], (), ("1 annotations of other categories were left out",)),
        ([annotation(1, bbox=[-2, 0, 30, 30])], (1,), ("1 boxes leave their image",)),
        ([annotation(1, bbox=[600, 0, 50, 30])], (1,), ("1 boxes leave their image",)),
        ([annotation(1, bbox=[-0.5, 0, 641, 480.5])], (1,), ()),
        (
            [annotation(1, num_keypoints=3)],
            (1,),
            ("1 annotations have a `num_keypoints` that is not the number of their labelled joints",),
        ),
        ([annotation(1, num_keypoints=...)], (1,), ()),
        (
            [annotation(1, keypoints=keypoints(seen=0), num_keypoints=0), annotation(2)],
            (1, 2),
            ("1 people have no labelled joint: they are neither to be found nor missed",),
        ),
        (
            [annotation(1, keypoints=..., num_keypoints=...), annotation(2)],
            (1, 2),
            ("1 people have no labelled joint: they are neither to be found nor missed",),
        ),
        ([annotation(1, keypoints=keypoints(seen=0), num_keypoints=0, iscrowd=1)], (1,), ()),
        ([annotation(1, iscrowd=True)], (1,), ()),
        ([annotation(1, iscrowd=...)], (1,), ()),
        ([], (), ()),
    ],
)
def test_what_is_put_right_or_told(read, annotations, ids, warnings):
    labelled = read(labels(*annotations))
    assert labelled.images[0].annotations == ids
    assert labelled.warnings == warnings
    assert len(labelled.people[0]) == len(ids)


def test_who_is_counted(read):
    labelled = read(labels(annotation(1), annotation(2, iscrowd=1), annotation(3, keypoints=keypoints(seen=0))))
    assert labelled.people[0].counted.tolist() == [True, False, False]


def test_coordinates_of_an_unlabelled_joint_say_nothing(read):
    assert not read(labels(annotation(keypoints=[5, 6, 0] * 17))).people[0].joints.any()


def changed(**changes):
    return labels(annotation(), **changes)


def category(**changes):
    return labels(annotation(), categories=[{"id": 1, "name": "person", "keypoints": list(JOINTS), **changes}])


LAYOUT = "is JSON of another layout"


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b"{", "is no JSON"),
        (b"\xff\xd8\xff\xe0", "is no JSON"),
        (b"[" * 100_000, "is no JSON"),
        (b"null", LAYOUT),
        (b"[]", LAYOUT),
        (b"7", LAYOUT),
        (b"{}", LAYOUT),
        (changed(images=...), LAYOUT),
        (changed(annotations=...), LAYOUT),
        (changed(categories=...), LAYOUT),
        (changed(annotations={"1": annotation()}), LAYOUT),
        (changed(images=[5]), LAYOUT),
        (changed(images=[]), "lists no images"),
        (changed(categories=[]), "has 0 categories called 'person'"),
        (changed(categories=[{"id": 1, "name": "cat"}]), "has 0 categories called 'person'"),
        (changed(categories=[{"id": 1, "name": "person"}] * 2), "has 2 categories called 'person'"),
        (category(id="1"), "has no whole number as `id`, but '1'"),
        (category(keypoints=["nose", "tail"]), "its joints are not those of COCO or CrowdPose"),
        (category(keypoints=["nose", "nose"]), "its joints are not those of COCO or CrowdPose"),
        (category(keypoints=[]), "its joints are not those of COCO or CrowdPose"),
        (category(keypoints=17), "its joints are not those of COCO or CrowdPose: 17"),
        (labels(annotation(keypoints=...)), "its annotations have no keypoints"),
    ],
)
def test_a_file_that_is_none(read, content, named):
    with pytest.raises(FormatError, match=named) as raised:
        read(content)
    assert "labels.json" in raised.value.where
    assert raised.value.hint


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"own": "5"}, "has no whole number as `id`, but '5'"),
        ({"own": None}, "has no whole number as `id`, but None"),
        ({"own": True}, "has no whole number as `id`, but True"),
        ({"own": -1}, "has no whole number as `id`, but -1"),
        ({"own": 2**60}, "has no whole number as `id`"),
        ({"own": 5.0}, "has no whole number as `id`, but 5.0"),
        ({"file_name": ...}, "has no usable `file_name`: None"),
        ({"file_name": ""}, "has no usable `file_name`: ''"),
        ({"file_name": "a\nb"}, "has no usable `file_name`"),
        ({"file_name": "/etc/passwd"}, "has no usable `file_name`"),
        ({"file_name": "a/../../b.jpg"}, "has no usable `file_name`"),
        ({"file_name": "..\\b.jpg"}, "has no usable `file_name`"),
        ({"file_name": ["a"]}, "has no usable `file_name`: list"),
        ({"height": ...}, "has no usable `height` and `width`: None, 640"),
        ({"height": 0}, "has no usable `height` and `width`: 0, 640"),
        ({"width": 640.5}, "has no usable `height` and `width`: 480, 640.5"),
        ({"width": 10**9}, "has no usable `height` and `width`"),
        ({"own": 1}, "two images have the id 1"),
        ({"file_name": "1.jpg"}, "two images have the name '1.jpg'"),
    ],
)
def test_an_image_that_is_none(read, changes, named):
    with pytest.raises(FormatError, match=named.replace("`", ".")) as raised:
        read(labels(images=[image(1), image(**changes)]))
    assert raised.value.where.endswith("labels.json, image 1")
    assert raised.value.hint


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"own": "7"}, "has no whole number as `id`, but '7'"),
        ({"own": -7}, "has no whole number as `id`, but -7"),
        ({"own": 1}, "two annotations have the id 1"),
        ({"image": "5"}, "has no whole number as `image_id`, but '5'"),
        ({"image": ...}, "has no whole number as `image_id`, but None"),
        ({"image": 5.0}, "has no whole number as `image_id`, but 5.0"),
        ({"iscrowd": 2}, "has an `iscrowd` of 2, expected 0 or 1"),
        ({"iscrowd": "0"}, "has an `iscrowd` of '0'"),
        ({"iscrowd": 1.0}, "has an `iscrowd` of 1.0"),
        ({"keypoints": keypoints(16)}, "has as `keypoints` 48 values, expected 51 numbers"),
        ({"keypoints": []}, "has as `keypoints` 0 values"),
        ({"keypoints": "none"}, "has as `keypoints` 'none', expected 51 numbers"),
        ({"keypoints": {"nose": 1}}, "has as `keypoints` dict"),
        ({"keypoints": ["1"] * 51}, "has as `keypoints` 51 values, expected 51 numbers"),
        ({"keypoints": [None] * 51}, "has as `keypoints` 51 values, expected 51 numbers"),
        ({"keypoints": [True] * 51}, "has as `keypoints` 51 values, expected 51 numbers"),
        ({"keypoints": [[1]] * 51}, "has as `keypoints` 51 values, expected 51 numbers"),
        (
            {"keypoints": [NAN, *keypoints()[1:]]},
            "has as `keypoints` a number that is not finite or beyond all measure",
        ),
        ({"keypoints": [-INF, *keypoints()[1:]]}, "has as `keypoints` a number that is not finite"),
        ({"keypoints": [1e7, *keypoints()[1:]]}, "has as `keypoints` a number that is not finite or beyond"),
        ({"keypoints": [10**400, *keypoints()[1:]]}, "has as `keypoints` a number that is not finite or beyond"),
        ({"keypoints": keypoints(seen=3)}, "labels a joint with another number than 0, 1 or 2"),
        ({"keypoints": keypoints(seen=0.5)}, "labels a joint with another number than 0, 1 or 2"),
        ({"keypoints": keypoints(seen=-1)}, "labels a joint with another number than 0, 1 or 2"),
        ({"bbox": ...}, "has as `bbox` None, expected 4 numbers"),
        ({"bbox": [1, 2, 3]}, "has as `bbox` 3 values, expected 4 numbers"),
        ({"bbox": [1, 2, 3, NAN]}, "has as `bbox` a number that is not finite"),
        ({"bbox": [1, 2, -3, 4]}, "has a box of negative width or height"),
        ({"area": "600"}, "has as `area` 1 values, expected 1 number"),
        ({"area": NAN}, "has as `area` a number that is not finite"),
        ({"area": 1e13}, "has as `area` a number that is not finite or beyond"),
        ({"area": -1}, "has a negative area"),
    ],
)
def test_an_annotation_that_is_none(read, changes, named):
    with pytest.raises(FormatError, match=named.replace("`", ".")) as raised:
        read(labels(annotation(1), annotation(**{"own": 7, **changes})))
    assert "labels.json, annotation 1" in raised.value.where
    assert raised.value.hint


def test_a_refusal_names_the_annotation(read):
    with pytest.raises(FormatError) as raised:
        read(labels(annotation(1, category_id=3), annotation(2, image=77), annotation(9, area=-1)))
    assert raised.value.where.endswith("labels.json, annotation 2 (id 9)")


@pytest.mark.parametrize(
    ("name", "kind", "named"), [("nowhere.json", UsageError, "no such file"), (".", FormatError, "is a folder")]
)
def test_no_file(tmp_path, name, kind, named):
    with pytest.raises(kind, match=named):
        read_coco(tmp_path / name)


def test_a_file_that_cannot_be_read(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be read"):
        read_coco(tmp_path / "file" / "labels.json")


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    part=st.sampled_from(["images", "annotations", "categories"]),
    key=st.sampled_from(
        [
            "id",
            "image_id",
            "category_id",
            "keypoints",
            "bbox",
            "area",
            "iscrowd",
            "num_keypoints",
            "file_name",
            "height",
        ]
    ),
    value=ANYTHING,
)
def test_whatever_stands_in_a_file(read, part, key, value):
    """It is read, or refused with a reason; never anything else."""
    file = copy.deepcopy(labels(annotation(1), annotation(2)))
    file[part][0][key] = value
    refusal = None
    try:
        read(file)
    except RecognizerError as error:
        refusal = error
    assert refusal is None or (refusal.where and refusal.hint)


@pytest.mark.skipif(not SHARED.is_dir(), reason=f"no real labels at {SHARED}; set RECOGNIZER_SHARED_DATA")
@pytest.mark.parametrize(
    ("name", "images", "people", "counted", "told"),
    [
        ("pose_coco33/person_keypoints.json", 33, 58, 28, 1),
        ("pose_oks_eval/keypoints/gt_dataset.json", 1, 14, 11, 1),
        ("pose_oks_eval/boxes/example_crowdpose_val.json", 4, 10, 9, 3),
    ],
)
def test_real_files(name, images, people, counted, told):
    labelled = read_coco(SHARED / name)
    assert len(labelled.images) == images
    assert sum(map(len, labelled.people)) == people
    assert sum(int(one.counted.sum()) for one in labelled.people) == counted
    assert len(labelled.warnings) == told


# -- results -------------------------------------------------------------------------------------------------------


def test_found_people_as_they_are_read(results, tmp_path):
    read = results(
        [
            result(score=0.25, bbox=[1, 2, 3, 4]),
            result(7, score=1),
            result(score=0.5),
            result(score=0.5, bbox=[5, 6, 7, 8]),
            result(score=0.9, bbox=[]),
        ]
    )
    first, second = read.found
    assert first.scores.tolist() == [0.9, 0.5, 0.5, 0.25]
    assert first.boxes.tolist() == [[10, 20.5, 16, 16], [10, 20.5, 16, 16], [5, 6, 7, 8], [1, 2, 3, 4]]
    assert first.joints[0].tolist() == [[10 + joint, 20.5 + joint] for joint in range(17)]
    assert (first.visibility == 0.75).all()
    assert (len(second), second.scores.dtype) == (1, np.float64)
    assert read.warnings == ()
    assert read.source == Source.of(tmp_path / "results.json")


def test_nobody_found(results):
    read = results([])
    assert [len(found) for found in read.found] == [0, 0]
    assert read.found[0].joints.shape == (0, 17, 2)
    assert read.warnings == ()


@pytest.mark.parametrize(
    ("changes", "warnings"),
    [
        ({"category_id": 3}, ("1 results of other categories were left out",)),
        ({"category_id": ...}, ("1 results of other categories were left out",)),
        ({"keypoints": keypoints(seen=2)}, ("17 confidences of joints outside [0, 1] were cut",)),
        ({"keypoints": keypoints(seen=-0.5)}, ("17 confidences of joints outside [0, 1] were cut",)),
        ({"score": 7.5}, ()),
        ({"score": -3}, ()),
        ({"bbox": None}, ()),
        ({"center": [1], "scale": "anything"}, ()),
    ],
)
def test_results_that_are_put_right_or_told(results, changes, warnings):
    read = results([result(**changes)])
    assert read.warnings == warnings
    assert ((read.found[0].visibility >= 0) & (read.found[0].visibility <= 1)).all()


@pytest.mark.parametrize(("count", "first"), [(14, [0, 0]), (17, [10, 20.5])])
def test_results_for_crowdpose_have_its_joints_or_ours(results, count, first):
    file = labels(annotation(keypoints=keypoints(14), num_keypoints=14))
    file["categories"][0]["keypoints"] = list(CROWDPOSE_JOINTS)
    (found,) = results([result(keypoints=keypoints(count, seen=1))], of=file).found
    assert found.joints[0, 0].tolist() == first
    assert found.joints[0, 5].tolist() == ([10, 20.5] if count == 14 else [15, 25.5])


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"image_id": 6}, "is of image 6, which labels.json does not list"),
        ({"image_id": "5"}, "is of image '5'"),
        ({"image_id": ...}, "is of image None"),
        ({"image_id": [5]}, "is of image list"),
        ({"score": ...}, "has as `score` 1 values, expected 1 number"),
        ({"score": "0.5"}, "has as `score` 1 values, expected 1 number"),
        ({"score": True}, "has as `score` 1 values, expected 1 number"),
        ({"score": NAN}, "has as `score` a number that is not finite"),
        ({"score": INF}, "has as `score` a number that is not finite"),
        ({"keypoints": ...}, "has as `keypoints` None, expected 51 numbers"),
        ({"keypoints": keypoints(16)}, "has as `keypoints` 48 values, expected 51 numbers"),
        ({"keypoints": [NAN] * 51}, "has as `keypoints` a number that is not finite"),
        ({"keypoints": [1e300] * 51}, "has as `keypoints` a number that is not finite"),
        ({"bbox": [1, 2, 3]}, "has as `bbox` 3 values, expected 4 numbers"),
        ({"bbox": [1, 2, 3, -4]}, "has a box of negative width or height"),
        ({"bbox": "none"}, "has as `bbox` 'none'"),
    ],
)
def test_a_result_that_is_none(results, changes, named):
    with pytest.raises(FormatError, match=named.replace("`", ".")) as raised:
        results([result(), result(category_id=3), result(**changes)])
    assert raised.value.where.endswith("results.json, result 2")
    assert raised.value.hint


@pytest.mark.parametrize(
    ("content", "named"),
    [
        (b"", "is empty"),
        (b"[", "is no JSON"),
        (b"{}", LAYOUT),
        (b"[1]", LAYOUT),
        ([result(keypoints=keypoints(16))], "has 48 keypoint numbers, expected 51"),
        ([result(keypoints="none")], "has as .keypoints. 'none'"),
    ],
)
def test_results_that_are_none(results, content, named):
    with pytest.raises(FormatError, match=named) as raised:
        results(content)
    assert "results.json" in raised.value.where
    assert raised.value.hint
