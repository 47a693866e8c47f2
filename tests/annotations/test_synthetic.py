"""The synthetic faces: exact, repeatable, and written as the readers expect."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import cv2
import numpy as np
import pytest
from scipy.interpolate import PchipInterpolator

from efld_tf.annotations import pts, sources
from efld_tf.annotations.synthetic import FORMATS, JSON_LIST, render_face, write_dataset
from efld_tf.annotations.synthetic.camera import Camera
from efld_tf.annotations.synthetic.dataset import WFLW_LIST, wflw_line
from efld_tf.annotations.synthetic.landmarks import all_points
from efld_tf.annotations.synthetic.parameters import FaceParameters, Pose, sample_parameters
from efld_tf.annotations.synthetic.rasterizer import grid_triangles, rasterize
from efld_tf.annotations.synthetic.render import SyntheticFace, compose
from efld_tf.annotations.synthetic.surface import Head, Profile
from efld_tf.landmarks import pose, schemas
from tests.errors import refuses

FRONTAL = Pose(yaw=0.0, pitch=0.0, roll=0.0, camera_distance=1500.0)


def make_face(seed: int, pose: Pose | None = FRONTAL, **expression: object) -> FaceParameters:
    """A random face with the given pose and expression; nothing on it that hides it."""
    face = sample_parameters(np.random.default_rng(seed))
    look = replace(face.look, hair_style="buzz", beard=0.0, moustache=0.0)
    changed = replace(face.expression, **expression)
    return replace(face, pose=pose or face.pose, expression=changed, look=look)


def project(face: FaceParameters) -> dict[str, np.ndarray]:
    """The face's points in millimetres."""
    return all_points(Head(face), Camera(face.pose, 80.0).project)


def brightness(image: np.ndarray, place: np.ndarray) -> float:
    """Mean over the 3 x 3 pixels around a place."""
    x, y = np.round(place).astype(int)
    return float(image[y - 1 : y + 2, x - 1 : x + 2].mean())


@pytest.fixture(scope="module")
def faces():
    return [render_face(7, index, 128) for index in range(40)]


def test_same_seed_gives_same_bytes_and_others_do_not():
    first, second, other = (render_face(3, index, 96) for index in (5, 5, 6))
    assert np.array_equal(first.image, second.image)
    assert first.attributes == second.attributes
    for name in FORMATS:
        assert np.array_equal(first.points[name], second.points[name])
    assert not np.array_equal(first.image, other.image)
    assert not np.array_equal(first.image, render_face(4, 5, 96).image)


def test_shapes_types_and_ranges(faces):
    for face in faces:
        assert face.image.shape == (128, 128, 3) and face.image.dtype == np.uint8
        assert set(face.points) == set(FORMATS)
        for name in FORMATS:
            assert face.points[name].shape == (schemas.get(name).num_points, 2)
            assert face.points[name].dtype == np.float32
        assert abs(face.attributes["yaw"]) <= 50 and abs(face.attributes["pitch"]) <= 25
        assert abs(face.attributes["roll"]) <= 30
        assert 0 <= face.attributes["eye_opening"] <= 1
        assert 0 <= face.attributes["mouth_opening"] <= 1


def test_points_lie_inside_and_the_box_has_the_promised_share(faces):
    shares = []
    for face in faces:
        for points in face.points.values():
            assert points.min() >= 0 and points.max() <= 127
        box = face.points["ibug68"].max(0) - face.points["ibug68"].min(0)
        shares.append(box.max() / 128)
    assert min(shares) > 0.449 and max(shares) < 0.651
    assert 0.52 < np.mean(shares) < 0.58


def test_share_does_not_depend_on_size():
    small, large = render_face(1, 2, 64), render_face(1, 2, 256)
    for name in FORMATS:
        scaled = (small.points[name] + 0.5) * 4 - 0.5
        np.testing.assert_allclose(scaled, large.points[name], atol=0.02)


