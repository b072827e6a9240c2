"""Exported folders that are damaged, foreign or malicious: refused by name, and nothing is run."""

from __future__ import annotations

import io
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from safetensors.torch import load_file, save_file

from pyg_srgnn import Recommender
from pyg_srgnn.inference import artifact
from pyg_srgnn.inference.artifact import Artifact
from pyg_srgnn.inference.formats import open_onnx, open_pt2
from pyg_srgnn.inference.onnx import check_onnx
from pyg_srgnn.utils.files import sha256_of


@pytest.fixture(scope="module")
def exports(exported: Callable[[str, str], Path]) -> dict[str, Path]:
    """The default model, exported in either way."""
    return {kind: exported("default", kind) for kind in ("onnx", "torch_export")}


@pytest.fixture(scope="module", params=["onnx", "torch_export"])
def whole(request: pytest.FixtureRequest, exports: dict[str, Path]) -> Path:
    return exports[request.param]


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def encoder_in(folder: Path) -> Path:
    (path,) = folder.glob("encoder.*")
    return path


def change(folder: Path, **values: Any) -> None:
    """Change values of the manifest."""
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def sign(folder: Path) -> None:
    """Write sizes and checksums of the files as they are: what protects from damage alone."""
    files = json.loads((folder / "manifest.json").read_text())["files"]
    change(folder, files={name: sha256_of(folder / name) for name in files})
    change(folder, sizes={name: (folder / name).stat().st_size for name in files})


def refused(folder: Path, *messages: str) -> None:
    with pytest.raises(ValueError) as error:
        Recommender.load(folder)
    for text in (str(folder), *messages):
        assert text in str(error.value)


# Damage.


