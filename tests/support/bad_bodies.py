"""Bodies that no service may accept, by a sentence that says what is wrong with each."""

import json
from typing import Any

KIBIBYTE = 1024
MAX_BODY = 64 * KIBIBYTE

GOOD_LINE = {"sku": "MUG-BLUE", "quantity": 1}


def lines(*items: Any, **more: Any) -> bytes:
    return json.dumps({"lines": list(items), **more}).encode()


def quantity(literal: str) -> bytes:
    return f'{{"lines":[{{"sku":"MUG-BLUE","quantity":{literal}}}]}}'.encode()


def sku(text: str) -> bytes:
    return lines({"sku": text, "quantity": 1})


# What is wrong, the JSON literal, and the status that it deserves.
QUANTITIES = [
    ("quantity zero", "0", 422),
    ("quantity minus zero", "-0", 422),
    ("quantity negative", "-1", 422),
    ("quantity a fraction", "1.5", 422),
    ("quantity a whole fraction", "1.0", 422),
    ("quantity a string", '"1"', 422),
    ("quantity true", "true", 422),
    ("quantity null", "null", 422),
    ("quantity a list", "[1]", 422),
    ("quantity 10 001", "10001", 422),
    ("quantity 2^31", str(2**31), 422),
    ("quantity 2^63", str(2**63), 422),
    ("quantity 2^64", str(2**64), 422),
    ("quantity of 4000 digits", "9" * 4000, 422),
    ("quantity of 5000 digits", "9" * 5000, 400),
    ("quantity 1e309", "1e309", 422),
    ("quantity -1e309", "-1e309", 422),
    ("quantity NaN", "NaN", 400),
    ("quantity Infinity", "Infinity", 400),
    ("quantity hexadecimal", "0x10", 400),
    ("quantity with a leading zero", "01", 400),
    ("quantity with a plus", "+1", 400),
]

_SKUS = [
    ("sku with NUL", "MUG\x00BLUE"),
    ("sku right to left", "\u202eEULB-GUM"),
    ("sku in Arabic", "كوب"),
    ("sku an emoji", "☕"),
    ("sku of 10 kB", "A" * 10_000),
    ("sku of 65 characters", "A" * 65),
    ("sku that injects SQL", "' OR 1=1--"),
    ("sku that climbs folders", "../"),
    ("sku in lower case", "mug-blue"),
    ("sku with white space around", " MUG-BLUE "),
    ("sku with a newline at the end", "MUG-BLUE\n"),
    ("sku in full width letters", "\uff2d\uff35\uff27"),
    ("sku empty", ""),
    ("sku with a lone surrogate", "\ud800"),
]