def test_formats_agree_where_they_share_features(faces):
    for face in faces:
        wflw, ibug = face.points["wflw98"], face.points["ibug68"]
        assert np.array_equal(face.points["ibug51"], ibug[17:])
        shared = {60: 36, 64: 39, 68: 42, 72: 45, 76: 48, 82: 54, 51: 27, 54: 30, 57: 33, 16: 8}
        pairs = [*shared.items(), *zip(range(76, 96), range(48, 68), strict=True)]
        for a, b in pairs:
            np.testing.assert_allclose(wflw[a], ibug[b], atol=1e-4)


def test_closing_the_eyes_brings_the_lids_together():
    wide = project(make_face(1, eye_opening=(0.9, 0.9)))
    shut = project(make_face(1, eye_opening=(0.0, 0.9)))
    width = np.linalg.norm(wide["wflw98"][60] - wide["wflw98"][64])
    for upper, lower in ((61, 67), (62, 66), (63, 65)):
        gap = wide["wflw98"][lower, 1] - wide["wflw98"][upper, 1]
        assert gap > 0.15 * width
        assert 0 <= shut["wflw98"][lower, 1] - shut["wflw98"][upper, 1] < 0.05 * width
    np.testing.assert_allclose(shut["wflw98"][68:76], wide["wflw98"][68:76], atol=1e-4)
    assert shut["wflw98"][62, 1] <= shut["wflw98"][96, 1] <= shut["wflw98"][66, 1]


def test_opening_the_mouth_parts_the_lips_and_lowers_the_chin():
    closed = project(make_face(2, mouth_gap=0.0))["ibug68"]
    opened = project(make_face(2, mouth_gap=20.0))["ibug68"]
    assert abs(closed[66, 1] - closed[62, 1]) < 0.5
    assert opened[66, 1] - opened[62, 1] > 15
    assert opened[8, 1] > closed[8, 1] + 8
    np.testing.assert_allclose(opened[36:48], closed[36:48], atol=0.01)


def test_pose_moves_the_nose_as_documented():
    def nose(**angles: float) -> np.ndarray:
        points = project(make_face(3, pose=replace(FRONTAL, **angles)))["ibug68"]
        return points[30] - points[[36, 45]].mean(0)

    assert nose(yaw=30.0)[0] > nose()[0] + 5
    assert nose(pitch=20.0)[1] < nose()[1] - 5
    assert nose(roll=20.0)[0] < nose()[0] - 5


@pytest.mark.parametrize("sign", [-1, 1])
def test_the_far_jaw_lies_on_the_silhouette(sign):
    face = make_face(4, pose=replace(FRONTAL, yaw=40.0 * sign))
    head, camera = Head(face), Camera(replace(FRONTAL, yaw=40.0 * sign), 80.0)
    jaw = project(face)["ibug68"][:17]
    far = jaw[15] if sign > 0 else jaw[1]
    angles = np.linspace(-1.4, 1.4, 400)[None]
    heights = np.linspace(-20.0, 0.0, 80)[:, None]
    outline = camera.project(head.surface(angles, heights))
    row = np.abs(outline[..., 1] - far[1]) < 0.5
    assert abs((sign * outline[..., 0][row]).max() - sign * far[0]) < 1.5
    assert np.isfinite(jaw).all()


@pytest.mark.parametrize("name", FORMATS)
def test_mean_shape_is_symmetric_under_the_schema_flip(name):
    shapes = []
    for seed in range(120):
        points = project(make_face(seed, pose=None))[name]
        points = points - points.mean(0)
        shapes.append(points / np.ptp(points, axis=0).max())
    mean = np.mean(shapes, 0)
    mirrored = schemas.get(name).mirror(mean, 1.0)
    assert np.abs(mirrored - mean).max() < 0.06
    # A wrong permutation is far outside that tolerance.
    assert np.abs(mean * [-1, 1] - mean).max() > 0.3


