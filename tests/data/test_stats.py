"""Statistics of faces whose poses, sizes and spreads are known."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from efld_tf import progress
from efld_tf.annotations import sources
from efld_tf.cli import data
from efld_tf.data import look, pack, stats, stats_plot
from efld_tf.data.options import PackOptions, SourceOptions
from efld_tf.landmarks import schemas
from tests import faces
from tests.annotations.writers import ibug_text, write_image
from tests.errors import assert_told, refuses
from tests.screens import run_at_terminal, screen

FACES = 200
MEAN = faces.mean_shape("ibug68") * 100


def _write(folder: Path, shapes: list[np.ndarray], grey: int = 128) -> str:
    """A source of those points [68, 2] in grey images."""
    for index, points in enumerate(shapes):
        write_image(folder / f"{index:04d}_1.png")
        cv2.imwrite(str(folder / f"{index:04d}_1.png"), np.full((300, 300), grey, np.uint8))
        (folder / f"{index:04d}_1.pts").write_text(ibug_text(points))
    return f"ibug:{folder}"


def _turned(points: np.ndarray, degrees: float) -> np.ndarray:
    """Turned clockwise, as seen, about the middle of the image."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return (points - points.mean(0)) @ np.array([[c, s], [-s, c]]) + 150


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The same face in different rolls and sizes; its chin alone moves, 6 pixels across."""
    rng = np.random.default_rng(0)
    shapes = []
    for roll, scale in zip(rng.normal(0, 10, FACES), rng.uniform(0.5, 2, FACES), strict=True):
        points = MEAN.copy()
        points[8, 0] += rng.normal(0, 6)
        shapes.append(_turned(points, roll) * scale)
    return _write(tmp_path_factory.mktemp("known"), shapes, grey=77)


@pytest.fixture(scope="module")
def found(source: str) -> stats.SourceStats:
    return stats.measure(source, progress=False)


def test_counts(found: stats.SourceStats) -> None:
    assert (found.faces, found.identities, found.schema) == (FACES, FACES, "ibug68")
    assert (found.missing, found.occluded, found.remarks) == (0, None, look.Remarks())
    assert {len(values) for values in found.values.values()} == {FACES}


def test_roll_and_size(found: stats.SourceStats) -> None:
    rng = np.random.default_rng(0)
    rolls, scales = rng.normal(0, 10, FACES), rng.uniform(0.5, 2, FACES)
    # The drawn face looks down by 19 degrees: turned in the image it has some yaw, by 3DDFA's
    # order of angles, and a little less roll.
    np.testing.assert_allclose(found.values["roll"], rolls, rtol=0.07, atol=0.05)
    assert np.ptp(found.values["pitch"]) < 4
    x0, _, x1, _ = next(iter(sources.stream(found.source))).face_box()
    sizes = found.values["size"]
    np.testing.assert_allclose(sizes, scales * sizes[0] / scales[0], rtol=1e-4)
    assert sizes[0] == pytest.approx(x1 - x0, rel=1e-5)


def test_the_spread_is_the_chin_s(found: stats.SourceStats) -> None:
    deviation = found.deviation
    assert deviation.argmax() == 8
    assert np.delete(deviation, 8).max() < deviation[8] / 8
    # Across, not along the face.
    assert found.covariance[8, 1, 1] < found.covariance[8, 0, 0] / 100


def test_the_size_of_the_spread(source: str, found: stats.SourceStats) -> None:
    anchors = schemas.get("ibug68").anchor_points(MEAN)
    across = np.linalg.norm(anchors[1] - anchors[0])
    down = np.linalg.norm(anchors[2:].mean(0) - anchors[:2].mean(0))
    assert found.deviation[8] == pytest.approx(6 / (2.4 * max(across, down)), rel=0.15)
    # The mean shape is the face itself, up to similarity.
    mean = found.mean[:, 0] + 1j * found.mean[:, 1]
    truth = (MEAN - MEAN.mean(0)) @ [1, 1j]
    assert abs(np.vdot(mean, truth)) / np.linalg.norm(mean) / np.linalg.norm(truth) > 0.999
    # Upright, y down, in face sizes.
    right_eye, left_eye, mouth_right, _ = schemas.get("ibug68").anchor_points(found.mean)
    assert right_eye[0] < left_eye[0] and right_eye[1] < mouth_right[1]
    assert 2.4 * max(left_eye[0] - right_eye[0], mouth_right[1] - right_eye[1]) == pytest.approx(
        1, abs=0.01
    )


def test_brightness(found: stats.SourceStats) -> None:
    inside = found.values["brightness"]
    assert np.median(inside) == pytest.approx(77, abs=1) and inside.max() <= 78


def test_the_eyes_show_roll_where_there_is_no_nose() -> None:
    assert not schemas.get("scut86").nose_tip
    points = np.stack([_turned(faces.mean_shape("scut86") * 100, roll) for roll in (-20, 0, 20)])
    np.testing.assert_allclose(stats.angles(points, "scut86")["roll"], [-20, 0, 20], atol=1e-6)


def test_half_faces_have_no_known_angles() -> None:
    points = np.random.default_rng(0).uniform(0, 100, (3, 39, 2))
    assert {name: len(values) for name, values in stats.angles(points, "menpo39").items()} == {
        "yaw": 0, "pitch": 0, "roll": 0
    }  # fmt: skip


def test_a_packed_source_has_the_same_faces(
    tmp_path: Path, source: str, found: stats.SourceStats
) -> None:
    options = SourceOptions(source=source, name="s", heads=["ibug68"])
    pack.pack(options, tmp_path / "p", PackOptions(size=64), progress=False)
    packed = stats.measure(f"packed:{tmp_path / 'p'}", progress=False)
    assert packed.identities is None
    for name in ("yaw", "pitch", "roll"):
        np.testing.assert_allclose(packed.values[name], found.values[name], atol=0.1)
    np.testing.assert_allclose(packed.values["size"], found.values["size"], rtol=1e-3)
    np.testing.assert_allclose(packed.mean, found.mean, atol=1e-3)
    np.testing.assert_allclose(packed.deviation, found.deviation, atol=1e-3)


def test_occluded_and_missing_points(shared_data: Path) -> None:
    path = shared_data / "format_samples" / "cofw" / "test_cofw.json"
    found = stats.measure(f"coco:{path}", progress=False)
    flags = [value for annotation in json.loads(path.read_text())["annotations"]
             for value in annotation["keypoints"][2::3]]
    assert found.occluded == pytest.approx(flags.count(1) / len(flags)) and found.occluded > 0


def test_real_poses(shared_data: Path) -> None:
    """AFLW2000-3D's own angles against those of its points."""
    found = stats.measure(f"aflw2000:{shared_data / 'aflw2000'}", progress=False)
    records = sources.read(f"aflw2000:{shared_data / 'aflw2000'}").records
    for name in ("yaw", "pitch", "roll"):
        truth = np.array([float(record.attributes[name]) for record in records])
        assert np.abs(found.values[name] - truth).mean() < 4


