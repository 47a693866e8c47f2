"""AFLW2000-3D: AFLW's first 2,000 faces with 68 points of a fitted 3-D model.

`NAME.mat` beside `NAME.jpg` holds `pt3d_68` [3 x 68], x, y and depth, and `Pose_Para`, which starts
with pitch, yaw and roll in radians. The points lie on the model whether they are visible or not, so
that the jaw of a turned face is not its outline: they are `ibug68_3d`, not `ibug68`. `roi` is the
region of AFLW's photo from which the image was cut, not a box in the image. Coordinates are assumed
to count from 1, as MATLAB's do; the publishers do not say.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from efld_tf.annotations import image_paths, listing, matlab
from efld_tf.annotations.format import Format
from efld_tf.annotations.record import FaceRecord, checked_points
from efld_tf.errors import DataError

SCHEMA = "ibug68_3d"
MAX_FILE_BYTES = 1 << 17


def read(path: Path) -> Iterator[FaceRecord | DataError]:
    """The faces of a folder, sorted by name, with `pitch`, `yaw` and `roll` in degrees.

    Raises:
      DataError: `path` is not a folder.
    """
    if not path.is_dir():
        raise DataError(path, "expected a folder with .mat files and their images")
    for file in listing.files(path, [".mat"], deep=False):  # not those of its folder Code
        try:
            variables = matlab.read_mat(file, ["pt3d_68", "Pose_Para"], MAX_FILE_BYTES)
            *points, depth = matlab.array(variables, "pt3d_68", file, 3, 68)
            image = image_paths.find_image([path], f"{file.stem}.jpg", file)
            yield FaceRecord(
                image,
                checked_points(
                    matlab.pixels(np.transpose(points), file, "pt3d_68"), SCHEMA, file),
                SCHEMA,
                depth=depth_of(depth, file),
                attributes=pose(variables, file),
                identity=file.stem,
            )
        except DataError as error:
            yield error


def depth_of(values: np.ndarray, path: Path) -> np.ndarray:
    """Depths of `pt3d_68` as [68] float32.

    Raises:
      DataError: one is not a number.
    """
    if not np.isfinite(values).all():
        raise DataError(path, "pt3d_68: a depth is not a finite number")
    return values.astype(np.float32)


def pose(variables: dict[str, matlab.Value], path: Path) -> dict[str, str]:
    """The attributes `pitch`, `yaw` and `roll` in degrees, from radians in `Pose_Para`.

    Raises:
      DataError: there is no such array, or an angle is not a number.
    """
    angles = np.degrees(matlab.array(variables, "Pose_Para", path, 1, 7)[0, :3])
    if not (np.abs(angles) <= 360).all():
        raise DataError(path, "expected three angles first in Pose_Para")
    return {
        name: f"{angle:.1f}" for name, angle in zip(("pitch", "yaw", "roll"), angles, strict=True)
    }


FORMAT = Format(
    "aflw2000", "AFLW2000-3D", read, ("ibug68_3d",), "FOLDER", "NAME.mat beside NAME.jpg",
    "research only; check the publisher's terms, of AFLW too",
)