def test_features_lie_under_their_points():
    """Pupils are darker than the sclera beside them; lips differ from the skin around them."""
    pupil, lips = [], []
    for seed in range(12):
        face = make_face(
            seed, eye_opening=(1.0, 1.0), gaze=(0.0, 0.0), mouth_gap=0.0, smile=(0.2, 0.2),
            pucker=0.0,
        )  # fmt: skip
        look = replace(
            face.look, skin=np.array([226.0, 180, 150]), lips=np.array([150.0, 40, 50]),
            lip_opacity=0.9,
        )  # fmt: skip
        done = compose(replace(face, look=look), np.random.default_rng(seed), 256)
        if done.attributes["occluded"] or done.attributes["glasses"] or done.attributes["blur"] > 1:
            continue
        image, points = done.image.astype(float), done.points["wflw98"]
        for centre, corner in ((96, 60), (97, 72)):
            white = points[centre] + 0.68 * (points[corner] - points[centre])
            pupil.append(brightness(image, white) - brightness(image, points[centre]))
        # Across the lower edge of the lower lip, from just inside to just outside.
        edge, inner = points[85], points[94]
        step = (edge - inner) / np.linalg.norm(edge - inner) * 3
        green = image[..., 1:2].repeat(3, -1)
        lips.append(brightness(green, edge + step) - brightness(green, edge - step))
    assert len(pupil) >= 8
    assert np.mean(np.array(pupil) > 0) > 0.9 and np.mean(pupil) > 15
    assert np.mean(np.array(lips) > 0) > 0.85 and np.mean(lips) > 10


def test_skin_tone_shows_in_the_pixels():
    means = []
    for skin in ([245, 210, 190], [80, 52, 40]):
        values = []
        for seed in range(4):
            face = make_face(seed)
            face = replace(face, look=replace(face.look, skin=np.array(skin, float)))
            done = compose(face, np.random.default_rng(seed), 96)
            values.append(brightness(done.image, done.points["ibug68"][[2, 31]].mean(0)))
        means.append(np.mean(values))
    assert means[0] > means[1] + 25


def test_rasterizer_interpolates_exactly_and_hides_what_is_behind():
    corners = np.array([[0, 0], [9, 0], [0, 9], [9, 9]], np.float32)
    xy = np.concatenate([corners, corners * 0.5 + 2])
    depth = np.repeat([0.0, 1.0], 4)
    uv = np.concatenate([corners * 10 + 5, np.full((4, 2), 77.0)])
    triangles = np.concatenate([grid_triangles(2, 2), grid_triangles(2, 2, first=4)])
    lookup = rasterize(xy, depth, uv, triangles, 12)
    assert (lookup[3:6, 3:6] == 77).all()
    np.testing.assert_allclose(lookup[8, 1], [15, 85], atol=1e-3)
    assert (lookup[10:] == -1).all() and (lookup[:10, :10] >= 0).all()
    assert (rasterize(xy, depth, uv, triangles[:, ::-1], 12) == -1).all()


def test_pts_text_counts_from_one():
    points = np.array([[0, 0.25], [10.5, 3]], np.float32)
    lines = pts.text(points).splitlines()
    assert lines[:3] == ["version: 1", "n_points:  2", "{"] and lines[-1] == "}"
    parsed = np.array([line.split() for line in lines[3:-1]], float)
    np.testing.assert_allclose(parsed - 1, points)


def test_wflw_line_has_the_native_fields():
    face = render_face(2, 3, 64)
    words = wflw_line(face, "a.jpg").split()
    assert len(words) == 207 and words[-1] == "a.jpg"
    np.testing.assert_allclose(
        np.array(words[:196], float).reshape(98, 2), face.points["wflw98"], atol=1e-5
    )
    box = np.array(words[196:200], float)
    assert (box[:2] <= face.points["wflw98"].min(0)).all()
    assert (box[2:] >= face.points["wflw98"].max(0)).all()
    assert set(words[200:206]) <= {"0", "1"}


def test_dataset_does_not_depend_on_workers(tmp_path):
    for workers in (1, 2):
        write_dataset(tmp_path / str(workers), "wflw98", 5, 9, 48, workers, progress=False)
    names = sorted(file.name for file in (tmp_path / "1").iterdir())
    assert len(names) == 5 + 2 and WFLW_LIST in names
    for name in names:
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1", "2"]


