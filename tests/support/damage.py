"""Damaged copies of saved models: bytes as broken drives leave them, and content changed by hand under a right checksum."""

import copy
import json

import numpy as np
from safetensors.numpy import load, save

from bayestl.files.folder import _checksum, _entries

ODD = [
    None,
    True,
    -1,
    0,
    10**30,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "x",
    "\x00",
    [],
    [[]],
    {},
    {"type": "x"},
    ["a", 1],
]
"""What takes the place of a leaf of the document."""


def sealed(document, arrays, version="5"):
    """The bytes of a model file with its right checksum."""
    text = document if isinstance(document, bytes) else json.dumps(document).encode()
    stored = {"document": np.frombuffer(text, np.uint8), **{k: np.ascontiguousarray(v) for k, v in arrays.items()}}
    return save(stored, {"bayestl-format": version, "sha256": _checksum(stored)})


def opened(content):
    """The document and the arrays of a model file."""
    arrays = load(content)
    return json.loads(arrays.pop("document").tobytes()), arrays


def broken(content, others, n, rng):
    """``n`` damages of bytes: ``(kind, bytes)``; what they load as is what was written, or nothing."""
    for _ in range(n):
        kind = rng.choice(["flip", "flips", "cut", "longer", "zeros", "doubled", "swapped", "mixed", "header"])
        data, at = bytearray(content), int(rng.integers(len(content)))
        other = others[int(rng.integers(len(others)))]
        if kind == "flip":
            data[at] ^= 1 << int(rng.integers(8))
        elif kind == "flips":
            for i in rng.integers(len(data), size=5):
                data[i] ^= 1 << int(rng.integers(8))
        elif kind == "cut":
            del data[at if rng.uniform() < 0.8 else 0 :]
        elif kind == "longer":
            data += rng.bytes(int(rng.integers(1, 50)))
        elif kind == "zeros":
            data[at : at + 512] = bytes(len(data[at : at + 512]))
        elif kind == "doubled":
            data[at:at] = data[max(0, at - 30) : at] or b"x"
        elif kind == "swapped":
            to = int(rng.integers(len(data)))
            data[at : at + 8], data[to : to + 8] = data[to : to + 8], data[at : at + 8]
        elif kind == "mixed":  # the beginning of one save, the rest of another
            data = data[:at] + other[at:]
        else:
            length = int.from_bytes(data[:8], "little")
            data[8 + int(rng.integers(length))] = int(rng.integers(32, 127))
        if bytes(data) in others:
            continue  # one of them whole: where the beginnings are the same
        yield str(kind), bytes(data)


def mixtures(content, others):
    """The arrays of other saves under this document and this checksum."""
    document, arrays = opened(content)
    entries = _entries(content)
    for other in others:
        strange_document, strange = opened(other)
        for name in arrays:
            if name in strange and strange[name].tobytes() != arrays[name].tobytes():
                yield "an array of another fit", _stored(document, arrays | {name: strange[name]}, entries)
        yield "the document of another fit", _stored(strange_document, arrays, entries)
    for name, values in arrays.items():
        if values.dtype == np.float64 and values.size:
            yield "float32", _stored(document, arrays | {name: values.astype(np.float32)}, entries)
            yield "NaN", _stored(document, arrays | {name: np.full_like(values, np.nan)}, entries)
        if values.ndim != 2 or values.shape[1] != 1:
            yield "flat", _stored(document, arrays | {name: values.reshape(-1, 1)}, entries)
        yield "missing", _stored(document, {k: v for k, v in arrays.items() if k != name}, entries)
    for entry in entries:
        yield "missing entry", _stored(document, arrays, {k: v for k, v in entries.items() if k != entry})


def _stored(document, arrays, entries):
    return save({"document": np.frombuffer(json.dumps(document).encode(), np.uint8), **arrays}, entries)


def leaves(value, path=()):
    """The path of every value of a JSON document, containers included."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from leaves(inner, (*path, key))


def rewritten(content, n, rng):
    """``n`` files changed by hand and sealed again: other types in every place, keys dropped or added, odd arrays, odd JSON."""
    document, arrays = opened(content)
    paths = list(leaves(document))[1:]
    paths = [paths[i] for i in rng.permutation(len(paths))]
    text = json.dumps(document)
    deep = b"[" * 100_000 + b"]" * 100_000
    for odd in (
        b"",
        b"null",
        b"[]",
        b"{}",
        b"1" * 5000,
        b"\xff\xfe",
        deep,
        text.encode()[:-1],
        (text[:-1] + ', "seed": 3}').encode(),
    ):
        yield "odd JSON", sealed(odd, arrays)
    yield "a future format", sealed(document, arrays, "99")
    for i in range(n):
        changed, own = copy.deepcopy(document), dict(arrays)
        *parents, key = paths[i % len(paths)]
        place = changed
        for parent in parents:
            place = place[parent]
        kind = rng.choice(
            ["retyped", "dropped", "added", "array", "shape", "dtype", "no array"],
            p=[0.5, 0.2, 0.1, 0.05, 0.05, 0.05, 0.05],
        )
        name = str(rng.choice(list(own)))
        if kind == "retyped":
            place[key] = ODD[int(rng.integers(len(ODD)))]
        elif kind == "dropped":
            del place[key]
        elif kind == "added" and isinstance(place, dict):
            place["unknown"] = ODD[int(rng.integers(len(ODD)))]
        elif kind == "added":
            place.append(copy.deepcopy(place[key]))
        elif kind == "array":
            own[name] = rng.standard_normal((2, 3))
        elif kind == "shape":
            own[name] = own[name][:-1] if own[name].ndim else own[name].reshape(1)
        elif kind == "dtype":
            with np.errstate(invalid="ignore"):
                own[name] = own[name].astype(rng.choice(["float32", "int64", "uint8", "bool"]))
        else:
            del own[name]
        yield str(kind), sealed(changed, own)
