"""Strict configuration: every mistake is found, and named where it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from efld_tf import config
from efld_tf.errors import DataError, EfldError
from efld_tf.training import recipe

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Inner:
    ratio: float = 0.5
    name: str = "x"

    def __post_init__(self) -> None:
        if self.ratio < 0:
            raise EfldError(f"ratio: expected 0 or more, got {self.ratio}")


@dataclass(frozen=True)
class Outer:
    steps: int
    inner: Inner = field(default_factory=Inner)
    items: list[Inner] = field(default_factory=list)
    limit: float | None = None
    quiet: bool = False
    free: dict[str, Any] = field(default_factory=dict)


def load(tmp_path: Path, text: str, *overrides: str) -> Outer:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    return config.load(path, Outer, overrides)


def test_values_and_defaults(tmp_path: Path) -> None:
    found = load(tmp_path, "steps: 3\ninner: {ratio: 1e-3}\nitems: [{ratio: 2}]\nfree: {a: [1]}")
    assert found == Outer(3, Inner(0.001), [Inner(2.0)], free={"a": [1]})
    assert isinstance(found.items[0].ratio, float)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("steps: 3\nstep: 4", r"c\.yaml: step: unknown key; known: steps, inner"),
        ("steps: 3\ninner: {ratoi: 1}", r"inner\.ratoi: unknown key"),
        ("steps: three", r"steps: expected a whole number, got 'three'"),
        ("steps: 3.0", r"steps: expected a whole number, got 3\.0"),
        ("steps: true", r"steps: expected a whole number, got True"),
        (f"steps: 3\nlimit: {'9' * 400}", r"limit: expected a finite number, got 9999"),
        ("steps: 3\nquiet: 1", r"quiet: expected true or false, got 1"),
        ("steps: 3\nitems: [{ratio: .nan}]", r"items\.0\.ratio: expected a finite number"),
        ("steps: 3\nitems: {ratio: 1}", r"items: expected a list"),
        ("steps: 3\ninner: 4", r"inner: expected a mapping, got 4"),
        ("steps: 3\ninner: {name: 4}", r"inner\.name: expected a text, got 4"),
        ("steps: 3\ninner: {ratio: -1}", r"inner\.ratio: expected 0 or more"),
        ("inner: {}", r"steps: this key is required"),
        ("steps: 3\nsteps: 4", r"c\.yaml:2: .*'steps' stands twice"),
        ("a: &x {b: 1}\nsteps: *x", r"aliases are not supported"),
        ("steps: [", r"not valid YAML"),
        ("", r"expected a mapping, got None"),
        ("1: 2", r"the key 1 is not a word"),
        ("steps: 2024-13-45", r"c\.yaml: not valid YAML"),
        ("steps: !!int foo", r"c\.yaml: not valid YAML"),
        ("steps: !!python/object/apply:os.system [ls]", r"not valid YAML"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(tmp_path, text)


def test_overrides(tmp_path: Path) -> None:
    text = "steps: 3\nitems: [{ratio: 2}]"
    found = load(tmp_path, text, "steps=7", "items.0.ratio=0.25", "inner.name=y", "limit=null")
    assert found == Outer(7, Inner(name="y"), [Inner(0.25)])


@pytest.mark.parametrize("override", ["steps", "=3", "items.4=1", "steps.x=1", "free=["])
def test_bad_overrides(tmp_path: Path, override: str) -> None:
    with pytest.raises(EfldError, match="--set"):
        load(tmp_path, "steps: 3\nitems: []", override)


def test_an_override_of_the_wrong_type_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"steps: expected a whole number, got 'many'"):
        load(tmp_path, "steps: 3", "steps=many")


def test_differences_are_told_by_their_paths(tmp_path: Path) -> None:
    before = Outer(3, Inner(0.25), [Inner(1.0)], free={"a": [1]})
    assert config.differences(before, before) == []
    after = Outer(4, Inner(0.25), [Inner(1.0), Inner(2.0)], free={})
    assert config.differences(before, after) == [
        "steps: 3, now 4", "free.a.0: 1, now not there",
        "items.1.ratio: not there, now 2.0", "items.1.name: not there, now x",
        "free: not there, now {}",
    ]


def test_dump_is_read_back(tmp_path: Path) -> None:
    outer = Outer(3, Inner(0.25), [Inner(), Inner(1e-7)], 2.5, True, {"k": "v"})
    assert load(tmp_path, config.dump(outer)) == outer


def test_environment_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACES", "/data")
    assert config.expand("ibug:${FACES}/helen") == "ibug:/data/helen"
    with pytest.raises(EfldError, match="the environment variable NO_SUCH is not set"):
        config.expand("ibug:${NO_SUCH}")


@given(st.binary(max_size=200))
def test_any_bytes_give_a_config_or_the_project_s_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(content)
    try:
        assert isinstance(config.load(path, Outer), Outer)
    except EfldError as error:
        assert "c.yaml" in str(error)


def test_a_large_or_deep_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at most 1048576 bytes"):
        load(tmp_path, "#" * (config.MAX_CONFIG_BYTES + 1))
    with pytest.raises(DataError, match="not valid YAML"):
        load(tmp_path, "[" * 10000)


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*/*.yaml")), ids=lambda p: p.stem)
def test_every_committed_recipe_is_valid(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EFLD_DATA", "data")
    assert recipe.load(path).folder == Path("runs") / path.stem


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.target_head=scut86", "training.target_head: 'scut86' is not in heads"),
        ("heads.nose3={}", r"heads.nose3: no landmark schema .*\?schema=FILE.yaml"),
        ("heads.scut86={}", "heads.scut86: no source supervises it"),
        ("data.sources.0.heads=[scut86]", "the head 'scut86' is not in heads"),
        ("data.sources.0.name=wflw98", "two sources have the same name"),
        ("data.sources.0.validation_fraction=0.0", "needs a validation_fraction"),
        ("data.sources.0.repeat=0", "data.sources.0.repeat: expected a positive number"),
        ("data.augment.flip=2", "data.augment.flip: expected 0 up to 1, got 2"),
        ("data.augment.rotation=91", "data.augment.rotation: expected 0 up to 90"),
        ("data.augment.scale=200", "data.augment.scale: expected 0 up to 1"),
        ("data.sources.0.crop.scale=-2", "data.sources.0.crop.scale: expected a positive number"),
        ("data.sources.0.crop.offset_y=0.3", "crop.offset_x, offset_y: expected with"),
        ("training.seed=-5", "training.seed: expected 0 up to 2147483648, got -5"),
        ("training.seed=1000000000000000000000000000000", "training.seed: expected 0 up to"),
        ("data={sources: [{name: a, source: 'ibug:x', heads: [ibug68, ibug51, wflw98], "
         "repeat: 1.5, validation_fraction: 0.1}], service: {address: 'grpc://a:1'}}",
         "ibug:x: with the tf.data service, repeat must be a whole number, got 1.5"),
        ("data.sources.1.source=ibug:runs/demo/data/ibug68",
         "ibug68 has 0.1 in one place and 0 in another, so that faces held out would be"),
        ("data.augment.blur_sigma=65", "blur_sigma: expected at most half of model.input_size"),
        ("heads.ibug51.weight=-1", "heads.ibug51.weight: expected 0 or more"),
        ("training.gradient_clip_norm=-1", "gradient_clip_norm: expected a positive number"),
        ("training.warmup_steps=100000", "warmup_steps: expected 0 up to steps"),
        ("model.input_size=256", "data.pack.size: 192 px hold less detail"),
        ("training.steps=0", "training.steps: expected a positive number"),
        ("name=../up", "name: expected letters"),
    ],
)
def test_recipes_are_checked_as_a_whole(override: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        recipe.load(ROOT / "configs" / "efld" / "demo.yaml", [override])
