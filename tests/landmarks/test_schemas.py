from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from efld_tf.annotations import sources
from efld_tf.errors import DataError, EfldError
from efld_tf.landmarks import pose, schemas
from efld_tf.landmarks.schema import LandmarkSchema, Part, infer_flip
from tests.errors import refuses

# How many points each built-in schema has.
POINTS = {
    "aflw19": 19,
    "cofw29": 29,
    "face_synthetics70": 70,
    "helen194": 194,
    "ibug51": 51,
    "ibug68": 68,
    "ibug68_3d": 68,
    "kaggle15": 15,
    "lapa106": 106,
    "makeup65": 65,
    "mediapipe468": 468,
    "menpo39": 39,
    "mtfl5": 5,
    "muct76": 76,
    "scut86": 86,
    "webmorph189": 189,
    "wflw98": 98,
}
NAMES = list(POINTS)

# The schemas whose own normaliser is not the outer eye corners, which they do not have, or have in
# few of their faces, or whose paper has another; in menpo39's half a face nothing is exchanged by a
# mirror.
OTHER_NORMALISERS = {"kaggle15": "intereye", "makeup65": "interpupil", "menpo39": "eye_mouth",
                     "mtfl5": "intereye"}
PROFILES = ["menpo39"]

REAL = ["ibug68", "ibug51", "youtube68", "scut86", "mtfl5", "webmorph189", "face_synthetics70"]

# The 98 points' pairs as mmpose and others publish them: (right, left) of the subject.
WFLW_PAIRS = [
    *((i, 32 - i) for i in range(16)),
    (33, 46), (34, 45), (35, 44), (36, 43), (37, 42), (38, 50), (39, 49), (40, 48), (41, 47),
    (55, 59), (56, 58),
    (60, 72), (61, 71), (62, 70), (63, 69), (64, 68), (65, 75), (66, 74), (67, 73), (96, 97),
    (76, 82), (77, 81), (78, 80), (87, 83), (86, 84), (88, 92), (89, 91), (95, 93),
]  # fmt: skip
WFLW_MIDDLE = [16, 51, 52, 53, 54, 57, 79, 85, 90, 94]


@pytest.fixture(scope="module")
def mean_shapes(shared_data: Path) -> dict[str, np.ndarray]:
    """Mean shapes in units of the schema's normaliser, by source."""
    helen = _mean_shape(f"ibug:{shared_data}/ibug/helen/trainset")
    return {
        "ibug68": helen,
        "ibug51": helen[17:],
        "youtube68": _mean_shape(f"youtube_faces:{shared_data}/youtube_faces"),
        "scut86": _mean_shape(f"scut:{shared_data}/scut_fbp5500"),
        "mtfl5": _mean_shape(f"mtfl:{shared_data}/net7876/trainImageList.txt"),
        "webmorph189": _mean_shape(f"webmorph:{shared_data}/webmorph"),
        "face_synthetics70": _mean_shape(f"face_synthetics:{shared_data}/face_synthetics"),
    }


def _mean_shape(source: str) -> np.ndarray:
    found = sources.read(source, on_error="skip")
    schema = schemas.get(found.schema)
    points = np.stack([record.points for record in found.records]).astype(float)
    angles = pose.estimate(points, schema)
    if angles is not None:  # few faces turned to one side would make the mean asymmetric
        points = points[(np.abs(angles) < 15).all(axis=1)]
    centred = points - points.mean(axis=1, keepdims=True)
    return (centred / schema.normaliser.distance(points)[:, None, None]).mean(axis=0)


def test_the_built_in_schemas() -> None:
    assert schemas.names() == NAMES
    assert {name: schemas.get(name).num_points for name in NAMES} == POINTS


@pytest.mark.parametrize("name", NAMES)
def test_schema_is_consistent(name: str) -> None:
    schema = schemas.get(name)
    everything = list(range(schema.num_points))
    assert schema.name == name
    assert len(set(schema.names)) == schema.num_points
    assert sorted(i for part in schema.parts for i in part.points) == everything
    assert [schema.flip[i] for i in schema.flip] == everything
    assert schema.normaliser.name == OTHER_NORMALISERS.get(name, "interocular")
    if name in PROFILES:
        assert list(schema.flip) == everything
        return
    for normaliser in schema.normalisers:
        assert sorted(schema.flip[i] for i in normaliser.right) == sorted(normaliser.left)
    for right, left in (("right_eye", "left_eye"), ("mouth_right", "mouth_left")):
        flipped = sorted(schema.flip[i] for i in schema.anchors[right])
        assert flipped == sorted(schema.anchors[left])