@pytest.mark.parametrize("schema", ["ibug68", "ibug51"])
def test_ibug_folder_holds_the_rendered_faces(tmp_path, schema):
    write_dataset(tmp_path / "set", schema, 2, 1, 64, workers=1, progress=False)
    face = render_face(1, 1, 64)
    lines = (tmp_path / "set" / "face000001.pts").read_text().splitlines()
    parsed = np.array([line.split() for line in lines[3:-1]], float) - 1
    np.testing.assert_allclose(parsed, face.points[schema], atol=1e-5)
    image = cv2.imread(str(tmp_path / "set" / "face000001.jpg"))[..., ::-1]
    assert np.abs(image.astype(int) - face.image).mean() < 8
    description = json.loads((tmp_path / "set" / "dataset.json").read_text())
    assert description["schema"] == schema and description["count"] == 2


def test_heads_are_turned_evenly_and_described_in_space(tmp_path):
    """JSON lines with depths, hidden points and the angles of 300W-LP."""
    folder = tmp_path / "set"
    write_dataset(folder, "ibug68_3d", 12, 3, 64, workers=1, progress=False, yaw=90)
    records = sources.read(f"json:{folder / JSON_LIST}?schema=ibug68_3d").records
    yaws = np.array([float(record.attributes["yaw"]) for record in records])
    assert np.abs(yaws).max() > 60 and np.abs(yaws).min() < 30 and yaws.min() < 0 < yaws.max()
    right, left = slice(0, 4), slice(13, 17)  # ends of the jaw
    for record, yaw in zip(records, yaws, strict=True):
        estimated = pose.estimate(record.points[None], schemas.get("ibug68_3d"))[0, 0]
        assert abs(yaw) > 60 or abs(estimated - yaw) < 25
        if abs(yaw) > 40:  # a nose to the image's left hides the subject's right side
            far, near = (right, left) if yaw > 0 else (left, right)
            assert estimated * yaw > 0
            assert record.depth[near].mean() > record.depth[far].mean()
            assert record.visible[near].all() and not record.visible[far].any()
    with refuses(folder, "yaw"):
        write_dataset(folder, "ibug68_3d", 12, 3, 64, progress=False)


def test_depths_are_those_of_the_head():
    """Turned by 90 degrees, what was across is in depth, in the same pixels."""
    far = Pose(yaw=0.0, pitch=0.0, roll=0.0, camera_distance=1e6)
    front = compose(make_face(4, far), np.random.default_rng(0), 128)
    side = compose(make_face(4, replace(far, yaw=90.0)), np.random.default_rng(0), 128)
    across = front.points["ibug68_3d"][:, 0] - front.points["ibug68_3d"][30, 0]
    scale = np.ptp(side.points["ibug68_3d"][:, 1]) / np.ptp(front.points["ibug68_3d"][:, 1])
    np.testing.assert_allclose(
        side.depth - side.depth[30], -scale * across, atol=0.5)
    # Its nose points to the image's right.
    ahead = front.depth - front.depth[30]
    np.testing.assert_allclose(
        side.points["ibug68_3d"][:, 0] - side.points["ibug68_3d"][30, 0], scale * ahead, atol=0.5)
    assert front.visible.all()
    hidden = np.flatnonzero(~side.visible)
    assert {*range(9, 17)} <= {*hidden} and not {*range(8)} & {*hidden}


def test_the_jaw_behind_the_cheek_is_not_the_outline():
    """From the front both are one; of a turned head only the inner points are the same."""
    front, turned = (render_face(7, 2, 128, yaw=yaw).points for yaw in (0, 60))
    for points in (front, turned):
        np.testing.assert_array_equal(points["ibug68_3d"][17:], points["ibug51"])
    apart = [np.linalg.norm(points["ibug68_3d"] - points["ibug68"], axis=1)[:17].max()
             for points in (front, turned)]
    assert apart[0] < 6 and apart[1] > 10


def test_what_is_rare_is_drawn_as_often_as_asked() -> None:
    """Each kind by itself, over the same faces, which are otherwise as they are."""
    plain = [render_face(6, index, 96) for index in range(40)]
    shut = [render_face(6, index, 96, odds={"closed_eyes": 0.5}) for index in range(40)]
    changed = [one.attributes["eye_opening"] != other.attributes["eye_opening"]
               for one, other in zip(plain, shut, strict=True)]
    assert 10 < sum(changed) < 30
    for one, other, other_eyes in zip(plain, shut, changed, strict=True):
        assert (one.image.tobytes() == other.image.tobytes()) == (not other_eyes)
        if other_eyes:
            right, left = other.head.face.expression.eye_opening
            assert min(right, left) < 0.55
    nothing = render_face(6, 0, 96, odds={"mask": 0.0})
    assert nothing.image.tobytes() == plain[0].image.tobytes()