def test_errors_are_kept(tmp_path: Path) -> None:
    source = _write(tmp_path, [MEAN, MEAN + 3, MEAN + 5])
    (tmp_path / "0001_1.pts").write_text("damaged")
    (tmp_path / "0002_1.png").write_bytes(b"no image")
    found = stats.measure(source, progress=False)
    assert found.faces == 2 and len(found.values["brightness"]) == 1
    assert [error.path.name for error in found.remarks.errors] == ["0001_1.pts", "0002_1.png"]
    for path in tmp_path.glob("*.pts"):
        path.write_text("damaged")
    with refuses("version: 1", "damaged", path=tmp_path / "0000_1.pts", line=1):
        stats.measure(source, progress=False)
    (tmp_path / "empty").mkdir()
    with refuses(f"source ibug:{tmp_path / 'empty'}", "no annotated face"):
        stats.measure(f"ibug:{tmp_path / 'empty'}", progress=False)


@pytest.mark.parametrize("hidden", [range(36, 42), range(36, 48), range(1, 68)])
def test_faces_without_an_eye_have_a_shape(hidden: range, tmp_path: Path) -> None:
    """No face shows which way is up: they are compared as they lie."""
    shown = np.delete(np.arange(68), hidden)
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for index in range(20):
        write_image(tmp_path / f"{index}.png")
        points = np.column_stack([MEAN + rng.normal(0, 1, (68, 2)), np.full(68, 2)])
        points[hidden] = 0
        images.append({"id": index, "file_name": f"{index}.png"})
        annotations.append({"image_id": index, "keypoints": points.ravel().tolist()})
    listed = tmp_path / "list.json"
    listed.write_text(json.dumps({"images": images, "annotations": annotations}))
    found = stats.measure(f"coco:{listed}", progress=False)
    assert np.isnan(found.mean[hidden]).all() and not len(found.values["yaw"])
    stats_plot.draw(tmp_path / "stats.png", [found])
    if len(shown) == 1:
        assert not len(found.values["residual"])  # it has no size
        assert not len(found.values["brightness"])
        return
    side = np.ptp(MEAN[shown], axis=0).max()
    spread = np.sqrt((found.deviation[shown] ** 2).mean())
    assert spread == pytest.approx(np.sqrt(2) / side, rel=0.2)
    expected = (MEAN[shown] - MEAN[shown].mean(axis=0)) / side
    centred = found.mean[shown] - found.mean[shown].mean(axis=0)
    np.testing.assert_allclose(centred, expected, atol=0.02)