@pytest.mark.parametrize("name", NAMES)
def test_parts_flip_onto_parts_of_the_other_side(name: str) -> None:
    schema = schemas.get(name)
    by_name = {part.name: set(part.points) for part in schema.parts}
    for part in schema.parts:
        other = part.name.replace("right_", "LEFT_").replace("left_", "right_")
        expected = by_name[other.replace("LEFT_", "left_")]
        assert {schema.flip[i] for i in part.points} == expected, part.name


@pytest.mark.parametrize("name", NAMES)
def test_a_mirrored_face_is_converted_to_the_mirrored_one(name: str) -> None:
    schema = schemas.get(name)
    for target, conversion in schema.conversions.items():
        groups = [sorted(group) for group in conversion.points]
        for point, partner in enumerate(schemas.get(target).flip):
            assert sorted(schema.flip[index] for index in groups[point]) == groups[partner], \
                (target, point)


def _side(name: str, exchanged: bool = False) -> list[str]:
    """The words of a point's or part's name without its number."""
    words = name.rstrip("0123456789").strip("_").split("_")
    other = {"right": "left", "left": "right"} if exchanged else {}
    return [other.get(word, word) for word in words]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_sides_flip_onto_the_other_side(name: str) -> None:
    schema = schemas.get(name)
    for point, partner in enumerate(schema.flip):
        assert _side(schema.names[point]) == _side(schema.names[partner], exchanged=True), (
            schema.names[point], schema.names[partner])


@pytest.mark.parametrize("name", REAL)
def test_flip_maps_the_mean_shape_onto_its_mirror(
    mean_shapes: dict[str, np.ndarray], name: str
) -> None:
    shape = mean_shapes[name]
    schema = schemas.get(name.replace("youtube", "ibug"))
    mirrored = shape[list(schema.flip)] * [-1, 1]
    mirrored[:, 0] += 2 * shape[:, 0].mean()
    distance = np.linalg.norm(mirrored - shape, axis=1)
    assert distance.max() < 0.08, (schema.names[distance.argmax()], distance.max())


@pytest.mark.parametrize("name", REAL)
def test_right_is_on_the_left_of_the_image(mean_shapes: dict[str, np.ndarray], name: str) -> None:
    schema = schemas.get(name.replace("youtube", "ibug"))
    shape = mean_shapes[name]
    right_eye, left_eye, mouth_right, mouth_left = schema.anchor_points(shape)
    assert right_eye[0] < left_eye[0] and mouth_right[0] < mouth_left[0]
    assert max(right_eye[1], left_eye[1]) < min(mouth_right[1], mouth_left[1])
    for index, point_name in enumerate(schema.names):
        if point_name.startswith("right_") or "right_corner" in point_name:
            assert shape[index, 0] < shape[schema.flip[index], 0], point_name


@pytest.mark.parametrize("name", ["ibug68", "scut86", "webmorph189"])
def test_infer_flip_finds_the_committed_table(
    mean_shapes: dict[str, np.ndarray], name: str
) -> None:
    assert infer_flip(mean_shapes[name]) == schemas.get(name).flip


def test_infer_flip_refuses_a_shape_whose_matching_is_no_involution() -> None:
    coinciding = np.array([[1, 0], [0, -1], [-1, -1], [-1, -1], [-1, 1], [0, 1]], float)
    with refuses("symmetric", "flip"):
        infer_flip(coinciding)


def test_wflw_flip_is_the_published_one() -> None:
    flip = list(range(98))
    for right, left in WFLW_PAIRS:
        flip[right], flip[left] = left, right
    assert [i for i in range(98) if flip[i] == i] == WFLW_MIDDLE
    assert schemas.get("wflw98").flip == tuple(flip)


def test_polylines_of_parts() -> None:
    assert Part("jaw", (3, 1, 2)).polyline == (3, 1, 2)
    assert Part("eye", (3, 1, 2), closed=True).polyline == (3, 1, 2, 3)
    assert Part("skin", (3, 1, 2), line=False).polyline == ()


def test_subset_68_to_51() -> None:
    large, small = schemas.get("ibug68"), schemas.get("ibug51")
    indices = large.subset_indices("ibug51")
    assert indices == tuple(range(17, 68))
    assert [large.names[i] for i in indices] == list(small.names)
    # A subset flips, and normalises, as the whole does.
    assert [indices[i] for i in small.flip] == [large.flip[i] for i in indices]
    points = np.random.default_rng(0).normal(size=(3, 68, 2))
    for normaliser in small.normalisers:
        whole = large.find_normaliser(normaliser.name).distance(points)
        np.testing.assert_allclose(normaliser.distance(points[:, list(indices)]), whole)
    np.testing.assert_allclose(
        small.anchor_points(points[:, list(indices)]), large.anchor_points(points)
    )


