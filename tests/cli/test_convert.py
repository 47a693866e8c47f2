"""`efld-data convert` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from efld_tf.annotations import sources
from efld_tf.cli import common, data
from tests.annotations.writers import ibug_text, some_points, write_image
from tests.errors import assert_error_line, assert_told


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    for index, name in enumerate(("a", "b")):
        write_image(folder / f"{name}.jpg")
        (folder / f"{name}.pts").write_text(ibug_text(some_points(68, index)))
    return folder


def test_there_and_back(faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "faces.json"
    words = ["convert", f"ibug:{faces}", str(output), "--to", "coco", "--quiet"]
    assert common.run(data.main, words) == 0
    out = capsys.readouterr().out
    assert_told(out, "2 faces", "2 images")
    source = out.partition("read them as ")[2].strip().strip("'")
    for index, record in enumerate(sources.read(source).records):
        np.testing.assert_allclose(record.points, some_points(68, index), atol=0.01)
    assert common.run(data.main, words) == common.EXIT_BAD_INPUT
    assert_error_line(capsys.readouterr().err, output, "--force")
    assert common.run(data.main, [*words, "--force"]) == 0


def test_mistakes_are_one_line(
    faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, facts in (
        ([f"ibug:{faces}", "out", "--to", "exif"], ["--to", "exif", "coco"]),
        ([f"voc:{faces}", "out", "--to", "coco"], ["'voc'", "efld-data label"]),
        ([f"ibug:{tmp_path}/none", "out", "--to", "coco"], ["none", "exist"]),
    ):
        try:
            code = common.run(data.main, ["convert", *words])
        except SystemExit as error:  # of the parser
            code = error.code
        assert code == common.EXIT_BAD_INPUT
        assert_error_line(capsys.readouterr().err, *facts)
    (faces / "b.pts").write_text("damaged")
    words = ["convert", f"ibug:{faces}", str(tmp_path / "out.json"), "--to", "coco", "--quiet"]
    assert common.run(data.main, words) == common.EXIT_BAD_INPUT
    assert_error_line(capsys.readouterr().err, f"{faces}/b.pts:1", "damaged")
    assert not (tmp_path / "out.json").exists()
    assert common.run(data.main, [*words, "--on-error", "skip"]) == 0
    assert_told(capsys.readouterr().out, "skipped", "b.pts")
    assert len(json.loads((tmp_path / "out.json").read_text())["annotations"]) == 1
