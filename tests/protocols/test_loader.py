"""Protocol files: what is accepted, and that the hash sees every field."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from emo_bench.actors import load
from emo_bench.errors import UserError
from emo_bench.metrics import list_metrics
from protocols import Protocol, drive_split, list_protocols, load_protocol, split
from protocols.loader import FOLDER
from protocols.splitting import parse_frames

# Published numbers point at these: a change of a protocol needs a new version, not a new hash for an old one.
HASHES = {
    ("cross_reenactment-mini", 3): "760e10d492d8170766bf35a1c96073600bd1ef3c0df44b86832cab13de5d3798",
    ("cross_reenactment", 3): "a9875f0180256ec60f5e89e54ae022952c9543ec62a3c1a9d7c4bfeba577650e",
    ("novel_view-mini", 1): "24615d11cd287b7d56e8595e269ddd9debaf7b569189b6db2983e9ef1e565939",
    ("novel_view", 1): "4b97115dd723b96c70edae1c22877f31e029af71fd0800dd4d451476a38d67dd",
    ("editing", 2): "5d0120c44499bd406698bb880bbd761f74efe7572f305e14756e83862521f0f0",
    ("editing-mini", 2): "c61e4ed8eb6384218aff35693bb6925251a521397b39019c44530ce5123e6337",
    ("extrapolation", 1): "ddc4d897d6342e810e1e22b6642c1cb23f2c07c6eda9781f8f44ae24a5db5d25",
    ("extrapolation-mini", 1): "f2557b768ee0abfa3f782b66940c749ab6110820b3e0716e8cbc86e5a73a4168",
    ("extrapolation_expression", 1): "ffaf05069808db953486fac4cd97a09946572c9b59e122d2d0d83a3653274754",
    ("extrapolation_expression-mini", 1): "7577ed79d248b848a3c53f1afc4ecbc87f467377e7bf00be4ecffdc3bbdfb8ac",
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
    assert set(protocol.scoring.metrics) <= {state.info.id for state in list_metrics() if state.info is not None}


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("colour",), "red", "colour"),
        (("default_split",), "tail-9", "default_split"),
        (("short_share",), 1.5, "short_share"),
        (("splits", "tail-500", "seed"), 3, "seed"),
        (("splits", "random-500", "seed"), None, "seed"),
        (("splits", "random-500", "margin_deg"), 2.0, "a pose split has within_yaw_deg, within_pitch_deg, margin_deg"),
        (("splits", "tail-500", "kind"), "pose", "a pose split has within_yaw_deg, within_pitch_deg, margin_deg"),
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


def test_pairs_of_the_toolkit_are_complete_and_go_both_ways() -> None:
    for name in ("cross_reenactment", "cross_reenactment-mini"):
        driving = load_protocol(name).driving
        assert driving is not None and driving.transfer == "relative"
        pairs = {(pair.subject, pair.driver) for pair in driving.pairs}
        assert pairs == {(driver, subject) for subject, driver in pairs}
        assert all(len(driving.drivers_of(actor)) == 2 for actor in "1234")
        assert {len(parse_frames(pair.frames)) for pair in driving.pairs} == {driving.frames}


@pytest.mark.parametrize("name", ["cross_reenactment", "cross_reenactment-mini"])
def test_pairs_of_the_toolkit_are_frames_that_no_fit_saw(name: str) -> None:
    """A pair's frames are the first held-out ones of its driver, so that another driver is treated alike."""
    protocol = load_protocol(name)
    assert protocol.driving is not None
    unlisted = protocol.model_copy(update={"driving": protocol.driving.model_copy(update={"pairs": ()})})
    for pair in protocol.driving.pairs:
        own, driver = ((len(capture), capture.valid_indices) for capture in map(load, (pair.subject, pair.driver)))
        names = (pair.subject, pair.driver)
        listed, ruled = (drive_split(one, own, driver, names) for one in (protocol, unlisted))
        assert listed == ruled
        assert listed.train == split(load_protocol(name.replace("cross", "self")), *own).train


@pytest.mark.parametrize("field", ["transfer", "frames", "pairs"])
def test_the_hash_sees_who_drives(field: str) -> None:
    protocol = load_protocol("cross_reenactment")
    assert protocol.driving is not None
    other = {"transfer": "absolute", "frames": 100, "pairs": protocol.driving.pairs[1:]}[field]
    changed = protocol.model_copy(update={"driving": protocol.driving.model_copy(update={field: other})})
    assert changed.hash() != protocol.hash()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda fields: fields.pop("driving"), "has the table driving, and no other protocol has it"),
        (lambda fields: fields.update(task="editing"), "has the table driving, and no other protocol has it"),
        (lambda fields: fields["driving"].update(transfer="copied"), "transfer"),
        (lambda fields: fields["driving"]["pairs"][0].update(driver="1"), "a pair is two people"),
        (lambda fields: fields["driving"]["pairs"].append(fields["driving"]["pairs"][0]), "is listed twice"),
        (lambda fields: fields["driving"]["pairs"][0].update(frames=["9-3"]), "ends before it begins"),
    ],
)
def test_wrong_driving_is_refused(change: Callable[[dict[str, Any]], object], message: str) -> None:
    fields = raw("cross_reenactment")
    change(fields)
    with pytest.raises(ValueError, match=message):
        Protocol(**fields)
