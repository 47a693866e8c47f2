"""Files as VGG Image Annotator writes them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

Region = dict[str, Any]

HEADER = ("filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,"
          "region_attributes")


def point(xy: Any, **attributes: Any) -> Region:
    x, y = (float(value) for value in xy)
    return {"shape_attributes": {"name": "point", "cx": x, "cy": y},
            "region_attributes": attributes}


def line(points: Any, kind: str = "polyline", **attributes: Any) -> Region:
    x, y = np.asarray(points, float).T.tolist()
    return {"shape_attributes": {"name": kind, "all_points_x": x, "all_points_y": y},
            "region_attributes": attributes}


def rect(x: float, y: float, width: float, height: float, **attributes: Any) -> Region:
    shape = {"name": "rect", "x": x, "y": y, "width": width, "height": height}
    return {"shape_attributes": shape, "region_attributes": attributes}


def circle(x: float, y: float, radius: float, **attributes: Any) -> Region:
    shape = {"name": "circle", "cx": x, "cy": y, "r": radius}
    return {"shape_attributes": shape, "region_attributes": attributes}


def images(
    regions: Mapping[str, list[Region]], size: int = -1, texts: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Exported annotations of version 2 by image."""
    return {
        f"{name}{size}": {"filename": name, "size": size, "regions": drawn,
                          "file_attributes": dict(texts or {})}
        for name, drawn in regions.items()
    }


def images_1(regions: Mapping[str, list[Region]], size: int = -1) -> dict[str, Any]:
    """Exported annotations of version 1."""
    return {
        f"{name}{size}": {"fileref": "", "size": size, "filename": name, "base64_img_data": "",
                          "file_attributes": {},
                          "regions": {str(i): region for i, region in enumerate(drawn)}}
        for name, drawn in regions.items()
    }


def project(exported: dict[str, Any], **attributes: Any) -> dict[str, Any]:
    """A project of version 2.0.10 with exported annotations, and its regions' attributes."""
    core = {"buffer_size": 18, "filepath": {}, "default_filepath": ""}
    return {
        "_via_settings": {"ui": {}, "core": core, "project": {"name": "via_project_23Jun2020"}},
        "_via_img_metadata": exported,
        "_via_attributes": {"region": attributes, "file": {}},
        "_via_data_format_version": "2.0.10",
        "_via_image_id_list": list(exported),
    }


def table(exported: dict[str, Any]) -> str:
    """Exported annotations of version 2 as a table."""
    lines = [HEADER]
    for image in exported.values():
        drawn = image["regions"]
        for i, region in enumerate(drawn or [{"shape_attributes": {}, "region_attributes": {}}]):
            cells = [image["filename"], image["size"], image["file_attributes"], len(drawn), i,
                     region["shape_attributes"], region["region_attributes"]]
            lines.append(row(cells))
    return "\n".join(lines)


def row(cells: Iterable[Any]) -> str:
    """A line of a table; objects are JSON in quotes."""
    file = io.StringIO()
    quoted = [json.dumps(cell, separators=(",", ":")) if isinstance(cell, dict) else cell
              for cell in cells]
    csv.writer(file).writerow(quoted)
    return file.getvalue().rstrip("\r\n").replace(",{}", ',"{}"')


def project_3(regions: Mapping[str, list[tuple[list[float], dict[str, str]]]]) -> dict[str, Any]:
    """A project of version 3.1 with `xy` and `av` of the regions of each image."""
    metadata = {
        f"{view}_{i}": {"vid": str(view), "flg": 0, "z": [], "xy": xy, "av": av}
        for view, drawn in enumerate(regions.values(), 1) for i, (xy, av) in enumerate(drawn)
    }
    numbers = [str(i) for i, _ in enumerate(regions, 1)]
    return {
        "project": {
            "pid": "__VIA_PROJECT_ID__", "rev": "__VIA_PROJECT_REV_ID__",
            "rev_timestamp": "__VIA_PROJECT_REV_TIMESTAMP__", "pname": "faces",
            "creator": "VGG Image Annotator (http://www.robots.ox.ac.uk/~vgg/software/via)",
            "created": 1642086744960, "data_format_version": "3.1.1", "vid_list": numbers,
        },
        "config": {"file": {"loc_prefix": {"1": "", "2": "", "3": "", "4": ""}}, "ui": {}},
        "attribute": {
            "1": {"aname": "part", "anchor_id": "FILE1_Z0_XY1", "type": 1, "desc": "",
                  "options": {}, "default_option_id": ""},
            "2": {"aname": "person", "anchor_id": "FILE1_Z0_XY1", "type": 4, "desc": "",
                  "options": {"0": "Ann", "1": "Bob"}, "default_option_id": ""},
        },
        "file": {
            number: {"fid": number, "fname": name, "type": 2, "loc": 1, "src": name}
            for number, name in zip(numbers, regions, strict=True)
        },
        "metadata": metadata,
        "view": {number: {"fid_list": [number]} for number in numbers},
    }  # fmt: skip