INVALID: list[tuple[str, bytes, int]] = [
    *((name, quantity(literal), status) for name, literal, status in QUANTITIES),
    *((name, sku(text), 422) for name, text in _SKUS),
    ("sku a number", b'{"lines":[{"sku":7,"quantity":1}]}', 422),
    ("sku missing", b'{"lines":[{"quantity":1}]}', 422),
    ("price smuggled in", lines(GOOD_LINE | {"unit_price_minor": 1}), 422),
    ("total smuggled in", lines(GOOD_LINE, total_minor=1), 422),
    ("status smuggled in", lines(GOOD_LINE, status="shipped"), 422),
    ("customer smuggled in", lines(GOOD_LINE, customer="bob"), 422),
    ("prototype smuggled in", lines(GOOD_LINE, __proto__={"a": 1}), 422),
    ("an unknown name with a lone surrogate", lines(GOOD_LINE, **{"\ud800": 1}), 422),
    ("no lines", lines(), 422),
    ("lines missing", b"{}", 422),
    ("lines null", b'{"lines":null}', 422),
    ("lines an object", b'{"lines":{"0":1}}', 422),
    ("lines a string", b'{"lines":"MUG-BLUE"}', 422),
    ("a line that is a number", lines(1), 422),
    ("a line that is null", lines(None), 422),
    ("51 lines", lines(*({"sku": f"SKU-{n}", "quantity": 1} for n in range(51))), 422),
    ("one sku twice", lines(GOOD_LINE, GOOD_LINE), 422),
    ("a list", b"[]", 422),
    ("a string", b'"lines"', 422),
    ("a number", b"1", 422),
    ("null", b"null", 422),
    ("nothing", b"", 400),
    ("white space", b"  \n ", 400),
    ("a duplicate name", b'{"lines":[],"lines":[{"sku":"MUG-BLUE","quantity":1}]}', 400),
    ("a duplicate name inside", b'{"lines":[{"sku":"MUG-BLUE","quantity":1,"quantity":2}]}', 400),
    ("a duplicate name, escaped", b'{"lines":[],"line\\u0073":[]}', 400),
    ("a trailing comma", b'{"lines":[{"sku":"MUG-BLUE","quantity":1},]}', 400),
    ("a comment", b'{"lines":[{"sku":"MUG-BLUE","quantity":1}]} // please', 400),
    ("single quotes", b"{'lines':[]}", 400),
    ("two documents", lines(GOOD_LINE) * 2, 400),
    ("half a document", lines(GOOD_LINE)[:-2], 400),
    ("a form", b"lines=MUG-BLUE", 400),
    ("UTF-16", lines(GOOD_LINE).decode().encode("utf-16"), 400),
    ("UTF-16 without a mark", lines(GOOD_LINE).decode().encode("utf-16-le"), 400),
    ("UTF-32", lines(GOOD_LINE).decode().encode("utf-32"), 400),
    ("a byte order mark", b"\xef\xbb\xbf" + lines(GOOD_LINE), 400),
    ("bytes that are no text", b"\xff\xfe\xfd", 400),
    ("a lone surrogate in bytes", b'{"lines":"\xed\xa0\x80"}', 400),
    ("an overlong slash", b'{"lines":"\xc0\xaf"}', 400),
    ("a raw control character", b'{"lines":"\x00"}', 400),
    ("lists 10 000 deep", b"[" * 10_000 + b"]" * 10_000, 400),
    ("lists 10 000 deep and open", b"[" * 10_000, 400),
    ("objects 10 000 deep", b'{"a":' * 10_000 + b"1" + b"}" * 10_000, 400),
    ("64 KiB of white space", lines(GOOD_LINE, x=1).ljust(MAX_BODY), 422),
    ("64 KiB and one byte", lines(GOOD_LINE).ljust(MAX_BODY + 1), 413),
    ("a megabyte", lines(GOOD_LINE).ljust(KIBIBYTE * KIBIBYTE), 413),
]

BAD_KEYS: list[tuple[str, list[tuple[str, str]]]] = [
    ("no key", []),
    ("an empty key", [("Idempotency-Key", "")]),
    ("a key of 256 characters", [("Idempotency-Key", "k" * 256)]),
    ("a key of 10 kB", [("Idempotency-Key", "k" * 10_000)]),
    ("a key that is not ASCII", [("Idempotency-Key", "schlüssel")]),
    ("a key with a space", [("Idempotency-Key", "two words")]),
    ("a key with a tab", [("Idempotency-Key", "two\twords")]),
    ("a key with a newline", [("Idempotency-Key", "two\r\n lines")]),
    ("a key with a bare newline", [("Idempotency-Key", "two\nlines")]),
    ("a key with NUL", [("Idempotency-Key", "nul\x00")]),
    ("two keys", [("Idempotency-Key", "one"), ("Idempotency-Key", "two")]),
    ("the same key twice", [("Idempotency-Key", "one"), ("idempotency-key", "one")]),
]

BAD_TYPES: list[tuple[str, list[tuple[str, str]]]] = [
    ("no content type", []),
    ("an empty content type", [("Content-Type", "")]),
    ("plain text", [("Content-Type", "text/plain")]),
    ("a form", [("Content-Type", "application/x-www-form-urlencoded")]),
    ("a multipart form", [("Content-Type", "multipart/form-data; boundary=x")]),
    ("XML", [("Content-Type", "application/xml")]),
    ("nearly JSON", [("Content-Type", "application/jsonp")]),
]
