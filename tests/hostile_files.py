"""Made-up graph files, and changes of good ones."""

from __future__ import annotations

import random

from repository import ROOT

TOKENS: tuple[bytes, ...] = (
    *(b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"\0", b"\xff", b"\xef\xbb\xbf", b"\r\n"),
    *(b"-0", b"1e999", b"-1", b"1.0", b"1e2", b"true", b"null", b"NaN", b"-Infinity", b"9" * 400),
    *(b"1000000000000000", b"9223372036854775808", b"18446744073709551616", b"[]", b"{}", b"[[]]"),
    *(b'"id"', b'"kind"', b'"shape"', b'"parents"', b'"conv"', b'"tuple"', b'"\\ud800"', b"  "),
    *(b"&a ", b"*a", b"<<: ", b"!!python/object:os.system ", b"? ", b"- ", b"|\n", b"%YAML 1.1\n"),
    *(b"---\n", b"...\n", b"no", b"1_0", b"0x10", b"~", b"\t", b"\xe2\x80\xae", b"#"),
)


def affine() -> bytes:
    return (ROOT / "tests/sample_project/models/affine.ir.json").read_bytes()


def legacy() -> bytes:
    return (ROOT / "models/legacy_cnn.ir.json").read_bytes()


def transformer() -> bytes:
    return (ROOT / "models/digits_transformer.ir.json").read_bytes()


def mutated(data: bytes, rng: random.Random, seeds: list[bytes]) -> bytes:
    """A few changes of one file: bytes, tokens, numbers, lost, doubled and foreign pieces."""
    result = bytearray(data)
    for _ in range(rng.choice([1, 1, 2, 3, 8])):
        at = rng.randrange(len(result) + 1)
        span = rng.choice([1, 1, 2, 4, 16, 64, 1024])
        kind = rng.randrange(7)
        if kind == 0 and result:
            result[at % len(result)] = rng.randrange(256)
        elif kind == 1:
            result[at:at] = rng.choice(TOKENS)
        elif kind == 2:
            result[at : at + span] = rng.choice(TOKENS)
        elif kind == 3:
            del result[at : at + span]
        elif kind == 4:
            result[at:at] = result[at : at + span] * rng.choice([1, 2, 20])
        elif kind == 5:
            other = rng.choice(seeds)
            start = rng.randrange(len(other))
            result[at:at] = other[start : start + span]
        else:
            del result[at:]
    return bytes(result)


def nodes(*fields: str) -> bytes:
    listed = ",".join(fields)
    root = '"format":"torchlean.ir.v1","input_id":0,"output_ids":[0]'
    return f'{{{root},"nodes":[{listed}]}}'.encode()


def with_input(fields: str) -> bytes:
    return nodes('{"id":0,"kind":"input","parents":[],"shape":[1]}', fields)


BIG = 2_000_000


GRAPHS: dict[str, bytes] = {
    "no tensor at all": b'{"format":"torchlean.ir.v1","input_id":0,"output_ids":[0],"nodes":['
    b'{"id":0,"kind":"input","parents":[],"value_kind":"tuple","tuple_shapes":[[2]]}]}',
    "10^15 elements": with_input(
        '{"id":1,"kind":"const","parents":[],"shape":[1000000000000000],"values":[1.0]}'
    ),
    "10^15 rows of nothing": with_input(
        '{"id":1,"kind":"linear","parents":[0],"shape":[1000000000000000],"weight":[],"bias":[]}'
    ),
    "many extents": with_input(
        '{"id":1,"kind":"const","parents":[],"shape":[' + "1," * 5000 + '1],"values":[1.0]}'
    ),
    "a large number of axes to pad": with_input(
        '{"id":1,"kind":"conv","parents":[0],"shape":[1],"spatial_rank":1000000000000,"kernel":[],'
        '"stride":[],"padding":[],"padding_after":[],"dilation":[],"groups":1,"channel_axis":0,'
        '"in_channels":1,"out_channels":1}'
    ),
    "a mask of 10^15": with_input(
        '{"id":1,"kind":"hard_masked_softmax","parents":[0],"shape":[1],'
        '"mask":{"shape":[1000000000000000],"allowed":[]}}'
    ),
    "parents nested deep": with_input(
        '{"id":1,"kind":"relu","parents":' + "[" * 100_000 + "]" * 100_000 + ',"shape":[1]}'
    ),
    "shapes nested deep": with_input(
        '{"id":1,"kind":"relu","parents":[0],"shape":' + "[1," * 50_000 + "[1" + "]" * 50_001 + "}"
    ),
    "arrays nested deep": b"[" * 100_000 + b"]" * 100_000,
    "arrays nested deep and open": b"[" * BIG,
    "objects nested deep": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "values nested deep": with_input(
        '{"id":1,"kind":"const","parents":[],"shape":[1],"values":'
        + "[" * 100_000
        + "1"
        + "]" * 100_000
        + "}"
    ),
    "empty arrays": nodes("[]," * BIG + "[]"),
    "empty objects": nodes("{}," * (BIG // 2) + "{}"),
    "short arrays": nodes('{"a":' + "[" + "[1]," * BIG + "[1]]}"),
    "short strings": nodes('{"a":[' + '"",' * BIG + '""]}'),
    "escaped quotes": b'{"a":"' + b'\\"' * BIG,
    "quotes": b'"' * BIG,
    "almost long arrays": (b"[" + b"1," * 126 + b"x") * (BIG // 256),
    "one long string": nodes('{"id":"' + "x" * (5 * BIG) + '"}'),
    "a kind of 10 MB": with_input('{"id":1,"kind":"' + "relu" * (BIG + BIG // 2) + '"}'),
    "parents": with_input('{"id":1,"kind":"concat","parents":[' + "0," * BIG + '0],"shape":[1]}'),
    "a natural number of 10 MB": with_input('{"id":' + "1" * (5 * BIG) + "}"),
    "a float of 10 MB": with_input('{"id":0.' + "1" * (5 * BIG) + "}"),
    "many keys": b'{"format":"torchlean.ir.v1",'
    + b",".join(b'"%d":1' % i for i in range(BIG // 8))
    + b"}",
    "duplicate keys": b"{" + b'"a":1,' * (BIG // 4) + b'"a":1}',
    "many outputs": b'{"format":"torchlean.ir.v1","input_id":0,"output_ids":['
    + b"0," * BIG
    + b"0]}",
    "1e999": with_input('{"id":1,"kind":"const","parents":[],"shape":[1],"values":[1e999]}'),
    "-0 for an id": with_input('{"id":-0,"kind":"relu","parents":[0],"shape":[1]}'),
    "1.0 for an id": with_input('{"id":1.0,"kind":"relu","parents":[0],"shape":[1]}'),
    "true for an id": with_input('{"id":true,"kind":"relu","parents":[0],"shape":[1]}'),
    "invalid UTF-8": with_input('{"id":1,"kind":"relu","x":"') + b'\xff"}]}',
    "NUL": affine().replace(b" ", b"\0"),
    "a byte order mark": b"\xef\xbb\xbf" + affine(),
    "nothing": b"",
    "white space": b" " * BIG,
}
