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
from efld_tf.landmarks import schemas
from efld_tf.text import shown
from efld_tf.training import recipe
from tests.errors import assert_refusal, assert_told, refuses

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
    ("text", "facts"),
    [
        ("steps: 3\nstep: 4", ["step", "steps", "inner", "items", "limit", "quiet", "free"]),
        ("steps: 3\ninner: {ratoi: 1}", ["inner.ratoi", "ratio", "name"]),
        ("steps: three", ["steps", "whole", "'three'"]),
        ("steps: 3.0", ["steps", "whole", 3.0]),
        ("steps: true", ["steps", "whole", "true"]),
        (f"steps: 3\nlimit: {'9' * 400}", ["limit", "finite"]),
        ("steps: 3\nquiet: 1", ["quiet", "true", "false", 1]),
        ("steps: 3\nitems: [{ratio: .nan}]", ["items.0.ratio", "finite", "nan"]),
        ("steps: 3\nitems: {ratio: 1}", ["items", "list", {"ratio": 1}]),
        ("steps: 3\ninner: 4", ["inner", "mapping", 4]),
        ("steps: 3\ninner: {name: 4}", ["inner.name", "text", 4]),
        ("steps: 3\ninner: {ratio: -1}", ["inner.ratio", 0, -1.0]),
        ("inner: {}", ["steps", "required"]),
        ("", ["mapping", "null"]),
    ],
)
def test_mistakes_are_named(tmp_path: Path, text: str, facts: list[object]) -> None:
    with refuses(*facts, path=tmp_path / "c.yaml"):
        load(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "line", "facts"),
    [
        ("steps: 3\nsteps: 4", 2, ["'steps'", "twice"]),
        ("a: &x {b: 1}\nsteps: *x", 2, ["aliases"]),
        ("steps: [", 1, []),
        ("1: 2", 1, ["key 1"]),
        ("a: b\nsteps: 2024-13-45", 2, ["2024-13-45"]),
        ("a: b\nsteps: !!int foo", 2, ["foo", "!!int"]),
        ("a: b\nsteps: !!int ''", 2, ["!!int"]),
        ("a: b\nsteps: !!int '-'", 2, ["'-'", "!!int"]),
        ("steps: !!int '²'", 1, ["²", "!!int"]),
        ("steps: !!float ''", 1, ["!!float"]),
        ("steps: !!timestamp x", 1, ["x", "!!timestamp"]),
        ("steps: !!bool x", 1, ["x", "!!bool"]),
        ("steps: !!binary a", 1, ["base64"]),
        ("steps: !!map 1", 1, ["mapping", "!!map"]),
        ("steps: !!set [1]", 1, ["mapping", "!!set"]),
        ("a: {}\n<<: {steps: 1}", 2, ["<<"]),
        ("steps: =", 1, ["=", "quotes"]),
        (f"steps: {'1' * 5000}", 1, ["!!int"]),
        (f"steps: 0x{'f' * 5000}", 1, ["1000 digits"]),
        ("a: b\nc: \x07", 2, ["U+0007"]),
        ("steps: !!python/object/apply:os.system [ls]", 1, ["os.system"]),
        ("[" * 10000, 1, [config.MAX_DEPTH]),
        ("- " * 10000, 1, [config.MAX_DEPTH]),
        ("a: {" * 10000, 1, []),
    ],
)
def test_what_is_no_yaml_is_told(
    tmp_path: Path, text: str, line: int | None, facts: list[str]
) -> None:
    with refuses("YAML", *facts, path=tmp_path / "c.yaml", line=line):
        load(tmp_path, text)