def test_subset_and_normaliser_errors_list_what_there_is() -> None:
    with refuses("schema ibug51", "ibug68", "supervise ibug51"):
        schemas.get("ibug51").subset_indices("ibug68")
    with refuses("ibug68", "normaliser", "bbox", "interocular", "interpupil"):
        schemas.get("ibug68").find_normaliser("bbox")
    with refuses("schema", "ibug67", *NAMES):
        schemas.get("ibug67")


@pytest.mark.parametrize("name", NAMES)
def test_mirror_twice_is_the_identity(name: str) -> None:
    schema = schemas.get(name)
    points = np.random.default_rng(1).uniform(0, 300, (2, schema.num_points, 2))
    twice = schema.mirror(schema.mirror(points, 301), 301)
    np.testing.assert_allclose(twice, points, atol=1e-9)


def _tiny() -> dict[str, object]:
    anchors = {"right_eye": 0, "left_eye": 1, "mouth_right": 2, "mouth_left": "2"}
    return {
        "name": "tiny",
        "title": "Two eyes and a mouth",
        "parts": {"eyes": {"points": "0-1"}, "mouth": {"points": 2}},
        "flip": [1, 0, 2],
        "normalisers": {"intereye": {"right": 0, "left": 1}},
        "anchors": anchors,
    }


def test_load_a_schema_file(tmp_path: Path) -> None:
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(_tiny()))
    schema = schemas.load(path)
    assert (schema.names, schema.flip) == (("eyes_0", "eyes_1", "mouth"), (1, 0, 2))
    assert schema.box == "points"


@pytest.mark.parametrize(
    ("change", "facts"),
    [
        ({"flip": [1, 1, 2]}, ["flip", "inverse"]),
        ({"flip": [0]}, ["flip", 3, 1]),
        ({"flip": [1, 0, 3]}, ["flip.2", 3]),
        ({"flip": [1, 0, -1]}, ["flip.2", -1, 3]),
        ({"flip": [1, 0, "x"]}, ["flip.2", "x"]),
        ({"colour": "red"}, ["colour", "unknown"]),
        ({"title": "red\x1b[31m"}, ["title", "printable", "'red\\x1b[31m'"]),
        ({"names": ["a", "b\n", "c"]}, ["names", "printable", "'b\\n'"]),
        ({"names": ["a", "b", "c" * 101]}, ["names", 100]),
        ({"names": ["a", "b", "b"]}, ["names", "'b'"]),
        ({"normalisers": {"x\n": {"right": 0, "left": 1}}}, ["normalisers", "'x\\n'"]),
        ({"parts": {"eyes": {"points": "१-1"}, "mouth": {"points": 2}}}, ["parts.eyes", "१-1"]),
        ({"flip": "1,0"}, ["flip", "1,0"]),
        ({"flip": [0, 1, 2]}, ["flip", "anchors.right_eye", "left_eye"]),
        ({"boxx": "file"}, ["boxx", "known", "box", "nose_tip", "conversions"]),
        ({"parts": {"eyes": {"points": "0-1", "close": True}, "mouth": {"points": 2}}},
         ["parts.eyes.close", "closed"]),
        ({"flip": None}, ["flip", None]),
        ({"parts": {"eyes": {"points": 0}}, "names": ["a", "b"]}, ["parts", "point 1"]),
        ({"parts": {"eyes": {"points": "0-1"}, "more": {"points": 1}}},
         ["parts.more", "point 1", "parts.eyes"]),
        ({"parts": {"eyes": {"points": "0-1"}, "mouth": {"points": "2-3"}},
          "names": ["a", "b", "c"]}, ["parts.mouth", 3]),
        ({"parts": {"eyes": {"points": "one"}}}, ["parts.eyes", "one"]),
        ({"parts": {"eyes": {"points": "0-99999999999"}}}, ["parts.eyes", "0-99999999999"]),
        ({"parts": {"eyes": "0-1"}}, ["parts.eyes", "0-1"]),
        ({"parts": {"eyes": {"points": "0-2", "closed": True, "line": False}}},
         ["parts.eyes", "closed", "line"]),
        ({"parts": [0, 1]}, ["parts", [0, 1]]),
        ({"parts": {"eyes": {}}}, ["parts.eyes.points"]),
        ({"names": ["eye", "eye", "mouth"]}, ["names", "same"]),
        ({"normalisers": {}}, ["normalisers"]),
        ({"normalisers": {"intereye": {"right": 0}}}, ["normalisers.intereye.left"]),
        ({"normalisers": {"intereye": {"right": 0, "left": "x"}}}, ["normalisers.intereye", "x"]),
        ({"normalisers": {"intereye": {"right": 0, "left": "0,1"}}},
         ["normalisers.intereye", "point"]),
        ({"normalisers": {"intereye": {"right": 0, "left": 3}}},
         ["normalisers.intereye", "index 3", "points, 3"]),
        ({"anchors": {"right_eye": 0}}, ["anchors.left_eye"]),
        ({"anchors": 3}, ["anchors", 3]),
        ({"anchors": {"right_eye": 0, "left_eye": 1, "mouth_right": 0, "mouth_left": 2}},
         ["anchors", "point 0", "eye", "mouth"]),
        ({"subsets": {"other": "0-5"}}, ["subsets.other", "index 5", "points, 3"]),
        ({"subsets": {"other": "5-0"}}, ["subsets.other", "5-0"]),
        ({"box": "tight"}, ["box", "tight", "points", "file"]),
        ({"divisor": "height"}, ["divisor", "height", "intereye", "box_size"]),
    ],
)
def test_bad_fields_are_named(
    tmp_path: Path, change: dict[str, object], facts: list[object]
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump({**_tiny(), **change}))
    with refuses(*facts, path=path):
        schemas.load(path)


