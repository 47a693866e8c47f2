"""The examples of `efld_tf/README.md`, run as they stand there."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from efld_tf.annotations.format import Format
from efld_tf.annotations.record import FaceRecord
from efld_tf.cli import export
from efld_tf.errors import DataError
from efld_tf.exporting import modes
from efld_tf.landmarks import schemas
from tests import faces
from tests.annotations import writers
from tests.annotations.layouts import Layout
from tests.annotations.test_fuzz import check
from tests.errors import assert_told, refuses

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "efld_tf" / "README.md").read_text()


def blocks(heading: str, language: str) -> list[str]:
    """The code of a section in one language."""
    section = re.split(r"^##", PAGE.split(f"# {heading}\n")[1], maxsplit=1, flags=re.M)[0]
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```", section, re.M | re.S)
    return [textwrap.dedent(code) for _, code in found]


def module(name: str, code: str, folder: Path) -> ModuleType:
    """A module of this code."""
    path = folder / f"{name}.py"
    path.write_text(code)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def shell(commands: str, folder: Path) -> str:
    """What commands print, run in a folder one after the other until one fails."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        ["sh", "-e", "-c", commands], cwd=folder, capture_output=True, text=True, check=False,
        timeout=600, env=os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_data_set(tmp_path: Path) -> None:
    code, layout = blocks("A data set", "python")
    reader = module("pointlist", code, tmp_path)
    assert isinstance(reader.FORMAT, Format) and reader.FORMAT.read is reader.read
    points = writers.some_points(68)
    writers.write_image(tmp_path / "a.jpg")
    listed = tmp_path / "list.txt"
    listed.write_text(f"a.jpg {writers.numbers(points)}\nb.jpg 1 2\n")
    record, error = reader.read(listed)
    assert isinstance(record, FaceRecord) and isinstance(error, DataError) and error.line == 2
    np.testing.assert_allclose(record.points, points, atol=1e-4)
    names = {"Layout": Layout, "pointlist": reader, "writers": writers}
    (layout,) = eval(f"{{{layout}}}", names).values()
    root = tmp_path / "fuzz"
    assert isinstance(check(layout, root, layout.content(ROOT))[0], FaceRecord)
    assert check(layout, root, b"a.jpg \xff\n") and not check(layout, root, b"")


def test_a_landmark_schema(tmp_path: Path) -> None:
    (text,) = blocks("A landmark schema", "yaml")
    (tmp_path / "six.yaml").write_text(text)
    schema = schemas.load(tmp_path / "six.yaml")
    assert schema.num_points == 6 and schema.flip == (1, 0, 2, 4, 3, 5)


def test_a_model_family(tmp_path: Path) -> None:
    from efld_tf.models import on_backbone, registry

    code, entry = blocks("A model family", "python")
    direct = module("direct", code, tmp_path)
    names = {"Family": registry.Family, "direct": direct, "on_backbone": on_backbone}
    family = eval(f"{{{entry}}}", names)["direct"]
    model = family.build(family.options(), 64, {"ibug51": 51})
    codec = family.codec(family.options(), 64, faces.mean_shape("ibug51"))
    assert codec.decode(model(np.zeros((2, 64, 64, 3), np.float32))["ibug51"]).shape == (2, 51, 2)
    assert len(family.features(model).shape) == 2


def test_a_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    import tensorflow as tf

    from efld_tf.models import registry
    from efld_tf.training import losses

    monkeypatch.setattr(losses, "LOSSES", dict(losses.LOSSES))
    (code,) = blocks("A loss", "python")
    names = dict(vars(losses))
    exec(code, names)
    monkeypatch.setattr(registry, "FAMILIES", dict(registry.FAMILIES))
    losses.register("log_cosh", names["log_cosh"], families=["efld"])
    assert registry.get("efld").losses[-1] == "log_cosh"
    raw, target = tf.constant([[[0.1, 0], [0, 0]]]), tf.zeros([1, 2, 2])
    found = losses.get("log_cosh", {"scale": 10.0})(raw, target, tf.constant([[1.0, 0]]), None)
    assert found.numpy() == pytest.approx([np.log(np.cosh(1)) / 2])
    with refuses("training.loss_options.width", "log_cosh", "scale"):
        losses.get("log_cosh", {"width": 1.0})
    with refuses("log_cosh"):
        losses.register("log_cosh", names["log_cosh"])


def test_an_export_mode(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(modes, "MODES", dict(modes.MODES))
    (code,) = blocks("An export mode", "python")
    names = {"Mode": modes.Mode, "register": modes.register, "replace": replace,
             "_INT8": modes.INT8.steps}
    exec(code, names)
    mode = names["INT8_CLIPPED"]
    assert isinstance(mode, modes.Mode) and mode.calibrated and mode.steps.clip_percentile == 98
    with pytest.raises(SystemExit):
        export.main(["--help"])
    assert_told(capsys.readouterr().out, "--int8_clipped")


def test_a_command(tmp_path: Path) -> None:
    (code,) = blocks("A command", "python")
    (tmp_path / "count.py").write_text(code)
    faces.write_ibug(tmp_path / "photos", 3)
    count = 'python -c "import count; count.entry()"'
    assert shell(f"{count} ibug:photos", tmp_path) == "ibug:photos: 3 faces, 0 cannot be used\n"
    with pytest.raises(AssertionError, match="error: source 'nothing': expected reader:path"):
        shell(f"{count} nothing", tmp_path)


@pytest.mark.long  # `test_extending` registers from outside, too
def test_from_outside_the_package(tmp_path: Path) -> None:
    """A family, then a mode: the second one's faces are those that the first one rendered."""
    section = "From outside the package"
    named = [*blocks(section, "python"), *blocks(section, "yaml")]
    for code in [*named, f"# direct.py\n{blocks('A model family', 'python')[0]}"]:
        file = re.match(r"# (\S+)\n", code)
        assert file
        (tmp_path / file[1]).write_text(code)
    family, mode = blocks(section, "sh")
    out = shell(family, tmp_path)
    assert "direct_ibug68_int8.tflite: direct, ibug68, 68 points" in out and "(ok)" in out
    out = shell(mode, tmp_path)
    assert "weights8: " in out and "as promised" in out and "MORE" not in out
