"""Writes which of the messages AWS's Encryption SDK for Python opens, as readers.json has it.

    python3 -m venv venv
    venv/bin/pip install aws-encryption-sdk==4.0.7 aws-cryptographic-material-providers==1.11.3
    venv/bin/python python.py < messages.json
"""

import base64
import json
import logging
import sys

import aws_encryption_sdk
from aws_cryptographic_material_providers.mpl import AwsCryptographicMaterialProviders
from aws_cryptographic_material_providers.mpl import models
from aws_cryptographic_material_providers.mpl.config import MaterialProvidersConfig
from aws_encryption_sdk.identifiers import CommitmentPolicy

POLICIES = {
    "require": CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT,
    "allow": CommitmentPolicy.REQUIRE_ENCRYPT_ALLOW_DECRYPT,
}
providers = AwsCryptographicMaterialProviders(config=MaterialProvidersConfig())


def keyring(key):
    secret = base64.b64decode(key["key"])
    return providers.create_raw_aes_keyring(
        models.CreateRawAesKeyringInput(
            key_namespace=key["namespace"],
            key_name=key["name"],
            wrapping_key=secret,
            wrapping_alg="ALG_AES%d_GCM_IV12_TAG16" % (8 * len(secret)),
        )
    )


def opened(case, keys):
    client = aws_encryption_sdk.EncryptionSDKClient(
        commitment_policy=POLICIES[case["policy"]], max_encrypted_data_keys=case.get("max_keys")
    )
    plaintext, _ = client.decrypt(
        source=base64.b64decode(case["message"]),
        keyring=keyring(keys[case["key"]]),
        encryption_context=case["context"],
    )
    return plaintext.decode()


def main():
    logging.disable()
    manifest = json.load(sys.stdin)
    found = {"opens": [], "refuses": []}
    for case in manifest["cases"]:
        try:
            plaintext = opened(case, manifest["keys"])
        except Exception:  # of any kind: it is a refusal
            if case["verdict"] == "open":
                found["refuses"].append(case["id"])
            continue
        if case["verdict"] != "open":
            found["opens"].append(case["id"])
        if case["verdict"] != "refuse":
            assert plaintext == case.get("plaintext", ""), case["id"]
    print(json.dumps(found))


main()