def test_wording(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump({**_tiny(), "box": "tight"}))
    with pytest.raises(DataError) as caught:
        schemas.load(path)
    assert str(caught.value) == f"{path}: box: expected 'points' or 'file', got 'tight'"
    with pytest.raises(EfldError) as refused:
        schemas.get("ibug68").find_normaliser("bbox")
    assert str(refused.value) == (
        "schema ibug68 has no normaliser 'bbox'; it has interocular, interpupil"
    )


@pytest.mark.parametrize(
    "change",
    [
        {"subsets": {"ibug51": "0-1"}},
        {"conversions": {"ibug51": {"points": [0, "0,1"], "note": "by halves"}}},
    ],
)
def test_what_a_schema_turns_into_has_that_many_points(
    tmp_path: Path, change: dict[str, object]
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump({**_tiny(), "name": "short", **change}))
    with refuses("schema short", "ibug51", 51, 2):
        schemas.register(schemas.load(path))
    assert "short" not in schemas.names()


@pytest.mark.parametrize("field", ["name", "title", "parts", "flip", "normalisers"])
def test_missing_fields_are_named(tmp_path: Path, field: str) -> None:
    fields = _tiny()
    del fields[field]
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump(fields))
    with refuses(field, "required", path=path):
        schemas.load(path)


@pytest.mark.parametrize(
    ("content", "facts", "line"),
    [
        (b"", ["mapping", "null"], None),
        (b"[1, 2]", ["mapping", [1, 2]], None),
        (b"a: [", ["YAML"], 1),
        (b"\xff\xfe\x00", ["UTF-8"], None),
        (b"- a\n- b", ["mapping", ["a", "b"]], None),
        (b"x", ["mapping", "'x'"], None),
    ],
)
def test_files_that_are_no_schema(
    tmp_path: Path, content: bytes, facts: list[str], line: int | None
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_bytes(content)
    with refuses(*facts, path=path, line=line):
        schemas.load(path)


@pytest.mark.parametrize("field", ["flip", "anchors", "names", "parts", "title", "box", "nose_tip"])
def test_no_field_of_a_schema_explodes(tmp_path: Path, field: str) -> None:
    """Aliases of aliases: a kilobyte that means 10 to the 9 words."""
    lines = ["x0: &x0 [a, b]"]
    lines += [f"x{n}: &x{n} [{', '.join([f'*x{n - 1}'] * 10)}]" for n in range(1, 10)]
    rest = yaml.safe_dump({key: value for key, value in _tiny().items() if key != field})
    path = tmp_path / "bad.yaml"
    path.write_text("\n".join([*lines, rest, f"{field}: *x9"]))
    with refuses("aliases", path=path, line=2):
        schemas.load(path)
    path.write_text(yaml.safe_dump({**_tiny(), field: ["x" * 100_000]}))
    with pytest.raises(DataError) as caught:
        schemas.load(path)
    assert len(str(caught.value)) < 500 + len(str(path))


_YAML = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


@given(field=st.sampled_from([*_tiny(), "names", "subsets", "box"]), value=_YAML)
def test_any_value_of_a_field_is_a_schema_or_a_data_error(
    tmp_path: Path, field: str, value: object
) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text(yaml.safe_dump({**_tiny(), field: value}))
    try:
        assert isinstance(schemas.load(path), LandmarkSchema)
    except DataError as error:
        assert error.path == path
