"""Renders plain faces: frontal, without make-up, glasses and beard; and the sample of the web page.

    python tools/plain_faces.py

writes tools/web/page/sample.jpg.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from efld_tf.annotations.synthetic import parameters
from efld_tf.annotations.synthetic.render import SyntheticFace, compose

SAMPLE = Path(__file__).parent / "web" / "page" / "sample.jpg"
# People whose scenes are plain, too, with 720 pixels: in colour, with nothing before the face.
PEOPLE = (14, 19, 44, 31)
EXPRESSION: dict[str, Any] = {
    "eye_opening": (0.85, 0.85), "gaze": (0.0, 0.0), "mouth_gap": 5.0, "smile": (0.6, 0.6),
    "pucker": 0.0, "brow_raise": (0.1, 0.1), "frown": 0.0,
}


def plain_face(person: int, size: int, *, yaw: float = 0.0, **expression: Any) -> SyntheticFace:
    """The rendered face of a person, [size, size, 3].

    Args:
      person: any number from 0 on; those of `PEOPLE` were looked at.
      yaw: the turn of the head in degrees; positive turns the nose to the image's right.
      expression: fields of `parameters.Expression` that differ from `EXPRESSION`.
    """
    face = parameters.sample_parameters(np.random.default_rng([21, person]))
    skin = face.look.skin
    face = replace(
        face,
        pose=parameters.Pose(yaw, 0.0, 0.0, 1200.0),
        expression=parameters.Expression(**{**EXPRESSION, **expression}),
        look=replace(face.look, beard=0.0, beard_length=0.0, moustache=0.0, eye_shadow=0.0,
                     freckles=0.0, lips=np.clip(skin * [0.86, 0.62, 0.62] + [14, 6, 8], 0, 255),
                     lip_opacity=0.6, blush=0.1, age=0.3),
    )
    return compose(face, np.random.default_rng([22, person]), size)


def main() -> None:
    """Writes the sample."""
    image = plain_face(PEOPLE[0], 720, yaw=6.0).image
    cv2.imwrite(str(SAMPLE), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 88])


if __name__ == "__main__":
    main()
