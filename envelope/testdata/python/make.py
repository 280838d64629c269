"""Writes messages.json: messages made by AWS's Encryption SDK for Python.

    python3 -m venv venv
    venv/bin/pip install aws-encryption-sdk==4.0.7 aws-cryptographic-material-providers==1.11.3
    venv/bin/python make.py > messages.json

Each message has another data key, so that no two runs write the same bytes.
"""

import base64
import json
import logging

import aws_encryption_sdk
from aws_cryptographic_material_providers.mpl import AwsCryptographicMaterialProviders
from aws_cryptographic_material_providers.mpl import models
from aws_cryptographic_material_providers.mpl.config import MaterialProvidersConfig
from aws_encryption_sdk.identifiers import Algorithm, CommitmentPolicy
from aws_encryption_sdk.materials_managers.mpl.cmm import CryptoMaterialsManagerFromMPL

SUITES = [0x0014, 0x0046, 0x0078, 0x0114, 0x0146, 0x0178, 0x0214, 0x0346, 0x0378, 0x0478, 0x0578]
TWO = {"tenant": "42", "table": "patients"}
# The first key sorts before the second in UTF-8, and after it in UTF-16.
UNICODE = {"～": "fullwidth tilde", "🔑": "key", "é": "ü", "a": ""}

providers = AwsCryptographicMaterialProviders(config=MaterialProvidersConfig())


def raw_aes(name, key):
    return providers.create_raw_aes_keyring(
        models.CreateRawAesKeyringInput(
            key_namespace="test",
            key_name=name,
            wrapping_key=key,
            wrapping_alg="ALG_AES256_GCM_IV12_TAG16",
        )
    )


zero = raw_aes("zero", bytes(32))
both = providers.create_multi_keyring(
    models.CreateMultiKeyringInput(generator=raw_aes("other", b"\1" * 32), child_keyrings=[zero])
)


def requiring(keys):
    manager = providers.create_default_cryptographic_materials_manager(
        models.CreateDefaultCryptographicMaterialsManagerInput(keyring=zero)
    )
    manager = providers.create_required_encryption_context_cmm(
        models.CreateRequiredEncryptionContextCMMInput(underlying_cmm=manager, required_encryption_context_keys=keys)
    )
    return CryptoMaterialsManagerFromMPL(manager)


def message(name, suite, frame, size, context, required=(), keyring=zero):
    policy = CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT
    if suite >= 0x0400:
        policy = CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT
    materials = {"materials_manager": requiring(list(required))} if required else {"keyring": keyring}
    plaintext = bytes(i % 251 for i in range(size))
    out, _ = aws_encryption_sdk.EncryptionSDKClient(commitment_policy=policy).encrypt(
        source=plaintext,
        algorithm=Algorithm.get_by_id(suite),
        frame_length=frame,
        encryption_context=context,
        **materials,
    )
    return {
        "name": name,
        "suite": suite,
        "frame_length": frame,  # zero: the body is not framed
        "plaintext_length": size,  # its bytes count up and begin again after 250
        "context": context,
        "required": list(required),  # keys of the pairs that are not stored
        "message": base64.b64encode(out).decode(),
    }


def messages():
    for suite in SUITES:
        yield message("framed", suite, 128, 300, TWO)
        yield message("frames filled", suite, 128, 256, TWO)
        yield message("not framed", suite, 0, 300, TWO)
        yield message("empty", suite, 4096, 0, {})
        yield message("required context", suite, 4096, 20, UNICODE, required=("🔑", "a"))
    for suite in (0x0178, 0x0478, 0x0578):
        yield message("unicode", suite, 4096, 20, UNICODE)
        yield message("empty, not framed", suite, 0, 0, TWO)
        yield message("second data key", suite, 4096, 20, TWO, keyring=both)


logging.disable()
print(json.dumps(list(messages()), ensure_ascii=False, indent=1))
