"""Reads and writes sealed fields with AWS's Encryption SDK for Python.

    python3 -m venv venv
    venv/bin/pip install aws-encryption-sdk==4.0.7
    venv/bin/python fields.py check < go.json      # what envelope/field sealed
    venv/bin/python fields.py make > python.json   # what envelope/field must open

The comment of package field says what is in a message. This script shares no code with
it, and may serve as a pattern for readers in other languages.
"""

import base64
import hashlib
import hmac
import json
import logging
import sys
from datetime import datetime, timedelta, timezone

import aws_encryption_sdk
from aws_encryption_sdk.identifiers import Algorithm, CommitmentPolicy, EncryptionKeyType, WrappingAlgorithm
from aws_encryption_sdk.internal.crypto.wrapping_keys import WrappingKey
from aws_encryption_sdk.key_providers.raw import RawMasterKeyProvider


class Zero(RawMasterKeyProvider):
    """The wrapping key of 32 bytes zero, as keyring.NewRawAES("test", "zero", …) has it."""

    provider_id = "test"

    def _get_raw_key(self, key_id):
        return WrappingKey(
            wrapping_algorithm=WrappingAlgorithm.AES_256_GCM_IV12_TAG16_NO_PADDING,
            wrapping_key=bytes(32),
            wrapping_key_type=EncryptionKeyType.SYMMETRIC,
        )


zero = Zero()
zero.add_master_key("zero")
client = aws_encryption_sdk.EncryptionSDKClient(commitment_policy=CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT)


def binding(table, column, row):
    parts = [table, column, *row]
    return hashlib.sha256(b"".join(len(p.encode()).to_bytes(4, "big") + p.encode() for p in parts)).digest()[:16]


def seal(table, column, row, context, encoding, pad=0):
    plaintext = bytes([2 if pad else 1]) + binding(table, column, row) + encoding
    if pad:
        padded = encoding + b"\x80"
        plaintext += b"\x80" + bytes(-len(padded) % pad)
    message, _ = client.encrypt(
        source=plaintext,
        key_provider=zero,
        algorithm=Algorithm.AES_256_GCM_HKDF_SHA512_COMMIT_KEY,
        encryption_context={"table": table, **context},
    )
    return message


def open_sealed(table, column, row, context, message, pad=0):
    """Returns the value's encoding, if the message belongs to that place."""
    plaintext, header = client.decrypt(source=message, key_provider=zero)
    if header.encryption_context != {"table": table, **context}:
        raise ValueError("another context")
    version, bound, encoding = plaintext[0], plaintext[1:17], plaintext[17:]
    if not hmac.compare_digest(bound, binding(table, column, row)):
        raise ValueError("another row or column")
    if version != (2 if pad else 1):
        raise ValueError("version %d" % version)
    if pad:
        if len(encoding) % pad:
            raise ValueError("padded to %d bytes" % len(encoding))
        encoding = encoding.rstrip(b"\x00")
        if encoding[-1:] != b"\x80":
            raise ValueError("malformed padding")
        encoding = encoding[:-1]
    return encoding


EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def encode_time(nanoseconds):
    seconds, fraction = divmod(nanoseconds, 10**9)
    text = (EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    return text + (".%09d" % fraction).rstrip("0").rstrip(".") + "Z"


def decode_time(text):
    if not text.endswith("Z"):
        raise ValueError("not in UTC")
    whole, _, fraction = text[:-1].partition(".")
    since = datetime.strptime(whole, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=timezone.utc) - EPOCH
    return (since.days * 86400 + since.seconds) * 10**9 + int(fraction.ljust(9, "0"))


def from_base64(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def to_base64(b):
    return base64.urlsafe_b64encode(b).rstrip(b"=").decode()


# How the values of each type are encoded, and how they are decoded. In the vectors,
# bytes are base64url, floats are text (so that NaN has a place) and times nanoseconds
# since 1970.
TYPES = {
    "string": (lambda v: v.encode(), lambda b: b.decode()),
    "bytes": (from_base64, to_base64),
    "bool": (lambda v: b"true" if v else b"false", lambda b: {b"true": True, b"false": False}[b]),
    "int64": (lambda v: b"%d" % v, int),
    "uint64": (lambda v: b"%d" % v, int),
    "float64": (lambda v: v.encode(), lambda b: b.decode()),
    "time": (lambda v: encode_time(v).encode(), lambda b: decode_time(b.decode())),
    "json": (lambda v: json.dumps(v).encode(), json.loads),
}

VALUES = [
    ("string", ""),
    ("string", "078-05-1120"),
    ("string", "Grüße, 世界"),
    ("string", "exactly 15 byte"),  # which padding to 16 fills with its first byte
    ("string", "exactly 16 bytes"),
    ("string", "x" * 5000),  # two frames
    ("bytes", ""),
    ("bytes", to_base64(bytes(range(256)))),
    ("bytes", to_base64(b"\x80\x00\x00")),  # as padding looks
    ("bool", True),
    ("bool", False),
    ("int64", 0),
    ("int64", -(2**63)),
    ("uint64", 2**64 - 1),
    ("float64", "0.1"),
    ("float64", "-2.5e-308"),
    ("float64", "1e+21"),
    ("float64", "NaN"),
    ("float64", "-Inf"),
    ("time", 0),
    ("time", 1772368496123456789),
    ("time", -1),
    ("json", {"street": "1 High Street", "lines": ["a", "b"]}),
]


def cells():
    yield {
        "table": "patients",
        "column": "ssn",
        "row": ["p-17"],
        "context": {"tenant": "42"},
        "pad": 0,
        "type": "string",
        "value": "078-05-1120",
    }
    for column, pad in (("plain", 0), ("padded", 16)):
        for kind, value in VALUES:
            yield {
                "table": "samples",
                "column": column,
                "row": ["Zürich", "-7"],
                "context": {"tenant": "42"},
                "pad": pad,
                "type": kind,
                "value": value,
            }


def make():
    for c in cells():
        encode, _ = TYPES[c["type"]]
        message = seal(c["table"], c["column"], c["row"], c["context"], encode(c["value"]), c["pad"])
        yield {**c, "message": to_base64(message)}


def same(kind, a, b):
    if kind == "float64":
        a, b = float(a), float(b)
    return a == b or a != a and b != b


def refused(*args, **kwargs):
    try:
        open_sealed(*args, **kwargs)
    except ValueError:
        return True
    return False


def check(vectors):
    for c in vectors:
        place, message, pad = (c["table"], c["column"], c["row"], c["context"]), from_base64(c["message"]), c["pad"]
        encoding = open_sealed(*place, message, pad)
        value = TYPES[c["type"]][1](encoding)
        assert same(c["type"], value, c["value"]), "%s: %r is not %r" % (c["type"], value, c["value"])
        table, column, row, context = place
        assert refused(table, column + "x", row, context, message, pad), "opens in another column"
        assert refused(table, column, row + ["x"], context, message, pad), "opens in another row"
        assert refused(table, column, ["".join(row)[:1], "".join(row)[1:]], context, message, pad), "opens in a row of the same text"
        assert refused(table, column, row, {"tenant": "43"}, message, pad), "opens for another tenant"


# The example in the comment of package field.
assert binding("patients", "ssn", ["p-17"]).hex() == "f7d02f873a27870c7bf7f21ca474d66f"

logging.disable()
if sys.argv[1:] == ["make"]:
    print(json.dumps(list(make()), ensure_ascii=False, indent=1))
elif sys.argv[1:] == ["check"]:
    vectors = json.load(sys.stdin)
    check(vectors)
    print("%d sealed fields are read" % len(vectors))
else:
    sys.exit(__doc__)