def test_a_single_face_has_no_spread(tmp_path: Path) -> None:
    found = stats.measure(_write(tmp_path, [MEAN]), progress=False)
    assert np.isnan(found.deviation).all()
    assert found.to_json()["points"][0]["deviation"] is None
    stats_plot.draw(tmp_path / "a.png", [found])
    assert cv2.imread(str(tmp_path / "a.png")).std() > 5


def test_the_command_writes_and_says(
    tmp_path: Path, source: str, shared_data: Path, capsys: pytest.CaptureFixture
) -> None:
    """Sources of different points side by side, one of them without a tip of the nose."""
    picture = tmp_path / "out" / "stats.png"
    scut = f"scut:{shared_data / 'scut_fbp5500'}"
    assert not data.main(["stats", source, scut, "--output", str(picture), "--quiet"])
    out = capsys.readouterr().out
    assert_told(out, "faces", f"{FACES} of {FACES}", "ibug68")
    assert_told(out, 1, "CM152.pts")
    assert_told(out, f"efld-data check {scut}")
    known, other = json.loads(picture.with_suffix(".json").read_text())
    assert known["measures"]["brightness"]["percentiles"]["50"] == 77
    assert set(other["measures"]) == {"roll", "size", "residual", "brightness"}
    assert len(other["unusable"]) == 1 and other["faces"] == 3999
    assert cv2.imread(str(picture)).std() > 10


def test_how_far_it_is(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In lines as often as they come, and at a terminal."""
    monkeypatch.setattr(progress, "FIRST", 0.0)
    monkeypatch.setattr(progress, "EVERY", 0.0)
    words = ["stats", source, "--output", str(tmp_path / "a.png")]
    assert not data.main(words)
    out, err = capsys.readouterr()
    told = err.splitlines()
    assert "\r" not in err and len(set(told)) == len(told) == 2 * FACES and "images" not in out
    assert told[0].startswith("annotations of ibug:") and ": 1 [" in told[0]
    assert f": {FACES} [" in told[FACES - 1]
    assert told[FACES].startswith(f"images: 0% 1/{FACES} [") and "face/s]" in told[FACES]
    assert told[-1].startswith(f"images: 100% {FACES}/{FACES} [")
    assert not data.main([*words, "--quiet"])
    assert capsys.readouterr() == (out, "")
    program = str(Path(sys.executable).parent / "efld-data")
    written = run_at_terminal([program, *words], tmp_path, tmp_path / "out")
    assert "annotations of ibug:" in written and "images:   0%|" in written
    assert screen(written) == [] and (tmp_path / "out").read_text() == out