@pytest.mark.parametrize("name", ["encoder.onnx", "weights.safetensors", "vocabulary.json"])
def test_a_file_that_is_missing_cut_or_another(folder: Path, name: str) -> None:
    path = encoder_in(folder) if name.startswith("encoder") else folder / name
    held = path.read_bytes()
    for other in (held[:-1], held[: len(held) // 2], b"", held[:-1] + bytes([held[-1] ^ 1])):
        path.write_bytes(other)
        refused(folder, path.name, "is not the file that was exported")
    path.unlink()
    refused(folder, path.name, "is missing")


@pytest.mark.parametrize("name", ["encoder.onnx", "weights.safetensors", "vocabulary.json"])
@pytest.mark.parametrize("content", [b"", b"hello", b'{"a": 1}', b"\x08\x07" * 50, b"PK\x03\x04"])
def test_a_foreign_file_under_a_right_checksum(folder: Path, name: str, content: bytes) -> None:
    path = encoder_in(folder) if name.startswith("encoder") else folder / name
    path.write_bytes(content)
    sign(folder)
    refused(folder, path.name)


@pytest.mark.parametrize("size", range(0, 2000, 97))
def test_an_encoder_cut_under_a_right_checksum(folder: Path, size: int) -> None:
    path = encoder_in(folder)
    path.write_bytes(path.read_bytes()[:size])
    sign(folder)
    refused(folder, path.name)


CHANGES: dict[str, tuple[dict[str, Any], str]] = {
    "a newer version": ({"version": 6}, "version is 6; this pyg_srgnn reads 1 to 5"),
    "another format": ({"format": "of something else"}, "format is 'pyg_srgnn export'"),
    "another kind": ({"export": "pickle"}, "export must be one of onnx, torch_export"),
    "no model": ({"model": None}, "model must be a dict"),
    "no checksums": ({"files": {}}, "is not the file that was exported"),
    "no sizes": ({"sizes": None}, "sizes must be a dict"),
    "an unknown precision": ({"precision": "int4"}, "precision must be one of auto, float32"),
    "no facts": ({"scorer": None}, "scorer must be a dict"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_manifest_that_says_something_else(folder: Path, what: str) -> None:
    changed, message = CHANGES[what]
    change(folder, **changed)
    refused(folder, message)


def set_at(value: Any, *keys: str | int) -> Callable[[Any], None]:
    """Set one of the facts."""

    def changed(facts: Any) -> None:
        for key in keys[:-1]:
            facts = facts[key]
        facts[keys[-1]] = value

    return changed


def table(name: str, shape: list[Any], dtype: str = "float32") -> Callable[[Any], None]:
    return set_at({"dtype": dtype, "shape": shape}, "tables", name)


FACTS: dict[str, tuple[Callable[[Any], None], str]] = {
    "another encoder": (set_at("bert", "encoder"), "encoder must be one of graphs, steps"),
    "an encoder of steps": (set_at("steps", "encoder"), "encoder."),
    "no layers": (set_at(0, "layers"), "layers must be a whole number >= 1"),
    "attention as a text": (set_at("yes", "attends"), "attends must be a bool"),
    "no items": (table("item_vectors", [0, 8]), "item_vectors.shape must be a whole number >= 1"),
    "items that are no number": (table("item_vectors", [1e9, 8]), "item_vectors.shape must be"),
    "vectors that are none": (table("item_vectors", [40]), "item_vectors must be a matrix"),
    "fewer terms": (table("item_vectors", [40, 7]), "clicked_vectors must be float32 [40, 7]"),
    "other terms": (table("item_vectors", [40, 9]), "item_vectors must be float32 [40, 9]"),
    "other clicks": (table("clicks", [39], "int64"), "clicks must be int64 [40]"),
    "clicks of another type": (table("clicks", [40]), "clicks must be int64 [40]"),
    "another type": (table("clicks", [40], "object"), "clicks.dtype must be one of float32"),
    "an enormous table": (table("more", [1 << 30] * 3), "more must be float32"),
    "a shape without sizes": (set_at({"dtype": "float32"}, "tables", "clicks"), "shape must be"),
    "an unknown lookup": (set_at("eval", "components", 0, "lookup"), "lookup must be one of"),
    "another lookup": (set_at("own_items", "components", 0, "lookup"), "tables must be of []"),
    "a table that is not there": (
        set_at("odd", "components", 0, "tables", "count"),
        "tables must be one of item_vectors",
    ),
    "tables of two shapes": (
        set_at("item_vectors", "components", 0, "tables", "count"),
        "followers: count must have the shape",
    ),
    "a result that is not there": (set_at("odd", "components", 0, "gate"), "encoder."),
    "a component that is none": (set_at(["odd"], "components"), "components must be a dict"),
    "no name": (set_at(None, "components", 1, "name"), "name must be a str"),
    "a number for a name": (set_at(3, "components", 1, "known"), "known must be a str | None"),
}


@pytest.mark.parametrize("what", FACTS)
def test_facts_that_do_not_fit(folder: Path, what: str) -> None:
    changed, message = FACTS[what]
    facts = json.loads((folder / "manifest.json").read_text())["scorer"]
    changed(facts)
    change(folder, scorer=facts)
    refused(folder, message)


SETTINGS: dict[str, tuple[dict[str, Any], str]] = {
    "another model": ({"name": "bert"}, "model.name must be one of srgnn, gru4rec"),
    "other sizes": ({"channels": 9}, "item_vectors must be float32 [40, 9]"),
    "no number of items": ({"num_items": None}, "model.num_items must be a whole number"),
    "an odd number of items": ({"num_items": 1e9}, "model.num_items must be a whole number"),
    "no repeats": ({"repeat": False, "transitions": 3}, "followers must be int32 [40, 3]"),
}


@pytest.mark.parametrize("what", SETTINGS)
def test_settings_of_version_1_that_do_not_fit(tmp_path: Path, what: str) -> None:
    changed, message = SETTINGS[what]
    old = Path(__file__).parents[1] / "fixtures" / "v0.1.0" / "srgnn-onnx"
    folder = Path(shutil.copytree(old, tmp_path / "copy"))
    model = json.loads((folder / "manifest.json").read_text())["model"]
    change(folder, model=model | changed)
    refused(folder, message)


@pytest.mark.parametrize("content", ["", "[1]", "{", "null", "\x00"])
def test_a_manifest_that_is_none(folder: Path, content: str) -> None:
    (folder / "manifest.json").write_text(content)
    refused(folder, "manifest.json")


def test_the_parts_of_two_exports(folder: Path) -> None:
    (folder / "vocabulary.json").write_text('["only", "two"]')
    sign(folder)
    refused(folder, "vocabulary.json", "it has 2 ids for 40 items")


@pytest.mark.parametrize("odd", ["missing", "beyond", "other type"])
def test_weights_that_do_not_fit(folder: Path, odd: str) -> None:
    path = folder / "weights.safetensors"
    weights = {name: tensor.clone() for name, tensor in load_file(path).items()}
    if odd == "missing":
        del weights["clicks"]
    elif odd == "beyond":
        weights["transitions.followers"][3, 2] = 40
    else:
        weights["item_vectors"] = weights["item_vectors"].double()
    save_file(weights, path)
    sign(folder)
    refused(folder, "weights.safetensors", "followers must hold" if odd == "beyond" else "must be ")


def test_no_folder(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no folder of srgnn-export"):
        Artifact.load(tmp_path)


@pytest.mark.parametrize("name", ["encoder", "weights.safetensors", "manifest.json"])
def test_a_link_that_leads_out_of_the_folder(folder: Path, tmp_path: Path, name: str) -> None:
    path = encoder_in(folder) if name == "encoder" else folder / name
    path.rename(tmp_path / path.name)
    path.symlink_to(tmp_path / path.name)
    refused(folder, path.name, "lies outside of its folder")


def test_a_folder_that_is_a_link_and_links_within(folder: Path, tmp_path: Path) -> None:
    (folder / "manifest.json").rename(folder / "first.json")
    (folder / "manifest.json").symlink_to("first.json")
    (tmp_path / "current").symlink_to(folder)
    assert Artifact.load(tmp_path / "current").path == tmp_path / "current"


def test_what_is_used_are_the_bytes_that_were_checked(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, key = artifact._read, sha256_of(folder / "manifest.json")

    def replaced_once_read(folder: Path, name: str, size: int) -> bytes:
        data = read(folder, name, size)
        (folder / name).write_bytes(b"of somebody else")
        return data

    monkeypatch.setattr(artifact, "_read", replaced_once_read)
    assert Artifact.load(folder).key == key
    files = {encoder_in(folder).name, "weights.safetensors", "vocabulary.json", "manifest.json"}
    assert {
        file.name for file in folder.iterdir() if file.read_bytes() == b"of somebody else"
    } == files


def test_the_model_card_is_for_people(folder: Path) -> None:
    (folder / "model_card.md").write_text("Translated.")
    Artifact.load(folder)


# Sizes.


def old(folder: Path) -> None:
    """Make it an export of before there were sizes in the manifest."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["sizes"]
    path.write_text(json.dumps(manifest))


def test_sizes_are_in_the_manifest(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    files = manifest["files"]
    assert manifest["sizes"] == {name: (folder / name).stat().st_size for name in files}
    old(folder)
    Artifact.load(folder)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["encoder", "weights.safetensors", "vocabulary.json", "manifest"])
@pytest.mark.parametrize("sizes", ["listed", "not listed", "listed as they are"])
def test_a_large_file_is_refused_before_it_is_read(
    folder: Path, name: str, sizes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = encoder_in(folder) if name == "encoder" else next(folder.glob(f"{name}*"))
    if sizes == "not listed":
        old(folder)
    os.truncate(path, 3 << 30)  # it takes no room on the disk
    if sizes == "listed as they are" and name != "manifest":
        listed = json.loads((folder / "manifest.json").read_text())["sizes"]
        change(folder, sizes=listed | {path.name: 3 << 30})
    read, largest = artifact._read, 0

    def measured(folder: Path, name: str, size: int) -> bytes:
        nonlocal largest
        largest = max(largest, size)
        return read(folder, name, size)

    monkeypatch.setattr(artifact, "_read", measured)
    refused(folder, path.name, "3,221,225,472 bytes")
    assert largest < 1 << 20


@pytest.mark.parametrize("entry", ["1", '"1"', '"1, 2"', "[]", r'"\\"', r'"\""'])
def test_a_vocabulary_of_more_ids_is_refused_before_they_are_made(
    folder: Path, entry: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "vocabulary.json").write_text("[" + ", ".join([entry] * 20_000) + "]")
    sign(folder)
    monkeypatch.setattr(artifact.Vocabulary, "load", lambda *_: pytest.fail("it was parsed"))
    refused(folder, "vocabulary.json", "more ids than the model has items, 40")


@pytest.mark.slow
def test_ids_of_any_characters_are_counted_right(folder: Path) -> None:
    ids = [f'{i},"\\,\\",, \\' for i in range(40)]
    for odd in (ids, ["\\" * i for i in range(40)], ['"' * i + "," for i in range(40)]):
        (folder / "vocabulary.json").write_text(json.dumps(odd))
        sign(folder)
        assert Artifact.load(folder).vocabulary.ids == odd


def test_a_packed_archive_is_refused_before_it_is_unpacked(
    members: Members, tmp_path: Path
) -> None:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, member in members.items():
            archive.writestr(f"archive/{name}", member)
        archive.writestr("archive/data/weights/weight_99", bytes(10 << 20))
    with pytest.raises(ValueError, match="it is packed"):
        open_pt2(held.getvalue(), tmp_path / "encoder.pt2")


# Malice: whoever changes a file can change the checksums, too.


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.mark),)


def pickled(mark: Path) -> bytes:
    held = io.BytesIO()
    torch.save(Bomb(mark), held)
    return held.getvalue()


Members = dict[str, bytes]


def graph_with(find: str, replace: str) -> Callable[[Members, Path], None]:
    def rewrite(members: Members, mark: Path) -> None:
        assert find in members["models/model.json"].decode()
        text = (
            members["models/model.json"].decode().replace(find, replace.replace("MARK", str(mark)))
        )
        members["models/model.json"] = text.encode()

    return rewrite


def sample_inputs(members: Members, mark: Path) -> None:
    members["data/sample_inputs/model.pt"] = pickled(mark)


def tensor(kind: str, name: str) -> Callable[[Members, Path], None]:
    def rewrite(members: Members, mark: Path) -> None:
        place = f"data/{kind}/model_{kind}_config.json"
        config = json.loads(members[place])
        config["config"]["odd"] = {
            **{"path_name": name, "is_param": False, "use_pickle": True, "tensor_meta": None}
        }
        members[place] = json.dumps(config).encode()
        members[f"data/{kind}/{name}"] = pickled(mark)

    return rewrite


def library(members: Members, mark: Path) -> None:
    members["data/aotinductor/model/model.so"] = b"\x7fELF"


def old_format(members: Members, mark: Path) -> None:
    members["data/weights/model.pt"] = pickled(mark)


def guard(members: Members, mark: Path) -> None:
    model = json.loads(members["models/model.json"])
    model["guards_code"] = [f"__import__('os').mkdir('{mark}') is None"]
    members["models/model.json"] = json.dumps(model).encode()


SYMBOL = '"expr_str": "Symbol(\'s'
EVIL: dict[str, tuple[Callable[[Members, Path], None], str]] = {
    "pickled inputs": (sample_inputs, "sample inputs, which are pickled"),
    "a pickled weight": (tensor("weights", "weight_99"), "'odd' is pickled"),
    "a pickled constant": (tensor("constants", "tensor_0"), "'odd' is pickled"),
    "a pickled object": (tensor("constants", "opaque_obj_0"), "opaque_obj_0"),
    "weights of the old format": (old_format, "data/weights/model.pt"),
    "a compiled library": (library, "model.so"),
    "a guard": (guard, "guards, which are code"),
    "an expression": (
        graph_with(SYMBOL, "\"expr_str\": \"__import__('os').mkdir('MARK') or Symbol('s"),
        "the expression \"__import__('os')",
    ),
    "a function of torch": (
        graph_with("torch.ops.aten.tanh.default", "torch.hub.load_state_dict_from_url"),
        "it calls 'torch.hub.load_state_dict_from_url'",
    ),
    "an operator that reads files": (
        graph_with("torch.ops.aten.tanh.default", "torch.ops.aten.from_file.default"),
        "it calls 'torch.ops.aten.from_file.default'",
    ),
    "code for a name": (
        graph_with('"name": "tanh"', "\"name\": \"tanh = __import__('os').mkdir('MARK')\""),
        "expected names",
    ),
}


@pytest.fixture(scope="module")
def members(exports: dict[str, Path]) -> Members:
    with zipfile.ZipFile(exports["torch_export"] / "encoder.pt2") as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def archived(members: Members) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name, member in members.items():
            archive.writestr(f"archive/{name}", member)
    return held.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("what", EVIL)
def test_an_archive_that_would_run_something(members: Members, tmp_path: Path, what: str) -> None:
    rewrite, message = EVIL[what]
    changed, path = dict(members), tmp_path / "encoder.pt2"
    open_pt2(archived(changed), path)  # what is refused below is the change alone
    rewrite(changed, tmp_path / "it ran")
    with pytest.raises(ValueError) as error:
        open_pt2(archived(changed), path)
    assert str(path) in str(error.value) and message in str(error.value)
    assert not (tmp_path / "it ran").exists()


def test_an_archive_packed_in_an_unknown_way(
    exports: dict[str, Path], members: Members, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(exports["torch_export"], tmp_path / "copy"))
    packed = bytearray(archived(members))
    packed[packed.find(b"PK\x01\x02") + 10] = 99  # the method, in the list at the archive's end
    (folder / "encoder.pt2").write_bytes(packed)
    sign(folder)
    refused(folder, "encoder.pt2", "NotImplementedError")


@pytest.mark.parametrize("what", ["pickled inputs", "an expression"])
def test_torch_alone_would_have_run_it(members: Members, tmp_path: Path, what: str) -> None:
    """What is refused is no invention; where torch has learnt better, the check may go."""
    changed = dict(members)
    EVIL[what][0](changed, tmp_path / "it ran")
    with pytest.raises(Exception):  # noqa: B017
        torch.export.load(io.BytesIO(archived(changed)))
        raise RuntimeError("it was loaded")
    assert (tmp_path / "it ran").exists()


def external(model: onnx.ModelProto) -> None:
    first = model.graph.initializer[0]
    first.ClearField("raw_data")
    first.data_location = onnx.TensorProto.EXTERNAL
    entry = first.external_data.add()
    entry.key, entry.value = "location", "../../secret"


def nested(model: onnx.ModelProto) -> None:
    node = model.graph.node.add(op_type="Constant", output=["odd"])
    value = node.attribute.add(name="value", type=onnx.AttributeProto.TENSOR)
    value.t.external_data.add(key="location", value="/etc/passwd")


def custom(model: onnx.ModelProto) -> None:
    model.graph.node[0].domain = "com.example"


def imported(model: onnx.ModelProto) -> None:
    model.opset_import.add(domain="com.example", version=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (external, "data lies in another file"),
        (nested, "data lies in another file"),
        (custom, "operators of 'com.example'"),
        (imported, "operators of 'com.example'"),
    ],
)
def test_a_model_in_onnx_that_asks_for_more(
    exports: dict[str, Path],
    tmp_path: Path,
    change: Callable[[onnx.ModelProto], None],
    message: str,
) -> None:
    model = onnx.load(exports["onnx"] / "encoder.onnx")
    change(model)
    with pytest.raises(ValueError, match=message) as error:
        open_onnx(model.SerializeToString(), tmp_path / "encoder.onnx")
    assert str(tmp_path / "encoder.onnx") in str(error.value)


# Bytes that two readers of protobuf may read in two ways.


def number(value: int, size: int = 1) -> bytes:
    """A number of seven bits a byte, of at least so many bytes."""
    held: list[int] = []
    while value >> 7 or len(held) < size - 1:
        held.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*held, value])


def message(field: int, content: bytes, key: int = 1, size: int = 1) -> bytes:
    """A field that holds bytes; its key and its size of at least so many bytes."""
    return number(field << 3 | 2, key) + number(len(content), size) + content


def graphs(depth: int) -> bytes:
    """A graph in an attribute of a node of a graph in …"""
    content = b""
    for _ in range(depth):
        content = message(1, message(5, message(6, content)))
    return content


OUTSIDE = message(1, b"location") + message(2, b"/etc/passwd")
WIRE: dict[str, tuple[bytes, str]] = {
    "a tag of 35 bits, cut to field 13": (message(1 << 29 | 13, OUTSIDE), "more than 32 bits"),
    "a tag of six bytes": (message(13, OUTSIDE, key=6), "more than 32 bits"),
    "a size of six bytes": (message(2000, b"x", size=6), "more than 32 bits"),
    "a value of 65 bits": (number(2000 << 3) + number(1 << 64), "more than 64 bits"),
    "a value of eleven bytes": (number(2000 << 3) + number(1, 11), "more than 64 bits"),
    "field 0": (message(0, b"x"), "field 0"),
    "a group": (number(13 << 3 | 3) + OUTSIDE + number(13 << 3 | 4), "wire type 3"),
    "an end in a number": (b"\xff", "ends too early"),
    "field 13 in two bytes": (message(13, OUTSIDE, key=2), "data lies in another file"),
}


@pytest.mark.parametrize("what", WIRE)
def test_bytes_that_can_be_read_in_two_ways(
    exports: dict[str, Path], tmp_path: Path, what: str
) -> None:
    wire, reason = WIRE[what]
    whole, path = (exports["onnx"] / "encoder.onnx").read_bytes(), tmp_path / "encoder.onnx"
    check_onnx(whole + message(7, message(5, message(2000, b"x"))), path)
    with pytest.raises(ValueError, match=reason) as error:
        open_onnx(whole + message(7, message(5, wire)), path)
    assert str(path) in str(error.value)


def test_graphs_within_graphs(tmp_path: Path) -> None:
    path = tmp_path / "encoder.onnx"
    check_onnx(message(7, graphs(32)), path)
    for depth in (33, 500):
        with pytest.raises(ValueError, match="deeper than 100") as error:
            open_onnx(message(7, graphs(depth)), path)
        assert str(path) in str(error.value)
