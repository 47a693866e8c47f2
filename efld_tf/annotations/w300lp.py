"""300W-LP: the photos of 300-W turned to large poses, with 68 points.

The folders `AFW`, `HELEN`, `IBUG` and `LFPW`, and with `_Flip` behind their names the mirrored
copies, hold `NAME.jpg` with `NAME.mat`: `Pose_Para` as AFLW2000-3D has it, `pt2d` [2 x 68] and in
some editions `pt3d_68` [3 x 68]. `landmarks/FOLDER/NAME_pts.mat` holds `pts_3d` [68 x 2], the
points of the fitted 3-D model, and `pts_2d` [68 x 2], whose jaw follows the visible outline.
Coordinates are assumed to count from 1, as MATLAB's do; the publishers do not say.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from efld_tf.annotations import aflw2000, ibug, image_paths, listing, matlab
from efld_tf.annotations.format import Format
from efld_tf.annotations.record import FaceRecord, checked_points
from efld_tf.errors import DataError, EfldError

FOLDERS = ("AFW", "HELEN", "IBUG", "LFPW")
MIRRORED = "_Flip"

# For each value of `points`, their schema, the array of NAME_pts.mat, and that of NAME.mat with its
# rows; the third one is the depth.
ARRAYS = {
    "3d": ("ibug68_3d", "pts_3d", "pt3d_68", 3), "2d": ("ibug68", "pts_2d", "pt2d", 2),
}
MAX_FILE_BYTES = 1 << 17


def read(
    path: Path, *, points: str = "3d", mirrored: str = "no"
) -> Iterator[FaceRecord | DataError]:
    """The faces of the data set's folder, or of one of the folders in it, sorted by name.

    The identity is the photo of 300-W, whatever its angle, face and mirroring. The attributes are
    `pitch`, `yaw` and `roll` in degrees and `points` as read.

    Args:
      points: `3d`, the model's, which are of the schema `ibug68_3d` and have a depth in editions
        with `pt3d_68`; or `2d`, with the visible outline, of `ibug68`.
      mirrored: `yes` reads the folders of mirrored copies too, which the published `landmarks`
        may not cover; training mirrors faces anyway.

    Raises:
      DataError: `path` is neither of these folders.
      EfldError: an option has another value.
    """
    if points not in ARRAYS:
        raise EfldError(f"points: expected one of {', '.join(ARRAYS)}, got {points!r}")
    if mirrored not in ("no", "yes"):
        raise EfldError(f"mirrored: expected no or yes, got {mirrored!r}")
    folder_names = [name + end for name in FOLDERS for end in ("", MIRRORED)]
    if path.absolute().name in folder_names:
        root, names = path.absolute().parent, [path.absolute().name]
    else:
        root = path
        names = [n for n in folder_names if mirrored == "yes" or not n.endswith(MIRRORED)]
    folders = [root / name for name in names if (root / name).is_dir()]
    if not folders:
        raise DataError(path, f"expected a folder with {', '.join(FOLDERS)} or one of them")
    for folder in folders:
        for file in listing.files(folder, [".mat"], deep=False):
            try:
                yield _record(file, root / "landmarks" / folder.name, points)
            except DataError as error:
                yield error


def photo(stem: str) -> str:
    """The photo of 300-W that a file belongs to.

    `HELEN_2345_1_7` is the eighth angle of face 1 of photo 2345; in `LFPW_image_test_0018_7` the
    photo has its own number.
    """
    return ibug.photo(re.sub(r"_\d+\Z", "", stem))


def _record(path: Path, landmarks: Path, kind: str) -> FaceRecord:
    schema, in_landmarks, in_file, rows = ARRAYS[kind]
    variables = matlab.read_mat(path, ["Pose_Para", in_file], MAX_FILE_BYTES)
    file = landmarks / f"{path.stem}_pts.mat"
    if file.is_file():
        point_variables = matlab.read_mat(file, [in_landmarks], MAX_FILE_BYTES)
        values, name = matlab.array(point_variables, in_landmarks, file, 68, 2), in_landmarks
    elif in_file in variables:
        file, name = path, in_file
        values = matlab.array(variables, in_file, path, rows, 68)[:2].T
    else:
        other = next(option for option in ARRAYS if option != kind)
        raise DataError(
            path, f"no {kind} points: neither {in_file} in it nor landmarks/{landmarks.name}/"
            f"{path.stem}_pts.mat; points={other} reads others",
        )  # fmt: skip
    values = matlab.pixels(np.array(values), file, name)
    depth = None
    if rows > 2 and in_file in variables:
        depth = aflw2000.depth_of(matlab.array(variables, in_file, path, rows, 68)[2], path)
    return FaceRecord(
        image_paths.find_image([path.parent], f"{path.stem}.jpg", path),
        checked_points(values, schema, file),
        schema,
        depth=depth,
        attributes={**aflw2000.pose(variables, path), "points": kind},
        identity=photo(path.stem),
    )


FORMAT = Format(
    "300wlp", "300W-LP", read, ("ibug68_3d", "ibug68"), "FOLDER",
    "AFW/NAME.jpg and .mat, also HELEN, IBUG, LFPW; landmarks/AFW/NAME_pts.mat",
    "research only; check the publishers' terms, of 300-W too",
)