def test_wording(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    with pytest.raises(DataError) as caught:
        load(tmp_path, "steps: 3\ninner: {ratoi: 1}")
    assert str(caught.value) == f"{path}: inner.ratoi: unknown key; known: ratio, name"
    with pytest.raises(DataError) as caught:
        load(tmp_path, "steps: three")
    assert str(caught.value) == f"{path}: steps: expected a whole number, got 'three'"


def test_overrides(tmp_path: Path) -> None:
    text = "steps: 3\nitems: [{ratio: 2}]"
    found = load(tmp_path, text, "steps=7", "items.0.ratio=0.25", "inner.name=y", "limit=null")
    assert found == Outer(7, Inner(name="y"), [Inner(0.25)])


@pytest.mark.parametrize(
    ("override", "fact"),
    [
        ("steps", "path.to.key=value"),
        ("=3", "path.to.key=value"),
        ("items.4=1", "'4'"),
        ("steps.x=1", "'x'"),
        ("free=[", "YAML"),
    ],
)
def test_bad_overrides(tmp_path: Path, override: str, fact: str) -> None:
    with refuses(f"--set {override!r}", fact):
        load(tmp_path, "steps: 3\nitems: []", override)


@pytest.mark.parametrize("override", ["free.4=1", "free.wflw.repeat=1"])
def test_an_item_that_a_list_has_not(tmp_path: Path, override: str) -> None:
    key = override.split("=")[0].split(".")[1]
    with refuses(f"--set {override!r}", repr(key), 0, 1):
        load(tmp_path, "steps: 3\nfree: [5, 6]", override)


def test_an_override_of_the_wrong_type_is_named(tmp_path: Path) -> None:
    with refuses("steps", "whole", "'many'", path=tmp_path / "c.yaml"):
        load(tmp_path, "steps: 3", "steps=many")


def test_differences_are_told_by_their_paths(tmp_path: Path) -> None:
    before = Outer(3, Inner(0.25), [Inner(1.0)], free={"a": [1]})
    assert config.differences(before, before) == []
    after = Outer(4, Inner(0.25), [Inner(1.0), Inner(2.0)], free={})
    expected = (
        ["steps", 3, 4], ["free.a.0", 1, "not there"], ["items.1.ratio", "not there", 2.0],
        ["items.1.name", "not there", "x"], ["free", "not there", "{}"],
    )
    for difference, facts in zip(config.differences(before, after), expected, strict=True):
        assert_told(difference, *facts)


def test_dump_is_read_back(tmp_path: Path) -> None:
    outer = Outer(3, Inner(0.25), [Inner(), Inner(1e-7)], 2.5, True, {"k": "v"})
    assert load(tmp_path, config.dump(outer)) == outer


def test_environment_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACES", "/data")
    assert config.expand("ibug:${FACES}/helen") == "ibug:/data/helen"
    with refuses("ibug:${NO_SUCH}", "environment variable NO_SUCH", "NO_SUCH=/folder"):
        config.expand("ibug:${NO_SUCH}")


@given(st.binary(max_size=200))
def test_any_bytes_give_a_config_or_the_project_s_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(content)
    try:
        assert isinstance(config.load(path, Outer), Outer)
    except DataError as error:
        assert_refusal(error, path=path, line=error.line)


def test_a_large_file_is_refused(tmp_path: Path) -> None:
    with refuses("bytes", config.MAX_CONFIG_BYTES, path=tmp_path / "c.yaml"):
        load(tmp_path, "#" * (config.MAX_CONFIG_BYTES + 1))


@pytest.mark.parametrize("path", sorted((ROOT / "configs").glob("*/*.yaml")), ids=lambda p: p.stem)
def test_every_committed_recipe_is_valid(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EFLD_DATA", "data")
    assert recipe.load(path).folder == Path("runs") / path.stem


def test_a_head_of_no_schema_is_named() -> None:
    overrides = ["heads.nose3={}", "data.sources.0.heads=[ibug68, nose3]"]
    path = ROOT / "configs" / "efld" / "demo.yaml"
    with refuses("heads.nose3", "schema=FILE.yaml", *schemas.names(), path=path):
        recipe.load(path, overrides)


@pytest.mark.parametrize(
    ("override", "facts"),
    [
        ("training.target_head=scut86", ["training.target_head", "scut86", "heads", "ibug68"]),
        ("heads.nose3={}", ["heads.nose3", "no source"]),
        ("heads.scut86={}", ["heads.scut86", "no source"]),
        ("data.sources.0.heads=[scut86]", ["data.sources", "ibug68", "scut86", "heads", "wflw98"]),
        ("data.sources.0.name=wflw98", ["data.sources", "same name"]),
        ("training.target_head=wflw98", ["training.target_head", "validation_fraction"]),
        ("data.sources.0.repeat=0", ["data.sources.0.repeat", "positive", 0.0]),
        ("data.augment.flip=2", ["data.augment.flip", 0, 1, 2.0]),
        ("data.augment.rotation=91", ["data.augment.rotation", 0, 90, 91.0]),
        ("data.augment.scale=200", ["data.augment.scale", 0, 1, 200.0]),
        ("data.sources.0.crop.scale=-2", ["data.sources.0.crop.scale", -2.0]),
        ("data.sources.0.crop.offset_y=0.3", ["data.sources.0.crop.offset_x", "offset_y", "scale"]),
        ("training.seed=-5", ["training.seed", 0, 2147483648, -5]),
        ("training.seed=4611686018427387904", ["training.seed", 0, 2147483648, 2**62]),
        ("training.seed=1000000000000000000000000000000", ["training.seed", "64 bits", 10**30]),
        ("name=2024-01-31", ["name", "text", "2024-01-31", "quotes"]),
        ("data={sources: [{name: a, source: 'ibug:x', heads: [ibug68, ibug51, wflw98], "
         "repeat: 1.5, validation_fraction: 0.1}], service: {address: 'grpc://a:1'}}",
         ["ibug:x", "repeat", "whole", 1.5]),
        ("data.sources.1.source=ibug:runs/demo/data/ibug68",
         ["validation_fraction", "ibug:runs/demo/data/ibug68", 0.1, 0]),
        ("data.augment.blur_sigma=65", ["data.augment.blur_sigma", "model.input_size", 65.0]),
        ("heads.ibug51.weight=-1", ["heads.ibug51.weight", 0, -1.0]),
        ("training.gradient_clip_norm=-1", ["training.gradient_clip_norm", "positive"]),
        ("training.warmup_steps=100000", ["training.warmup_steps", 2000, 100000]),
        ("model.input_size=256", ["data.pack.size", 192, 384, "model.input_size"]),
        ("training.steps=0", ["training.steps", "positive", 0]),
        ("name=../up", ["name", "../up"]),
    ],
)
def test_recipes_are_checked_as_a_whole(override: str, facts: list[object]) -> None:
    path = ROOT / "configs" / "efld" / "demo.yaml"
    with refuses(*facts, path=path):
        recipe.load(path, [override])


def test_yaml_of_other_programs_may_have_numbers_as_keys(tmp_path: Path) -> None:
    path = tmp_path / "data.yaml"
    path.write_text("names: {0: face, 1: hat, x: y}")
    assert config.read_tree(path, foreign=True) == {"names": {0: "face", 1: "hat", "x": "y"}}
    with refuses("key", "0", "word", path=path, line=1):
        config.read_tree(path)
    for text, fact in (("{0: a, 0: b}", "twice"), ("{1.5: a}", "word"), ("{yes: a}", "word"),
                       ("{a: &b 1, c: *b}", "aliases")):
        path.write_text(text)
        with refuses(fact, path=path, line=1):
            config.read_tree(path, foreign=True)


@pytest.mark.parametrize(
    ("override", "facts"),
    [
        ("data.sources.².repeat=1", ["²"]),
        ("data.sources.²=1", ["²"]),
        ("data.sources.१.repeat=2", ["१"]),
        (f"data.sources.{'1' * 5000}=1", ["--set"]),
        (f"{'a.' * 5000}b=1", [config.MAX_DEPTH]),
        (f"training.loss_options.{'a.' * 5000}b=1", [config.MAX_DEPTH]),
        (f"x={'[' * 5000}", [config.MAX_DEPTH]),
        (f"x={'[' * 5000}{']' * 5000}", [config.MAX_DEPTH]),
        ("training.steps=!!int ''", ["training.steps", "!!int"]),
        (f"training.steps={'9' * 5000}", ["training.steps", "!!int"]),
        (f"training.steps=0x{'f' * 5000}", ["training.steps", "1000 digits"]),
        ("name=\x1b[31m", ["name"]),
    ],
)
def test_overrides_that_mean_nothing_are_told(override: str, facts: list[object]) -> None:
    with pytest.raises(EfldError) as caught:
        recipe.load(ROOT / "configs" / "efld" / "demo.yaml", [override])
    assert_told(shown(str(caught.value), 20_000).replace("'", " ").replace("=", " "), *facts)