@pytest.mark.parametrize(("kind", "hidden", "shown"), [
    ("mask", ("mouth", "nose"), ("eyes",)), ("sunglasses", ("eyes",), ("mouth",)),
])
@pytest.mark.parametrize("yaw", [0.0, 50.0])
def test_what_is_worn_hides_its_part_of_the_face(
    kind: str, hidden: tuple[str, ...], shown: tuple[str, ...], yaw: float
) -> None:
    where = {"mouth": range(31, 51), "nose": range(14, 19), "eyes": range(19, 31)}
    for index in (1, 2, 4):  # nothing else is in front of these
        plain, worn = (render_face(6, index, 128, yaw=yaw, odds=odds)
                       for odds in (None, {kind: 1.0}))
        assert worn.attributes["occluded"] == 1
        np.testing.assert_array_equal(plain.points["ibug51"], worn.points["ibug51"])
        differs = np.abs(plain.image.astype(int) - worn.image).max(axis=-1)
        column, row = np.round(plain.points["ibug51"]).astype(int).T
        at = {name: differs[row, column][points].mean() for name, points in where.items()}
        assert min(at[name] for name in hidden) > 2 * max(at[name] for name in shown) + 5


def test_hard_light_leaves_half_the_face_dark() -> None:
    for index in range(4):
        plain, hard = (render_face(6, index, 96, yaw=0.0, odds=odds)
                       for odds in (None, {"hard_light": 1.0}))
        assert hard.attributes["light_contrast"] > max(plain.attributes["light_contrast"], 0.6)
        np.testing.assert_array_equal(plain.points["ibug51"], hard.points["ibug51"])
        across = plain.points["ibug51"][[19, 28]].mean(axis=0)[0]
        low, high = np.round(plain.points["ibug51"].min(axis=0)).astype(int), np.round(
            plain.points["ibug51"].max(axis=0)).astype(int)
        sides = []
        for face in (plain, hard):
            luma = face.image[low[1] : high[1], low[0] : high[0]].mean(axis=-1)
            middle = round(float(across)) - low[0]
            sides.append(abs(np.log(luma[:, :middle].mean() / luma[:, middle:].mean())))
        assert sides[1] > sides[0]


def test_a_hand_is_in_front() -> None:
    for index in (1, 2, 4):
        plain, hand = (render_face(6, index, 96, odds=odds) for odds in (None, {"hand": 1.0}))
        assert hand.attributes["occluded"] == 1
        differs = np.abs(plain.image.astype(int) - hand.image).max(axis=-1) > 40
        assert 0.01 < differs.mean() < 0.4


def test_rare_things_are_part_of_the_description(tmp_path) -> None:
    odds = {"closed_eyes": 0.5, "mask": 1}
    write_dataset(tmp_path / "set", "ibug68", 2, 1, 48, 1, progress=False, odds=odds)
    description = json.loads((tmp_path / "set" / "dataset.json").read_text())
    assert description["rare"] == {"closed_eyes": 0.5, "mask": 1.0}
    image = cv2.imread(str(tmp_path / "set" / "face000001.jpg"))[..., ::-1]
    assert np.abs(image.astype(int) - render_face(1, 1, 48, odds=odds).image).mean() < 8
    with refuses(tmp_path / "set", "rare"):
        write_dataset(tmp_path / "set", "ibug68", 2, 1, 48, 1, progress=False)
    for wrong in ({"beard": 0.5}, {"mask": 1.5}, {"mask": -0.1}):
        with refuses(*wrong, "rare"):
            write_dataset(tmp_path / "other", "ibug68", 2, 1, 48, 1, progress=False, odds=wrong)


