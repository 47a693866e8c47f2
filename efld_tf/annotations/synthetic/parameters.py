"""The parameters of a synthetic face: the random numbers behind one image, with names.

Lengths are in millimetres of a head whose jaw is about 145 wide; angles are in degrees; colours are
sRGB in 0..255; everything else is a factor or an amount in [0, 1] unless said otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SKIN_TONES = np.array(
    [
        [250, 224, 208], [248, 215, 194], [242, 204, 180], [234, 190, 160], [222, 172, 138],
        [204, 150, 114], [178, 124, 90], [146, 98, 70], [110, 72, 52], [78, 51, 39],
    ]
)  # fmt: skip
HAIR_TONES = np.array(
    [
        [22, 18, 17], [40, 28, 22], [62, 42, 30], [92, 62, 40], [126, 88, 54], [176, 134, 84],
        [214, 180, 126], [140, 66, 34], [130, 126, 122], [205, 202, 198],
    ]
)  # fmt: skip
IRIS_TONES = np.array(
    [
        [52, 32, 22], [78, 48, 28], [104, 68, 36], [112, 98, 56], [86, 104, 72], [84, 112, 136],
        [108, 126, 140],
    ]
)  # fmt: skip
HAIR_STYLES = ("bald", "receding", "buzz", "short", "fringe", "bob", "long", "tied", "cover")
HAIR_STYLE_ODDS = (0.06, 0.08, 0.1, 0.26, 0.13, 0.1, 0.14, 0.08, 0.05)


@dataclass(frozen=True)
class Pose:
    """Head rotation and camera. Positive yaw turns the nose to the image's right, positive pitch
    lifts it, positive roll turns the image of the face clockwise: yaw is the other way round than
    in `landmarks.pose`."""

    yaw: float
    pitch: float
    roll: float
    camera_distance: float


@dataclass(frozen=True)
class Shape:
    """The shape of the head, which makes the person."""

    width: float
    length: float
    chin_drop: float
    jaw_width: float
    chin_height: float
    cheek_height: float
    forehead_bulge: float
    eye_distance: float
    eye_y: float
    eye_half_width: float
    eye_height: float
    eye_tilt: float
    eye_depth: float
    lid_crease: float
    brow_y: float
    brow_arch: float
    brow_thickness: float
    brow_tilt: float
    brow_ridge: float
    nose_length: float
    nose_width: float
    nose_height: float
    nose_bump: float
    nose_bridge_width: float
    mouth_y: float
    mouth_half_width: float
    upper_lip: float
    lower_lip: float
    cupid_bow: float
    ear_size: float
    ear_flare: float


@dataclass(frozen=True)
class Expression:
    """The expression of the face. Pairs are (right, left) of the subject."""

    eye_opening: tuple[float, float]
    gaze: tuple[float, float]
    mouth_gap: float
    smile: tuple[float, float]
    pucker: float
    brow_raise: tuple[float, float]
    frown: float


@dataclass(frozen=True)
class Look:
    """The colours, hair and make-up of the head."""

    skin: np.ndarray
    blush: float
    age: float
    freckles: float
    lips: np.ndarray
    lip_opacity: float
    iris: np.ndarray
    hair: np.ndarray
    brow: np.ndarray
    brow_density: float
    lashes: float
    eye_shadow: float
    hair_style: str
    hair_thickness: float
    hairline: float
    hair_length: float
    hair_curl: float
    hair_part: float
    beard: float
    beard_length: float
    moustache: float
    cloth: np.ndarray
    gloss: float


@dataclass(frozen=True)
class FaceParameters:
    """Everything about the head itself; the scene around it is drawn in `scene`."""

    pose: Pose
    shape: Shape
    expression: Expression
    look: Look


def sample_parameters(rng: np.random.Generator) -> FaceParameters:
    """Draws a random face."""
    masculine = float(rng.random())
    return FaceParameters(
        sample_pose(rng), _sample_shape(rng, masculine), sample_expression(rng),
        _sample_look(rng, masculine),
    )  # fmt: skip


def sample_pose(rng: np.random.Generator) -> Pose:
    """Draws mostly moderate angles, with a tail up to yaw 50, pitch 25, roll 30."""
    wide = rng.random() < 0.25
    yaw, pitch, roll = rng.normal(0, [30, 13, 16] if wide else [14, 7, 7])
    return Pose(
        yaw=float(np.clip(yaw, -50, 50)),
        pitch=float(np.clip(pitch, -25, 25)),
        roll=float(np.clip(roll, -30, 30)),
        camera_distance=float(np.exp(rng.uniform(np.log(450), np.log(2500)))),
    )


def _sample_shape(rng: np.random.Generator, masculine: float) -> Shape:
    def around(mean: float, spread: float) -> float:
        return float(mean + spread * np.clip(rng.normal(), -2.2, 2.2))

    return Shape(
        width=around(1.0, 0.05),
        length=around(1.0, 0.05),
        chin_drop=around(1.5, 5.0),
        jaw_width=around(4.0 * masculine - 2.0, 3.5),
        chin_height=around(3.0 + 2.5 * masculine, 1.5),
        cheek_height=around(4.0, 1.5),
        forehead_bulge=around(0.0, 2.5),
        eye_distance=around(32.8, 1.8),
        eye_y=around(-37.5, 2.0),
        eye_half_width=around(13.1, 1.0),
        eye_height=around(10.4, 1.6),
        eye_tilt=around(1.0, 1.3),
        eye_depth=around(6.5, 1.5),
        lid_crease=float(rng.uniform(0, 1)),
        brow_y=around(0.0, 2.8),
        brow_arch=around(1.0, 0.45),
        brow_thickness=around(5.6 + 2.2 * masculine, 1.3),
        brow_tilt=around(0.0, 1.6),
        brow_ridge=around(1.0 + 2.0 * masculine, 1.0),
        nose_length=around(0.0, 3.8),
        nose_width=around(1.0, 0.11),
        nose_height=around(1.0, 0.13),
        nose_bump=around(0.6, 1.3),
        nose_bridge_width=around(1.12, 0.15),
        mouth_y=around(28.3, 2.4),
        mouth_half_width=around(27.2, 2.4),
        upper_lip=max(2.2, around(7.4 - 1.6 * masculine, 1.7)),
        lower_lip=max(3.8, around(9.6 - masculine, 2.0)),
        cupid_bow=float(rng.uniform(0.2, 1.0)),
        ear_size=around(1.0, 0.1),
        ear_flare=float(rng.uniform(18, 45)),
    )


def sample_expression(rng: np.random.Generator) -> Expression:
    """Draws an expression: neutral, smiling, talking, laughing, surprised, frowning or blinking."""
    blink = rng.random()
    opening = float(rng.uniform(0.0, 0.12) if blink < 0.08 else rng.beta(6, 2))
    opening = 0.0 if blink < 0.05 else opening
    other_opening = opening
    if rng.random() < 0.06:
        other_opening = float(rng.uniform(0, 1))
    if rng.random() < 0.5:
        opening, other_opening = other_opening, opening
    speaking = rng.random()
    gap = 0.0 if speaking < 0.45 else float(rng.uniform(1, 9))
    gap = float(rng.uniform(8, 27)) if speaking > 0.86 else gap
    smile = float(np.clip(rng.normal(0.3, 0.5), -0.6, 1.2))
    if smile > 0.45 and rng.random() < 0.5:  # a smile that shows the teeth
        gap = float(rng.uniform(3, 9))
    lopsided = float(rng.normal(0, 0.1))
    surprise = float(np.clip(rng.normal(0.0, 0.45), -0.6, 1.4))
    return Expression(
        eye_opening=(opening, other_opening),
        gaze=(float(np.clip(rng.normal(0, 0.35), -1, 1)), float(rng.uniform(-0.6, 0.6))),
        mouth_gap=gap,
        smile=(smile + lopsided, smile - lopsided),
        pucker=float(rng.uniform(0.1, 0.9)) if smile < 0.2 and rng.random() < 0.3 else 0.0,
        brow_raise=(surprise + float(rng.normal(0, 0.15)), surprise + float(rng.normal(0, 0.15))),
        frown=float(np.clip(rng.normal(-0.1, 0.5), 0, 1.2)),
    )


def _tone(rng: np.random.Generator, tones: np.ndarray, spread: float) -> np.ndarray:
    """A colour between two neighbouring tones, slightly off."""
    place = rng.uniform(0, len(tones) - 1)
    i = int(place)
    mix = tones[i] + (place - i) * (tones[min(i + 1, len(tones) - 1)] - tones[i])
    return np.clip(mix * rng.uniform(1 - spread, 1 + spread, 3), 4, 252)


def _sample_look(rng: np.random.Generator, masculine: float) -> Look:
    skin = _tone(rng, SKIN_TONES, 0.05)
    style = str(rng.choice(HAIR_STYLES, p=HAIR_STYLE_ODDS))
    dark = rng.random() < 0.5
    hair = _tone(rng, HAIR_TONES[:4] if dark or skin.mean() < 120 else HAIR_TONES, 0.06)
    if style == "cover":
        hair = rng.uniform(10, 245, 3)
    brow_base = _tone(rng, HAIR_TONES[:4], 0.06) if style == "cover" else hair
    bearded = masculine > 0.5 and rng.random() < 0.45
    painted = masculine < 0.5 and rng.random() < 0.4
    natural = np.clip(skin * [0.86, 0.62, 0.62] + [14, 6, 8], 0, 255)
    lipstick = np.array([rng.uniform(120, 215), rng.uniform(20, 90), rng.uniform(40, 110)])
    return Look(
        skin=skin,
        blush=float(rng.uniform(0, 0.5)),
        age=float(rng.beta(1.3, 2.2)),
        freckles=float(rng.uniform(0, 1)) if rng.random() < 0.2 else 0.0,
        lips=lipstick if painted else natural,
        lip_opacity=float(rng.uniform(0.6, 0.95) if painted else rng.uniform(0.35, 0.85)),
        iris=_tone(rng, IRIS_TONES[:3] if dark or skin.mean() < 140 else IRIS_TONES, 0.1),
        hair=hair,
        brow=np.minimum(brow_base * rng.uniform(0.5, 0.9), skin * 0.72),
        brow_density=float(rng.uniform(0.45, 1.0)),
        lashes=float(rng.uniform(0.5, 0.8) if masculine > 0.5 else rng.uniform(0.65, 1.0)),
        eye_shadow=float(rng.uniform(0.1, 0.5)) if painted else 0.0,
        hair_style=style,
        hair_thickness=float(rng.uniform(0.7, 2.0)),
        hairline=float(np.clip(rng.normal(0, 6), -12, 12)),
        hair_length=float(rng.uniform(50, 150)),
        hair_curl=float(rng.random()),
        hair_part=float(rng.normal(0, 0.5)),
        beard=float(rng.uniform(0.25, 1.0)) if bearded else 0.0,
        beard_length=float(rng.uniform(0, 1)) if bearded else 0.0,
        moustache=float(rng.uniform(0.3, 1.0)) if bearded and rng.random() < 0.8 else 0.0,
        cloth=rng.uniform(8, 240, 3),
        gloss=float(rng.uniform(0.02, 0.3)),
    )
