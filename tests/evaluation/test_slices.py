"""What divides faces into groups, on faces of which it is known."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from efld_tf.evaluation import evaluate, slices, slices_plot
from efld_tf.evaluation import faces as faces_of
from efld_tf.landmarks import metrics, pose, schemas
from efld_tf.landmarks.geometry import CropRule
from efld_tf.landmarks.schema import ANCHORS
from tests import faces
from tests.evaluation.predictors import Fixed

SIZE = 64
NAMED = {attribute.name: attribute for attribute in slices.ATTRIBUTES}


def of(
    points: np.ndarray, crops: np.ndarray | None = None, schema: str = "ibug68", side: float = 200.0
) -> faces_of.EvaluationFaces:
    """Faces of these points [F, N, 2] in crops of `side` pixels of their photos."""
    count = len(points)
    if crops is None:
        crops = np.full((count, SIZE, SIZE, 3), 128, np.uint8)
    return faces_of.EvaluationFaces(
        source="made", schema=schema, crop_rule=CropRule("points", schema, 1.2, 0.0, 0.0),
        crop_rule_from="model", crops=crops, points=points.astype(np.float32),
        sides=np.full((count, 2), side), names=[str(i) for i in range(count)],
        people=[str(i) for i in range(count)],
        attributes=[{}] * count, skipped=[], view=lambda index, square, size: crops[index],
        reach=1.0,
    )


def evaluated(found: faces_of.EvaluationFaces, errors: np.ndarray) -> evaluate.Evaluation:
    """An evaluation in which every point of a face is wrong by `errors` [F], an NME."""
    schema = schemas.get(found.schema)
    distance = schema.normaliser.distance(found.points)
    predicted = found.points + (errors * distance)[:, None, None] * np.array([0.6, 0.8])
    return evaluate.Evaluation(
        Fixed(), found, schema, predicted, found.points, schema.normaliser.name,
        metrics.nme(predicted, found.points, schema),
    )


def turned(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """The five points [5, 2] of `mtfl5` of a mean face so turned (AFLW2000's convention)."""
    x, y, z = np.radians([-pitch, yaw, roll])
    about_x = np.array([[1, 0, 0], [0, np.cos(x), -np.sin(x)], [0, np.sin(x), np.cos(x)]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_z = np.array([[np.cos(z), -np.sin(z), 0], [np.sin(z), np.cos(z), 0], [0, 0, 1]])
    seen = pose.MEAN_FACE @ (about_x @ about_y @ about_z).T
    schema, points = schemas.get("mtfl5"), np.zeros((5, 2))
    for name, place in zip(ANCHORS, seen, strict=False):
        points[list(schema.anchors[name])] = place[:2] * [1, -1]
    points[list(schema.nose_tip)] = seen[4, :2] * [1, -1]
    return points * 0.3 + 0.5


def groups_of(found: faces_of.EvaluationFaces, name: str) -> list[str]:
    """The group of every face; empty where it has none."""
    sliced = slices.measure(evaluated(found, np.full(len(found), 0.05)))
    result = [""] * len(found)
    for group, members in sliced.groups(NAMED[name]):
        for index in np.flatnonzero(members):
            assert not result[index], "a face is in two groups"
            result[index] = group
    return result


def test_pose() -> None:
    angles = [(0, 0, 0), (12, 0, 0), (-30, 0, 0), (55, 0, 0), (0, 15, 0), (0, -25, 0), (0, 0, -20)]
    found = of(np.stack([turned(*a) for a in angles]), schema="mtfl5")
    assert groups_of(found, "yaw") == [
        "below 10", "10 to 25", "25 to 40", "40 and more", "below 10", "below 10", "below 10"]
    assert groups_of(found, "pitch")[4:6] == ["10 to 20", "below -20"]
    assert groups_of(found, "roll")[-1] == "15 to 30"


def test_positive_pitch_looks_up() -> None:
    schema = schemas.get("mtfl5")
    nose, eye = schema.nose_tip[0], schema.anchors["right_eye"][0]
    level, up = turned(0, 0, 0), turned(0, 20, 0)
    assert up[nose, 1] - up[eye, 1] < level[nose, 1] - level[eye, 1]  # y is down


def test_openings_do_not_depend_on_the_roll() -> None:
    shape = faces.mean_shape("ibug68")
    schema = schemas.get("ibug68")
    lips = list(next(p.points for p in schema.parts if p.name == "inner_lips"))
    eyes = [list(p.points) for p in schema.parts if p.name in ("right_eye", "left_eye")]
    shape[lips, 1] = 0.72 + (shape[lips, 1] - 0.72) * 0.1 / np.ptp(shape[lips, 1])
    for eye in eyes:
        centre = shape[eye].mean(axis=0)
        shape[eye] = centre + (shape[eye] - centre) * [1, 0.25 * np.ptp(shape[eye, 0])
                                                       / np.ptp(shape[eye, 1])]
    turn = np.radians(35)
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    found = of(np.stack([shape, (shape - 0.5) @ rotation.T + 0.5]))
    distance = np.linalg.norm(shape[36] - shape[45])
    np.testing.assert_allclose(slices.mouth_opening(found), 0.1 / distance, rtol=1e-4)
    np.testing.assert_allclose(slices.eye_opening(found), 0.25, rtol=1e-4)
    np.testing.assert_allclose(slices.face_size(found), 200 * distance, rtol=1e-5)


def test_pictures() -> None:
    points = np.stack([faces.mean_shape("ibug68")] * 3)
    noise = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 1)).repeat(3, 2).astype(np.uint8)
    crops = np.stack([np.full((SIZE, SIZE, 3), 77, np.uint8), noise,
                      cv2.GaussianBlur(noise, (0, 0), 2)])
    crops[0, :2] = 255  # outside the face
    found = of(points, crops)
    assert slices.brightness(found)[0] == pytest.approx(77)
    flat, sharp, blurred = slices.sharpness(found)
    assert flat == pytest.approx(0, abs=1e-3) and sharp > 2 * blurred > 0
    assert groups_of(found, "sharpness") == ["blurred", "sharp", "middle"]


@pytest.mark.parametrize(
    ("lightness", "yellow", "tone"),
    [(80, 15, "very light"), (66, 15, "light"), (60, 15, "intermediate"), (55, 15, "tan"),
     (45, 15, "brown"), (30, 15, "dark")],
)  # arctan((L - 50) / b): 63, 47, 34, 18, -18, -53 degrees
def test_skin_tone(lightness: float, yellow: float, tone: str) -> None:
    lab = np.full((SIZE, SIZE, 3), (lightness, 10, yellow), np.float32)
    crop = np.rint(255 * cv2.cvtColor(lab, cv2.COLOR_LAB2RGB)).astype(np.uint8)
    crop[:, SIZE // 2 - 2 : SIZE // 2 + 2] = 0  # between the cheeks
    found = of(faces.mean_shape("ibug68")[None], crop[None])
    expected = np.degrees(np.arctan2(lightness - 50, yellow))
    assert slices.skin_tone(found)[0] == pytest.approx(expected, abs=2)
    assert groups_of(found, "skin_tone") == [tone]


@pytest.mark.parametrize("colour", [(200, 200, 200), (40, 40, 40), (120, 140, 200)])
def test_photos_without_skin_s_colour_do_not_tell_its_tone(colour: tuple[int, ...]) -> None:
    crops = np.full((2, SIZE, SIZE, 3), (224, 172, 105), np.uint8)  # the second one has
    crops[0] = colour
    found = of(np.stack([faces.mean_shape("ibug68")] * 2), crops)
    assert np.isnan(slices.skin_tone(found)).tolist() == [True, False]
    sliced = slices.measure(evaluated(found, np.array([0.02, 0.04])))
    assert sliced.summary()["attributes"]["skin_tone"]["not_told"] == 1


def test_what_points_do_not_tell_is_left_out() -> None:
    found = of(np.stack([turned(0, 0, 0)] * 2), schema="mtfl5")
    sliced = slices.measure(evaluated(found, np.array([0.02, 0.04])))
    names = {attribute.name for attribute in sliced.attributes}
    assert "yaw" in names and "face_size" in names
    assert not names & {"eye_opening", "mouth_opening"}


def test_the_figures_of_groups() -> None:
    points = np.stack([faces.mean_shape("ibug68")] * 5)
    points[4, 30] = np.nan  # no tip of the nose: no pose
    found = of(points)
    found.sides[:] = np.array([100, 100, 400, 400, 400])[:, None]
    summary = slices.measure(evaluated(found, np.array([0.02, 0.04, 0.03, 0.13, 0.05]))).summary()
    distance = np.linalg.norm(points[0, 36] - points[0, 45])
    assert 100 * distance < 64 <= 128 <= 400 * distance
    size = summary["attributes"]["face_size"]
    assert [g["group"] for g in size["groups"]] == ["32 to 64", "128 and more"]
    small, large = size["groups"]
    assert small == {
        "group": "32 to 64", "faces": 2, "people": 2,
        "nme_interocular_percent": pytest.approx(3, abs=1e-3),
        # The standard deviation of 2 and 4 is 1.414.
        "standard_error_percent": pytest.approx(1, abs=1e-3), "failure_rate_10_percent": 0.0,
    }
    assert large["nme_interocular_percent"] == pytest.approx(7, abs=1e-3)
    assert large["failure_rate_10_percent"] == pytest.approx(100 / 3, abs=1e-3)
    yaw = summary["attributes"]["yaw"]
    assert yaw["not_told"] == 1 and sum(g["faces"] for g in yaw["groups"]) == 4


def test_faces_of_one_person_count_as_what_they_share() -> None:
    """Copies of a face say nothing new; faces that differ within people alone cancel out."""
    values, people = np.random.default_rng(0).normal(3, 1, 12), np.arange(12)
    alone = slices.standard_error(values, people)
    assert alone == pytest.approx(values.std(ddof=1) / np.sqrt(12))
    copies = slices.standard_error(np.repeat(values, 5), np.repeat(people, 5))
    assert copies == pytest.approx(alone)
    within = slices.standard_error(np.tile([1.0, 3.0], 12), np.repeat(people, 2))
    assert within == pytest.approx(0, abs=1e-12)
    # By hand: 11 people have one face of 2; the last has two of 8 each. The mean is 38 / 13.
    apart = np.array([11 * [2.0 - 38 / 13] + [16 - 2 * 38 / 13]])
    by_hand = np.sqrt(12 / 11 * (apart**2).sum()) / 13
    found = slices.standard_error(np.array([*11 * [2.0], 8, 8]), np.array([*range(11), 11, 11]))
    assert found == pytest.approx(by_hand)


def test_few_people_with_several_faces_have_no_standard_error() -> None:
    values = np.array([2.0, 4.0, 3.0, 7.0])
    assert slices.standard_error(values, np.arange(4)) == pytest.approx(values.std(ddof=1) / 2)
    assert np.isnan(slices.standard_error(values, np.array(list("aabb"))))
    assert np.isnan(slices.standard_error(values[:1], np.array(["a"])))


def test_people_follow_their_faces(tmp_path) -> None:
    found = of(np.stack([faces.mean_shape("ibug68")] * 3))
    found.people[:] = ["anna", "anna", "ben"]
    turned_round = found.ordered([2, 0, 1])
    assert turned_round.people == ["ben", "anna", "anna"]
    sliced = slices.measure(evaluated(found, np.array([0.02, 0.04, 0.06])))
    (group,) = sliced.summary()["attributes"]["face_size"]["groups"]
    assert (group["faces"], group["people"]) == (3, 2)
    assert group["standard_error_percent"] is None


def test_people_are_those_of_the_source(shared_data: Path) -> None:
    source = f"youtube_faces:{shared_data / 'youtube_faces'}?identities=test"
    rule = CropRule("points", "ibug68", 1.25)
    found = faces_of.load(source, rule, 32, progress=False)
    assert len(set(found.people)) == 50 and len(found) == 613
    for name, person in zip(found.names, found.people, strict=True):
        assert person in name


def test_a_group_of_one_has_no_standard_error() -> None:
    found = of(faces.mean_shape("ibug68")[None])
    attributes = slices.measure(evaluated(found, np.array([0.05]))).summary()["attributes"]
    for about in attributes.values():
        assert [g["standard_error_percent"] for g in about["groups"]] == [None]


@pytest.mark.parametrize("schema", ["mtfl5", "ibug68"])
def test_the_plot_has_room_for_every_attribute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, schema: str
) -> None:
    found = of(np.stack([faces.mean_shape(schema)] * 3), schema=schema)
    sliced = slices.measure(evaluated(found, np.array([0.02, 0.04, 0.06])))
    monkeypatch.setattr(slices_plot.plt, "close", lambda figure: None)
    slices_plot.slices_plot(tmp_path / "slices.png", sliced)
    figure = slices_plot.plt.gcf()
    monkeypatch.undo()
    drawn = [axes.get_title() for axes in figure.axes if axes.axison]
    slices_plot.plt.close(figure)
    assert drawn == [attribute.title for attribute in sliced.attributes] and len(drawn) > 3
    picture = cv2.imread(str(tmp_path / "slices.png"))
    assert picture.std() > 5 and abs(picture.shape[0] - figure.get_figheight() * 110) <= 1
