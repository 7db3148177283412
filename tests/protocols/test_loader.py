"""Protocol files: what is accepted, and that the hash sees every field."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from emo_bench.errors import UserError
from emo_bench.metrics import list_metrics
from protocols import Protocol, list_protocols, load_protocol
from protocols.loader import FOLDER

# Published numbers point at these: a change of a protocol needs a new version, not a new hash for an old one.
HASHES = {
    ("editing", 1): "e169e6c214878113aae3016f00cc196d85c75339936ba05d152622a5c47aad22",
    ("editing-mini", 1): "270eb238696f758acc6b8e0d82fbb1e4b6f5157aabea7753312c7a5e766c8b49",
    ("self_reenactment", 1): "7eeb50fabbc5c9febba9deea12437ec76840566af6755d7028289fc5b09e2290",
    ("self_reenactment-mini", 1): "abecff632a63f38fba9607c244d38aaea5027b004f80d66e7372edc6b59a4c0b",
}


def raw(name: str = "self_reenactment") -> dict[str, Any]:
    return tomllib.loads((FOLDER / f"{name}.toml").read_text())


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    else:
        yield path


def test_published_versions_keep_their_hash() -> None:
    assert {(p.name, p.version): p.hash() for p in list_protocols()} == HASHES


def changed(holder: Any, path: tuple[str, ...]) -> Any:
    """A copy with another value at the path; unchecked, because many such values would be refused."""
    key, *rest = path
    if isinstance(holder, dict):
        return {**holder, key: changed(holder[key], tuple(rest))}
    value = getattr(holder, key)
    return holder.model_copy(update={key: changed(value, tuple(rest)) if rest else other(value)})


def other(value: Any) -> Any:
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return value + "x"
        case _:
            return (*value, "x")


@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
@pytest.mark.parametrize("path", list(leaves(raw())), ids=lambda path: ".".join(path))
def test_hash_changes_with_every_field(path: tuple[str, ...]) -> None:
    protocol = Protocol(**raw())
    assert changed(protocol, path).hash() != protocol.hash()


def test_hash_ignores_order_and_comments(tmp_path: Path) -> None:
    text = (FOLDER / "self_reenactment.toml").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    file = tmp_path / "other.toml"
    file.write_text("\n".join(lines).replace('"self_reenactment"', '"other"'))
    assert (
        load_protocol(str(file)).model_copy(update={"name": "self_reenactment"}).hash()
        == (HASHES["self_reenactment", 1])
    )


@pytest.mark.parametrize("protocol", list_protocols(), ids=lambda protocol: protocol.name)
def test_every_metric_of_a_protocol_exists(protocol: Protocol) -> None:
    assert set(protocol.scoring.metrics) <= {state.info.id for state in list_metrics()}


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("colour",), "red", "colour"),
        (("default_split",), "tail-9", "default_split"),
        (("short_share",), 1.5, "short_share"),
        (("splits", "tail-500", "seed"), 3, "seed"),
        (("splits", "random-500", "seed"), None, "seed"),
        (("splits", "tail-500", "held_out_frames"), 1250, "short_below_frames"),
        (("scoring", "metrics"), [], "metrics"),
    ],
)
def test_a_wrong_field_is_one_clear_line(
    path: tuple[str, ...], value: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = raw()
    inner = fields
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    monkeypatch.setattr("emo_bench.untrusted.schema.read_toml", lambda path: fields)
    file = tmp_path / "self_reenactment.toml"
    file.write_text("")
    with pytest.raises(UserError, match=message) as caught:
        load_protocol(str(file))
    assert "\n" not in str(caught.value)


def test_a_misspelt_name_gets_a_suggestion() -> None:
    with pytest.raises(UserError, match="did you mean self_reenactment"):
        load_protocol("self-reenactment")


def test_a_file_cannot_take_a_known_name(tmp_path: Path) -> None:
    file = tmp_path / "self_reenactment.toml"
    file.write_text((FOLDER / file.name).read_text())
    with pytest.raises(UserError, match="give it another"):
        load_protocol(str(file))


def test_broken_toml_is_one_clear_line(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text("name = ")
    with pytest.raises(UserError, match=r"mine\.toml cannot be read as TOML"):
        load_protocol(str(file))