def test_rerun_does_nothing_and_a_mismatch_is_an_error(tmp_path):
    folder = tmp_path / "set"
    write_dataset(folder, "ibug68", 1, 1, 48, workers=1, progress=False)
    marker = folder / "face000000.jpg"
    marker.write_bytes(b"untouched")
    write_dataset(folder, "ibug68", 1, 1, 48, workers=2, progress=False)
    assert marker.read_bytes() == b"untouched"
    with refuses(folder, "seed", 1, 2):
        write_dataset(folder, "ibug68", 1, 2, 48, progress=False)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with refuses(tmp_path / "other", "dataset.json"):
        write_dataset(tmp_path / "other", "ibug68", 1, 1, 48, progress=False)


@pytest.mark.parametrize(
    "change",
    [
        {"schema": "mtfl5"}, {"count": 0}, {"size": 31}, {"size": 1025}, {"seed": -1},
        {"workers": 0}, {"yaw": 91}, {"yaw": -1},
    ],
)
def test_bad_arguments_are_named(tmp_path, change):
    arguments = {"schema": "ibug68", "count": 1, "seed": 0, "size": 64} | change
    ((name, value),) = change.items()
    with refuses(name, value):
        write_dataset(tmp_path / "set", **arguments, progress=False)
    assert not (tmp_path / "set").exists()


def test_render_face_checks_its_arguments():
    with refuses("size", 32, 1024, 16):
        render_face(0, 0, 16)
    with refuses("index", "negative", -1):
        render_face(0, -1)


def test_hair_does_not_move_the_points():
    face = make_face(6, pose=replace(FRONTAL, yaw=30.0))
    veiled = replace(face, look=replace(face.look, hair_style="long", hair_thickness=2.0))
    np.testing.assert_array_equal(project(face)["wflw98"], project(veiled)["wflw98"])


def test_profile_is_the_monotone_cubic():
    x, y = [0.0, 2, 3, 7, 9], [1.0, 4, 4, 0, -3]
    at = np.linspace(2, 7, 101)  # the ends' slopes follow another rule
    np.testing.assert_allclose(Profile.through(x, y)(at), PchipInterpolator(x, y)(at), atol=1e-5)
    np.testing.assert_allclose(Profile.through(x, y)(np.array([-5.0, 20])), [1, -3])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_its_processes_end_with_it_and_say_nothing(tmp_path, number):
    """As a terminal sends Ctrl-C, to all of them; `kill -9` reaches the first alone."""
    run = "from efld_tf.cli import data; data.entry()"
    process = subprocess.Popen(
        [sys.executable, "-c", run, "synth", str(tmp_path / "a"), "--count", "100000", "--size",
         "64", "--workers", "2", "--quiet"],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
    try:
        deadline = time.monotonic() + 120
        while not [*tmp_path.glob(".a*/face*.jpg")]:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        (os.kill if number == signal.SIGKILL else os.killpg)(process.pid, number)
        said, _ = process.communicate(timeout=60)  # to the end of all that hold the pipe
    except BaseException:  # it would go on for hours
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        raise
    told = {signal.SIGINT: ["interrupted"], signal.SIGHUP: ["stopped by SIGHUP"]}
    assert [line for line in said.splitlines() if "resource_tracker" not in line] \
        == told.get(number, [])
    if number != signal.SIGKILL:
        assert process.returncode == 128 + number and "Traceback" not in said


def test_a_person_turns_in_a_scene_that_stays() -> None:
    """Unlike without `apart`, where what one step draws changes what the next ones do."""
    person = sample_parameters(np.random.default_rng(4))
    still = replace(person.pose, yaw=0.0, pitch=0.0, roll=0.0)

    def view(yaw: float, apart: bool) -> SyntheticFace:
        return compose(replace(person, pose=replace(still, yaw=yaw)),
                       np.random.default_rng(5), 128, apart=apart)

    front, turned = (view(yaw, True) for yaw in (0.0, 70.0))
    same = ("light_contrast", "blur", "glasses", "skin_tone")
    assert [front.attributes[name] for name in same] == [turned.attributes[name] for name in same]
    corner = np.s_[:6, -6:]  # no hair
    assert np.abs(front.image[corner].astype(int) - turned.image[corner]).mean() < 20
    assert np.abs(front.image.astype(int) - turned.image).mean() > 10
    np.testing.assert_array_equal(view(0.0, True).image, front.image)
