"""Names the way to read what a reader was not made for."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from efld_tf.annotations import listing, parsing
from efld_tf.errors import DataError

# Formats that people know by a name and that are not read, with what to do instead.
ROUTES = {
    "voc": "Pascal VOC has boxes without points: let efld-data label find the points",
    "pascal": "Pascal VOC has boxes without points: let efld-data label find the points",
    "yolov5": "YOLO's boxes have no points; YOLO-pose is read as yolo:data.yaml",
    "ultralytics": "say yolo:data.yaml",
    "labelbox": "export as COCO keypoints, and say coco:FILE.json",
    "supervisely": "export as COCO keypoints, and say coco:FILE.json",
    "roboflow": "export as COCO keypoints or YOLO, and say coco:FILE.json or yolo:data.yaml",
    "deeplabcut": "save its table with one line of names, NAME_x and NAME_y, and say csv:FILE.csv",
    "openface": "say csv:FILE.csv",
    "v7": "export as COCO keypoints, and say coco:FILE.json",
    "encord": "export as COCO keypoints, and say coco:FILE.json",
    "scale": "export as COCO keypoints, and say coco:FILE.json",
    "makesense": "export as CSV or COCO, and say csv:FILE.csv or coco:FILE.json",
    "datumaro": "convert it to coco_person_keypoints with datum, and say coco:FILE.json",
    "fiftyone": "export as fo.types.COCODetectionDataset, and say coco:FILE.json",
    "mmpose": "its data sets are coco:FILE.json",
    "imglab": "say dlib:FILE.xml",
    "x-anylabeling": "say labelme:FOLDER",
    "anylabeling": "say labelme:FOLDER",
    "vgg": "say via:FILE",
    "labelstudio": "say label_studio:FILE.json",
    "label-studio": "say label_studio:FILE.json",
    "jsonl": "say json:FILE.jsonl",
    "tsv": "say csv:FILE",
    "pts": "say ibug:FOLDER",
    "helen": "say helen194:FOLDER for its own points, or ibug:FOLDER for 68",
    "lfpw": "say ibug:FOLDER",
    "afw": "say ibug:FOLDER",
    "imm": "say asf:FOLDER",
    "wider": "WIDER FACE has boxes; with five points it is retinaface:label.txt",
    "widerface": "WIDER FACE has boxes; with five points it is retinaface:label.txt",
    "xlsx": "save the table as CSV, and say csv:FILE.csv",
    "excel": "save the table as CSV, and say csv:FILE.csv",
    "npy": "write JSON lines, an object with image and points for each face, and say json:FILE",
    "npz": "write JSON lines, an object with image and points for each face, and say json:FILE",
    "pickle": "pickles run what they hold; write JSON lines, and say json:FILE",
    "pkl": "pickles run what they hold; write JSON lines, and say json:FILE",
    "parquet": "save the table as CSV, and say csv:FILE.csv",
    "tfrecord": "write JSON lines and images, and say json:FILE; efld-data pack writes shards",
    "mat": "known .mat data sets have readers of their own; others as JSON lines, json:FILE",
    "ffhq": "write JSON lines of its landmarks, and say json:FILE",
    "zip": "unpack it first",
}

# How files begin that are read by no reader.
_STARTS = (
    (b"PK\x03\x04", "an archive or a workbook: unpack it, or save the table as CSV"),
    (b"\x1f\x8b", "a compressed file: unpack it"),
    (b"7z\xbc\xaf", "a compressed file: unpack it"),
    (b"Rar!", "a compressed file: unpack it"),
    (b"\xd0\xcf\x11\xe0", "a workbook: save the table as CSV"),
    (b"\x80\x04", "a pickle, which runs what it holds: write JSON lines instead"),
    (b"\x93NUMPY", "a NumPy array: write JSON lines instead"),
    (b"PAR1", "a Parquet table: save it as CSV"),
    (b"SQLite format 3", "a database: save the table as CSV"),
)
_HEAD_BYTES = 1 << 16

LIKE = "it looks like"


def nearest(path: Path, reader: str) -> str | None:
    """What a file or folder looks like, and which source reads it; None if it is not known.

    Args:
      reader: the reader that was asked for; its own format is no news.
    """
    with contextlib.suppress(OSError, DataError):
        found = _of_folder(path) if path.is_dir() else _of_file(path)
        if found is not None and not found.startswith(f"{reader}:"):
            return f"{LIKE} {found}" if _is_source(found) else f"it is {found}"
    return None


def _is_source(text: str) -> bool:
    return " " not in text.partition(":")[0]


def _of_folder(folder: Path) -> str | None:
    names = (("data.yaml", "yolo:{}/data.yaml"), ("annotations.xml", "cvat:{}/annotations.xml"),
             ("label.txt", "retinaface:{}/label.txt"))
    for name, source in names:
        if (folder / name).is_file():
            return source.format(folder)
    for suffix, reader in ((".pts", "ibug"), (".tem", "webmorph"), (".asf", "asf")):
        if listing.files(folder, [suffix]):
            return f"{reader}:{folder}"
    for file in listing.files(folder, [".json", ".xml", ".jsonl"])[:5]:
        if (found := _of_file(file)) is not None:
            return found
    return None


def _of_file(path: Path) -> str | None:
    with parsing.open_limited(path) as file:
        head = file.read(_HEAD_BYTES)
    for start, what in _STARTS:
        if head.startswith(start):
            return what
    text = head.decode("utf-8", "replace").lstrip("\ufeff \t\r\n")
    if text.startswith(("<", "<?xml")):
        return _of_xml(text, path)
    if text.startswith(("{", "[")):
        return _of_json(text, path)
    if text.startswith("# ") and "--" in text.partition("\n")[0]:
        return f"retinaface:{path}"
    if "region_shape_attributes" in text.partition("\n")[0]:
        return f"via:{path}"
    if path.suffix.lower() == ".csv":
        return f"csv:{path}"
    return None


def _of_xml(text: str, path: Path) -> str | None:
    if "<dataset" in text:
        return f"dlib:{path}"
    if "<annotations" in text:
        return f"cvat:{path}"
    if "<annotation" in text and "<bndbox" in text:
        return "Pascal VOC, which has boxes without points: let efld-data label find the points"
    return None


def _of_json(text: str, path: Path) -> str | None:
    """By the keys in the head of a file, which may be cut off in the middle of a value."""
    keys: Any = None
    with contextlib.suppress(ValueError, RecursionError):
        keys = json.loads(text.partition("\n")[0])
    if isinstance(keys, dict) and {"image", "points"} <= {*keys}:
        return f"json:{path}"
    marks = (
        (('"shapes"', '"imagePath"'), "labelme:{folder}"),
        (('"_via_',), "via:{path}"),
        (('"shape_attributes"',), "via:{path}"),
        (('"result"', '"from_name"'), "label_studio:{path}"),
        (('"original_width"', '"original_height"'), "label_studio:{path}"),
        (('"face_kpts"',), "coco_wholebody:{path}"),
        (('"images"', '"file_name"'), "coco:{path}"),
        (('"annotations"', '"keypoints"', '"image_id"'), "coco:{path}"),
        (('"image"', '"points"'), "json:{path}"),
    )
    for words, source in marks:
        if all(word in text for word in words):
            return source.format(path=path, folder=path.parent)
    return None
