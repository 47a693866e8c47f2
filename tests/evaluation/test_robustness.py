"""Corruptions whose effect is known, and the errors of a predictor that reads points off pixels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from efld_tf import assets
from efld_tf.data import pack
from efld_tf.data.options import PackOptions, SourceOptions
from efld_tf.evaluation import evaluate, robustness, robustness_plots
from efld_tf.evaluation import faces as faces_of
from efld_tf.evaluation.corruptions import CORRUPTIONS, Moved, generator, unit_box
from efld_tf.evaluation.robustness import Subject
from efld_tf.landmarks.geometry import Crop, CropRule
from efld_tf.runtime.predictor import LandmarkPredictor
from efld_tf.scoring import results
from tests import faces
from tests.errors import refuses
from tests.evaluation.predictors import Fixed

NAMED = {corruption.name: corruption for corruption in CORRUPTIONS}
MOVED = [corruption for corruption in CORRUPTIONS if isinstance(corruption, Moved)]

COLOURS = np.array([[250, 0, 0], [0, 250, 0], [0, 0, 250], [250, 250, 0], [250, 0, 250]])
RULE = CropRule("file", "mtfl5", 1.6, 0.02, -0.05)
SIZE = 128


class Reader(Fixed):
    """Finds the five coloured spots of `spotted` in the pixels: right wherever they are."""

    schema, crop_rule, input_size = "mtfl5", RULE, SIZE

    def predict_crops(self, crops: np.ndarray) -> np.ndarray:
        return np.stack([self._points(crop.astype(float)) for crop in crops])

    def _points(self, crop: np.ndarray) -> np.ndarray:
        brightness = crop.max(axis=-1)
        colours = (crop @ (COLOURS / np.linalg.norm(COLOURS, axis=1, keepdims=True)).T).argmax(-1)
        rows, columns = (np.mgrid[:SIZE, :SIZE] + 0.5) / SIZE
        points = []
        for colour in range(5):
            weight = brightness * ((colours == colour) & (brightness > 20))
            points.append([(columns * weight).sum(), (rows * weight).sum()] / weight.sum())
        return np.array(points)


@pytest.fixture(scope="module")
def spotted(tmp_path_factory: pytest.TempPathFactory) -> evaluate.Evaluation:
    """Black photos with a soft spot of its own colour on each of five points."""
    folder = tmp_path_factory.mktemp("spotted")
    random = np.random.default_rng(0)
    lines = []
    for index in range(6):
        points = np.array([[110, 120], [190, 120], [150, 160], [120, 195], [180, 195]])
        points = points + random.uniform(-12, 12, 2) + random.uniform(-5, 5, (5, 2))
        rows, columns = np.mgrid[:320, :320]
        image = np.zeros((320, 320, 3))
        for (x, y), colour in zip(points, COLOURS, strict=True):
            spot = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 5.0**2))
            image = np.maximum(image, spot[..., None] * colour)
        cv2.imwrite(str(folder / f"{index}_0_0.png"), np.rint(image)[..., ::-1])
        x0, x1, y0, y1 = 85, 215, 90, 220
        values = [x0, x1, y0, y1, *points.ravel()]
        lines.append(" ".join([f"{index}_0_0.png", *(f"{v:.3f}" for v in values)]))
    (folder / "list.txt").write_text("\n".join(lines) + "\n")
    found = faces_of.load(f"mtfl:{folder / 'list.txt'}", RULE, SIZE, progress=False)
    return evaluate.evaluate(Reader(), found)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return faces.write_ibug(tmp_path_factory.mktemp("drawn"), 4)


@pytest.fixture(scope="module")
def plain(drawn: Path) -> evaluate.Evaluation:
    """Drawn faces by the shipped model."""
    model = LandmarkPredictor(assets.INT8_MODEL)
    found = faces_of.load(f"ibug:{drawn}", model.crop_rule, model.input_size, progress=False)
    return evaluate.evaluate(model, found)


@pytest.fixture(scope="module")
def measured(plain: evaluate.Evaluation) -> robustness.Robustness:
    return robustness.measure(LandmarkPredictor(assets.INT8_MODEL), plain, progress=False)


def test_moving_the_crop_costs_a_perfect_predictor_nothing(spotted) -> None:
    assert spotted.nme.max() < 0.002
    found = robustness.measure(Reader(), spotted, MOVED, progress=False)
    for curve in found.curves:
        assert curve.nme.shape == (1 + len(curve.corruption.levels), 6)
        assert curve.nme.max() < 0.004, curve.corruption.name


@pytest.mark.parametrize("percent", [5.0, 20.0])
def test_a_shift_is_a_share_of_the_box(spotted, percent: float) -> None:
    directions = set()
    for index in range(6):
        pixels, square = Subject(spotted.faces, index).under(NAMED["box_shift"], percent, SIZE)
        moved = Reader().predict_crops(pixels[None])[0] - spotted.truth[index]
        # The box moves one way, so that the face moves the other way in the crop.
        assert np.linalg.norm(moved, axis=1) == pytest.approx(percent / 100 / 1.6, abs=2e-3)
        away = np.array([square.center_x, square.center_y]) - 0.5
        np.testing.assert_allclose(moved.mean(axis=0), -away, atol=2e-3)
        eighths = np.degrees(np.arctan2(*away[::-1])) / 45
        assert eighths == pytest.approx(round(eighths), abs=1e-9)
        directions.add(round(eighths) % 8)
    assert len(directions) > 2


@pytest.mark.parametrize("percent", [-20.0, 50.0])
def test_a_scaled_box_keeps_its_centre(spotted, percent: float) -> None:
    factor = 1 + percent / 100
    # The crop's centre is not the box's: 0.02 and -0.05 box sides away from it.
    centre = 0.5 - np.array([0.02, -0.05]) / 1.6
    pixels, _ = Subject(spotted.faces, 0).under(NAMED["box_scale"], percent, SIZE)
    expected = (spotted.truth[0] - centre) / factor + centre
    np.testing.assert_allclose(Reader().predict_crops(pixels[None])[0], expected, atol=2e-3)


def test_a_rotation_turns_the_face(spotted) -> None:
    signs = []
    for index in range(6):
        pixels, square = Subject(spotted.faces, index).under(NAMED["rotation"], 30, SIZE)
        angles = []
        for points in (Reader().predict_crops(pixels[None])[0], spotted.truth[index]):
            x, y = points[1] - points[0]
            angles.append(np.degrees(np.arctan2(y, x)))
        assert abs(angles[0] - angles[1]) == pytest.approx(30, abs=0.5)
        assert (square.center_x, square.center_y, square.side) == (0.5, 0.5, 1.0)
        signs.append(np.sign(angles[0] - angles[1]))
    assert set(signs) == {-1, 1}


def test_the_clean_level_is_the_plain_evaluation(measured, plain) -> None:
    for curve in measured.curves:
        np.testing.assert_array_equal(curve.nme[0], plain.nme)
        for index in range(len(plain.faces)):
            subject = Subject(plain.faces, index)
            pixels, square = subject.under(curve.corruption, curve.levels[0], SIZE)
            np.testing.assert_array_equal(pixels, plain.faces.crops[index])
            assert square == Crop(0.5, 0.5, 1.0)


def test_corruptions_begin_at_the_identity(plain) -> None:
    """Each function itself does nothing at, or as close as it gets to, its clean level."""
    box = unit_box(plain.faces.crop_rule)
    for corruption in MOVED:
        for square in corruption.squares(box, 0):
            corners = np.array([[0.0, 0], [1, 0], [0, 1]])
            np.testing.assert_allclose(square.from_unit(corners), corners, atol=1e-12)
    picture = plain.faces.picture(0, 250)
    pixel_box = Crop(124.5, 124.5, 200)
    for name, level in (("blur", 0.01), ("noise", 0), ("darkness", 0), ("occlusion", 0),
                        ("resolution", 200)):
        random = generator("face", name, level)
        changed = NAMED[name].pixels(picture, pixel_box, level, random)
        np.testing.assert_array_equal(changed, picture, err_msg=name)
    smooth = cv2.GaussianBlur(picture, (0, 0), 3)
    best = NAMED["jpeg"].pixels(smooth, pixel_box, 100, random).astype(int)
    assert np.abs(best - smooth).mean() < 1.5


# Of occlusion the place decides too.
@pytest.mark.parametrize("name", ["blur", "noise", "jpeg", "darkness", "resolution"])
def test_each_level_changes_the_picture_more(plain, name: str) -> None:
    corruption = NAMED[name]
    for index in range(len(plain.faces)):
        subject, clean = Subject(plain.faces, index), plain.faces.crops[index].astype(float)
        changes = [
            np.square(subject.under(corruption, level, SIZE)[0] - clean).mean()
            for level in corruption.levels
        ]
        assert (np.diff([0, *changes]) > 0).all()


def test_blur_noise_and_darkness_are_what_they_say() -> None:
    box, random = Crop(150, 150, 200), np.random.default_rng(0)
    point = np.zeros((301, 301, 3), np.uint8)
    point[130:171, 130:171] = 255
    spread = NAMED["blur"].pixels(point, box, 5, random)[..., 0].astype(float)
    places = np.arange(301) - 150
    variance = (spread.sum(axis=0) * places**2).sum() / spread.sum()
    assert variance == pytest.approx(10**2 + (41**2 - 1) / 12, rel=0.02)  # 5% of 200 px

    grey = np.full((300, 300, 3), 128, np.uint8)
    noise = NAMED["noise"].pixels(grey, box, 20, random).astype(float)
    assert noise.std() == pytest.approx(20, rel=0.01) and noise.mean() == pytest.approx(128, 0.01)
    assert abs(np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]) < 0.02

    dark = NAMED["darkness"].pixels(grey, box, 2, random)
    assert (dark == round(128 / 4 ** (1 / 2.2))).all()

    few = NAMED["resolution"].pixels(point, box, 50, random)
    assert few.shape == (75, 75, 3)  # a quarter of the pixels across, as of the box


@pytest.mark.parametrize("percent", [5, 20, 50])
def test_an_occlusion_has_its_share_and_the_colours_of_the_face(percent: float) -> None:
    random = np.random.default_rng(1)
    picture = np.full((250, 250, 3), (180, 120, 90), np.uint8)
    picture[100:150] = (100, 70, 50)
    box = Crop(124.5, 134.5, 200)
    places = []
    for _ in range(30):
        changed = NAMED["occlusion"].pixels(picture, box, percent, random)
        rows, columns = np.nonzero((changed != picture).any(axis=-1))
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert height * width == pytest.approx(percent / 100 * 200**2, rel=0.06)
        assert 1 / 1.6 < height / width < 1.6
        assert columns.min() >= 25 and columns.max() <= 225 and rows.min() >= 35
        places.append([rows.min(), columns.min()])
        hidden = changed[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1]
        inside = picture[35:235, 25:225].reshape(-1, 3)
        np.testing.assert_allclose(hidden.mean(axis=(0, 1)), inside.mean(axis=0), atol=8)
        np.testing.assert_allclose(hidden.std(axis=(0, 1)), inside.std(axis=0), rtol=0.25)
    assert len({tuple(place) for place in places}) > 20


def test_the_same_numbers_in_any_order_and_every_time(measured, plain) -> None:
    model = LandmarkPredictor(assets.INT8_MODEL)
    order = [2, 0, 3, 1]
    other = evaluate.evaluate(model, plain.faces.ordered(order))
    again = robustness.measure(model, other, progress=False)
    alone = robustness.measure(model, plain, [NAMED["noise"]], progress=False)
    for first, second in zip(measured.curves, again.curves, strict=True):
        np.testing.assert_array_equal(first.nme[:, order], second.nme)
    np.testing.assert_array_equal(
        alone.curves[0].nme, next(c.nme for c in measured.curves if c.corruption.name == "noise")
    )


def test_a_level_means_the_same_for_large_and_small_faces(drawn, plain, tmp_path: Path) -> None:
    for path in drawn.glob("*.png"):
        image = cv2.imread(str(path))
        cv2.imwrite(str(tmp_path / path.name), cv2.resize(image, None, fx=3, fy=3))
        head, *points, end = path.with_suffix(".pts").read_text().split("\n")[2:-1]
        larger = 3 * (np.loadtxt(points) - 0.5) + 0.5  # counted from 1
        lines = ["version: 1", "n_points:  68", head, *(f"{x} {y}" for x, y in larger), end]
        (tmp_path / f"{path.stem}.pts").write_text("\n".join(lines) + "\n")
    rule = plain.faces.crop_rule
    large = faces_of.load(f"ibug:{tmp_path}", rule, SIZE, progress=False)
    np.testing.assert_allclose(large.sides, 3 * plain.faces.sides, rtol=1e-5)
    for corruption in CORRUPTIONS:
        level = corruption.levels[2]
        (small, _), (big, _) = (
            Subject(found, 1).under(corruption, level, SIZE) for found in (plain.faces, large)
        )
        assert np.abs(small.astype(float) - big).mean() < 5, corruption.name


def test_packed_crops_as_far_as_they_go(drawn, plain, tmp_path: Path) -> None:
    options = SourceOptions(f"ibug:{drawn}", "p", ["ibug68"])
    options = replace(options, crop=replace(options.crop, scale=1.25))
    rule = plain.faces.crop_rule
    pack.pack(options, tmp_path / "p", PackOptions(192, 1.25, zoom=rule.zoom, jpeg_quality=100),
              progress=False)
    packed = faces_of.load(f"packed:{tmp_path / 'p'}", rule, SIZE, split="train")
    model = LandmarkPredictor(assets.INT8_MODEL)
    found = robustness.measure(model, evaluate.evaluate(model, packed), progress=False)
    # By hand: a shift by p% needs 1 + 2 p / 96 crop sides, a rotation |cos| + |sin|.
    left_out = {c.corruption.name: c.left_out for c in found.curves if c.left_out}
    assert left_out == {"box_shift": (15, 20, 30), "box_scale": (30, 50),
                        "rotation": (20, 30, 45, 60)}
    shifts = found.summary()["corruptions"]["box_shift"]
    assert shifts["levels"] == [0, 2.5, 5, 10] and len(shifts["failure_rate_10_percent"]) == 4
    for corruption, level in ((NAMED["box_shift"], 10), (NAMED["rotation"], 10),
                              (NAMED["noise"], 20)):
        stored, photo = (
            Subject(faces, 0).under(corruption, level, SIZE)[0].astype(float)
            for faces in (packed, plain.faces)
        )
        assert np.abs(stored - photo).mean() < 4, corruption.name


def test_the_section_of_results(measured, plain, tmp_path: Path) -> None:
    summary = measured.summary()
    results.validate({"robustness": summary}, tmp_path / "r.json")
    with refuses("robustness.corruptions", "mapping", path=tmp_path / "r.json"):
        results.validate({"robustness": {**summary, "corruptions": []}}, tmp_path / "r.json")
    assert list(summary["corruptions"]) == list(NAMED)
    for curve in measured.curves:
        section = summary["corruptions"][curve.corruption.name]
        assert section["levels"] == [curve.corruption.clean, *curve.corruption.levels]
        assert section["nme_interocular_percent"] == pytest.approx(
            100 * curve.nme.mean(axis=1), abs=1e-4)
        assert section["failure_rate_10_percent"] == pytest.approx(
            100 * (curve.nme > 0.1).mean(axis=1), abs=1e-4)
        plainly = plain.summary()
        assert section["nme_interocular_percent"][0] == plainly["nme_interocular_percent"]
        assert section["failure_rate_10_percent"][0] == plainly["failure_rate_10_percent"]


def test_pictures_are_drawn(measured, tmp_path: Path) -> None:
    robustness_plots.curves_plot(tmp_path / "curves.png", measured)
    robustness_plots.levels_sheet(tmp_path / "levels.png", measured)
    assert cv2.imread(str(tmp_path / "curves.png")).std() > 10
    sheet = cv2.imread(str(tmp_path / "levels.png"))
    tile = robustness_plots.TILE
    # A title, the clean level and at most seven others.
    assert sheet.shape[1] == 9 * tile and sheet.shape[0] > 9 * tile
    assert sheet[: tile, tile : 2 * tile].std() > 10


def test_random_numbers_depend_on_all_three() -> None:
    keys = [("a", "noise", 5), ("b", "noise", 5), ("a", "blur", 5), ("a", "noise", 10)]
    assert len({generator(*key).integers(1 << 62) for key in keys}) == 4
    assert generator(*keys[0]).integers(1 << 62) == generator("a", "noise", 5.0).integers(1 << 62)
