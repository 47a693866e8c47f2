"""Small data sets of drawn faces, laid out as their publishers do."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from efld_tf.landmarks.geometry import tight_box
from tests import faces
from tests.annotations import writers

COUNT = 6  # faces of a part
WFLW = "WFLW_annotations/list_98pt_rect_attr_train_test"
MARGIN = 8.0  # of boxes around points, in pixels


def _drawn(schema: str, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Images [96, 96, 3] and their points [N, 2]."""
    rng = np.random.default_rng(seed)
    return [faces.draw_face(schema, rng) for _ in range(COUNT)]


def _box(points: np.ndarray) -> tuple[float, float, float, float]:
    x0, y0 = points.min(axis=0) - MARGIN
    x1, y1 = points.max(axis=0) + MARGIN
    return float(x0), float(y0), float(x1), float(y1)


def _whole_box(schema: str, points: np.ndarray) -> tuple[float, float, float, float]:
    """About the tight box of the drawn face's 68 points, as COFW's are, which has no jaw."""
    ones = np.ones((len(points), 1))
    fitted = np.linalg.lstsq(np.hstack([faces.mean_shape(schema), ones]), points, rcond=None)[0]
    whole = np.hstack([faces.mean_shape("ibug68"), np.ones((68, 1))]) @ fitted
    x0, y0, x1, y1 = (float(v) for v in tight_box(np.vstack([whole, points])))
    return x0 - 1, y0 - 1, x1 + 1, y1 + 1


def _write(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image[..., ::-1])


def write_300w(root: Path) -> None:
    """The training folders of 300-W, and its challenging photos."""
    for seed, part in enumerate(("afw", "helen/trainset", "lfpw/trainset", "ibug")):
        faces.write_ibug(root / part, COUNT, seed=seed)


def write_helen194(root: Path) -> None:
    """HELEN's photos and its own annotations."""
    (root / "annotation").mkdir()
    for index, (image, points) in enumerate(_drawn("helen194", 70), start=1):
        _write(root / "helen_1" / f"{index}_1.jpg", image)
        rows = "".join(f"{x:.2f} , {y:.2f}\n" for x, y in points)
        (root / "annotation" / f"{index}.txt").write_text(f"{index}_1\n{rows}")


def write_wflw(root: Path) -> None:
    """WFLW's photos and both its lists."""
    (root / WFLW).mkdir(parents=True)
    for seed, part in enumerate(("train", "test")):
        lines = []
        for index, (image, points) in enumerate(_drawn("wflw98", 10 + seed)):
            name = f"{part}/{index}.jpg"
            _write(root / "WFLW_images" / name, image)
            lines.append(writers.wflw_line(name, points, _box(points)))
        (root / WFLW / f"list_98pt_rect_attr_{part}.txt").write_text("".join(lines))


def write_cofw(root: Path) -> None:
    """COFW's training file."""
    drawn = _drawn("cofw29", 20)
    rows = [[*(points + 1).T.ravel(), *[0.0] * 29] for _, points in drawn]
    boxes = [(x0 + 1, y0 + 1, x1 - x0, y1 - y0) for x0, y0, x1, y1 in
             (_whole_box("cofw29", points) for _, points in drawn)]
    writers.write_cofw(root / "COFW_train_color.mat", [image for image, _ in drawn],
                       np.array(rows), np.array(boxes))


def write_aflw(root: Path) -> None:
    """AFLW with 19 points and its photos."""
    drawn, names = _drawn("aflw19", 30), np.empty((COUNT, 1), dtype=object)
    for index, (image, _) in enumerate(drawn):
        names[index, 0] = f"0/{index}.jpg"
        _write(root / "flickr" / names[index, 0], image)
    boxes = [(x0 + 1, x1 + 1, y0 + 1, y1 + 1) for x0, y0, x1, y1 in
             (_box(points) for _, points in drawn)]
    (root / "AFLWinfo_release.mat").write_bytes(writers.mat_bytes(
        nameList=names, bbox=np.array(boxes), mask_new=np.ones((COUNT, 19)),
        data=np.array([(points + 1).T.ravel() for _, points in drawn]),
        ra=np.arange(1, COUNT + 1)[None],
    ))


def write_menpo(root: Path) -> None:
    """Menpo's training set of both poses."""
    faces.write_ibug(root / "trainset" / "semifrontal", COUNT, seed=40)
    faces.write_ibug(root / "trainset" / "profile", COUNT, "menpo39", seed=41)


def write_ivsfd(root: Path) -> None:
    """IVSFD."""
    faces.write_ibug(root, COUNT, "ibug51", seed=50)


def write_celeba(root: Path) -> None:
    """CelebA's photos as found, with their lists."""
    rows, boxes = [], []
    for index, (image, points) in enumerate(_drawn("mtfl5", 60), start=1):
        name = f"{index:06d}.jpg"
        _write(root / "Img" / "img_celeba" / name, image)
        rows.append((name, points))
        x0, y0, x1, y1 = map(round, _box(points))
        boxes.append(f"{name} {x0} {y0} {x1 - x0} {y1 - y0}\n")
    (root / "Anno").mkdir()
    (root / "Anno" / "list_landmarks_celeba.txt").write_text(writers.celeba_text(rows))
    header = f"{COUNT}\nimage_id x_1 y_1 width height\n"
    (root / "Anno" / "list_bbox_celeba.txt").write_text(header + "".join(boxes))


def write_300wlp(root: Path) -> None:
    """300W-LP's photos with the points of its model."""
    for index, (image, points) in enumerate(_drawn("ibug68", 80)):
        name = f"HELEN/HELEN_{index}_1_0"
        _write(root / f"{name}.jpg", image)
        (root / f"{name}.mat").write_bytes(writers.mat_bytes(
            Pose_Para=np.zeros((1, 7)), pt3d_68=np.vstack([points.T + 1, np.arange(68.0)])))
        landmarks = root / "landmarks" / f"{name}_pts.mat"
        landmarks.parent.mkdir(parents=True, exist_ok=True)
        landmarks.write_bytes(writers.mat_bytes(pts_3d=points + 1, pts_2d=points + 1))


def write(root: Path) -> Path:
    """All of them, each in the folder that the papers' recipes expect below `EFLD_DATA`."""
    for name, part in (("300w", write_300w), ("wflw", write_wflw), ("cofw", write_cofw),
                       ("aflw", write_aflw), ("menpo", write_menpo), ("ivsfd", write_ivsfd),
                       ("celeba", write_celeba), ("helen194", write_helen194),
                       ("300W_LP", write_300wlp)):
        (root / name).mkdir(parents=True)
        part(root / name)
    return root
