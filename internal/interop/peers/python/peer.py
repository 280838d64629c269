"""Answers internal/interop/exchange with AWS's Encryption SDK for Python.

It reads a JSON object from each line of its input and writes one to its output. What they
mean is said in ../../exchange/peer.go.
"""

import base64
import importlib.metadata
import io
import json
import logging
import os
import sys

import aws_encryption_sdk
import boto3
import botocore.session
from aws_cryptographic_material_providers.keystore import KeyStore
from aws_cryptographic_material_providers.keystore.config import KeyStoreConfig
from aws_cryptographic_material_providers.keystore.models import KMSConfigurationKmsKeyArn
from aws_cryptographic_material_providers.mpl import AwsCryptographicMaterialProviders, models
from aws_cryptographic_material_providers.mpl.config import MaterialProvidersConfig
from aws_encryption_sdk.identifiers import Algorithm, CommitmentPolicy, EncryptionKeyType, WrappingAlgorithm
from aws_encryption_sdk.internal.crypto.wrapping_keys import WrappingKey
from aws_encryption_sdk.key_providers.kms import (
    DiscoveryAwsKmsMasterKeyProvider,
    DiscoveryFilter,
    MRKAwareDiscoveryAwsKmsMasterKeyProvider,
    MRKAwareStrictAwsKmsMasterKeyProvider,
    StrictAwsKmsMasterKeyProvider,
)
from aws_encryption_sdk.key_providers.raw import RawMasterKey
from aws_encryption_sdk.materials_managers.mpl.cmm import CryptoMaterialsManagerFromMPL
from botocore.config import Config

POLICIES = {
    "require": CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT,
    "requireAllow": CommitmentPolicy.REQUIRE_ENCRYPT_ALLOW_DECRYPT,
    "forbid": CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT,
}
PADDINGS = {
    "PKCS1": "PKCS1",
    "OAEP-SHA1": "OAEP_SHA1_MGF1",
    "OAEP-SHA256": "OAEP_SHA256_MGF1",
    "OAEP-SHA384": "OAEP_SHA384_MGF1",
    "OAEP-SHA512": "OAEP_SHA512_MGF1",
}
CURVES = {"P-256": "ECC_NIST_P256", "P-384": "ECC_NIST_P384", "P-521": "ECC_NIST_P521"}

providers = AwsCryptographicMaterialProviders(config=MaterialProvidersConfig())


class Unsupported(Exception):
    """The SDK has no such thing."""


class Broken(Exception):
    """A stream ended with an error, which is the cause."""

    def __init__(self, released):
        super().__init__()
        self.released = released  # before the error


def binary(text):
    return base64.b64decode(text, validate=True)


clients = {}


def client(service, region, endpoint):
    at = (service, region, endpoint)
    if at not in clients:
        clients[at] = boto3.client(
            service,
            region_name=region,
            endpoint_url=endpoint,
            aws_access_key_id="any",
            aws_secret_access_key="any",
            config=Config(connect_timeout=10, read_timeout=30),
        )
    return clients[at]


def kms(k):
    return client("kms", k["region"], k["endpoint"])


def raw_aes(k):
    key = binary(k["key"])
    return providers.create_raw_aes_keyring(
        models.CreateRawAesKeyringInput(
            key_namespace=k["namespace"],
            key_name=k["name"],
            wrapping_key=key,
            wrapping_alg=f"ALG_AES{8 * len(key)}_GCM_IV12_TAG16",
        )
    )


def raw_rsa(k):
    return providers.create_raw_rsa_keyring(
        models.CreateRawRsaKeyringInput(
            key_namespace=k["namespace"],
            key_name=k["name"],
            padding_scheme=PADDINGS[k["padding"]],
            public_key=k["public"].encode() if "public" in k else None,
            private_key=k["private"].encode() if "private" in k else None,
        )
    )


def raw_ecdh(k):
    if k["schema"] == "static":
        scheme = models.RawEcdhStaticConfigurationsRawPrivateKeyToStaticPublicKey(
            models.RawPrivateKeyToStaticPublicKeyInput(
                sender_static_private_key=k["private"].encode(), recipient_public_key=binary(k["public"])
            )
        )
    elif k["schema"] == "ephemeral":
        scheme = models.RawEcdhStaticConfigurationsEphemeralPrivateKeyToStaticPublicKey(
            models.EphemeralPrivateKeyToStaticPublicKeyInput(recipient_public_key=binary(k["public"]))
        )
    else:
        scheme = models.RawEcdhStaticConfigurationsPublicKeyDiscovery(
            models.PublicKeyDiscoveryInput(recipient_static_private_key=k["private"].encode())
        )
    return providers.create_raw_ecdh_keyring(
        models.CreateRawEcdhKeyringInput(key_agreement_scheme=scheme, curve_spec=CURVES[k["curve"]])
    )


def multi(k):
    return providers.create_multi_keyring(
        models.CreateMultiKeyringInput(
            generator=keyring(k["generator"]) if k.get("generator") else None,
            child_keyrings=[keyring(child) for child in k.get("children", [])],
        )
    )


def kms_key(k):
    return providers.create_aws_kms_keyring(models.CreateAwsKmsKeyringInput(kms_key_id=k["key"], kms_client=kms(k)))


def kms_mrk(k):
    return providers.create_aws_kms_mrk_keyring(
        models.CreateAwsKmsMrkKeyringInput(kms_key_id=k["key"], kms_client=kms(k))
    )


def discovery_filter(k):
    return models.DiscoveryFilter(account_ids=k["accounts"], partition=k["partition"])


def kms_discovery(k):
    return providers.create_aws_kms_discovery_keyring(
        models.CreateAwsKmsDiscoveryKeyringInput(kms_client=kms(k), discovery_filter=discovery_filter(k))
    )


def kms_mrk_discovery(k):
    return providers.create_aws_kms_mrk_discovery_keyring(
        models.CreateAwsKmsMrkDiscoveryKeyringInput(
            kms_client=kms(k), region=k["region"], discovery_filter=discovery_filter(k)
        )
    )


def kms_rsa(k):
    return providers.create_aws_kms_rsa_keyring(
        models.CreateAwsKmsRsaKeyringInput(
            kms_key_id=k["key"],
            encryption_algorithm=k["algorithm"],
            public_key=k["public"].encode(),
            kms_client=kms(k),
        )
    )


def kms_ecdh(k):
    if k["schema"] == "static":
        scheme = models.KmsEcdhStaticConfigurationsKmsPrivateKeyToStaticPublicKey(
            models.KmsPrivateKeyToStaticPublicKeyInput(
                sender_kms_identifier=k["key"],
                sender_public_key=binary(k["sender"]),
                recipient_public_key=binary(k["recipient"]),
            )
        )
    else:
        scheme = models.KmsEcdhStaticConfigurationsKmsPublicKeyDiscovery(
            models.KmsPublicKeyDiscoveryInput(recipient_kms_identifier=k["key"])
        )
    return providers.create_aws_kms_ecdh_keyring(
        models.CreateAwsKmsEcdhKeyringInput(
            key_agreement_scheme=scheme, curve_spec=CURVES[k["curve"]], kms_client=kms(k)
        )
    )


def branch_key(k):
    store = KeyStore(
        config=KeyStoreConfig(
            ddb_table_name=k["table"],
            logical_key_store_name=k["logical"],
            kms_configuration=KMSConfigurationKmsKeyArn(k["kmsKey"]),
            ddb_client=client("dynamodb", k["region"], k["dynamodb"]),
            kms_client=client("kms", k["region"], k["kms"]),
        )
    )
    return providers.create_aws_kms_hierarchical_keyring(
        models.CreateAwsKmsHierarchicalKeyringInput(key_store=store, branch_key_id=k["branchKey"], ttl_seconds=3600)
    )


def raw_master_key(k):
    if k["of"] == "raw-aes":
        key, of_type = binary(k["key"]), EncryptionKeyType.SYMMETRIC
        wrapping = WrappingAlgorithm[f"AES_{8 * len(key)}_GCM_IV12_TAG16_NO_PADDING"]
    else:
        key, of_type = k["private"].encode(), EncryptionKeyType.PRIVATE
        wrapping = WrappingAlgorithm["RSA_" + PADDINGS[k["padding"]]]
    return RawMasterKey(
        provider_id=k["namespace"], key_id=k["name"], wrapping_key=WrappingKey(wrapping, key, of_type)
    )


master_keys = {}


def kms_master_key(k):
    # A client takes long to make.
    at = json.dumps(k, sort_keys=True)
    if at not in master_keys:
        master_keys[at] = new_kms_master_key(k)
    return master_keys[at]


def new_kms_master_key(k):
    session = botocore.session.Session()
    session.set_credentials("any", "any")
    options = {"botocore_session": session}
    if "discovery" in k["of"]:
        options["discovery_filter"] = DiscoveryFilter(account_ids=k["accounts"], partition=k["partition"])
    else:
        options["key_ids"] = [k["key"]]
    if k["of"] == "kms-mrk-discovery":
        options["discovery_region"] = k["region"]
    # The provider makes its client itself.
    os.environ["AWS_ENDPOINT_URL_KMS"] = k["endpoint"]
    try:
        provider = KMS_PROVIDERS[k["of"]](**options)
        provider.add_regional_client(k["region"])
    finally:
        del os.environ["AWS_ENDPOINT_URL_KMS"]
    return provider


KMS_PROVIDERS = {
    "kms": StrictAwsKmsMasterKeyProvider,
    "kms-mrk": MRKAwareStrictAwsKmsMasterKeyProvider,
    "kms-discovery": DiscoveryAwsKmsMasterKeyProvider,
    "kms-mrk-discovery": MRKAwareDiscoveryAwsKmsMasterKeyProvider,
}


def master_key(k):
    """Returns what older releases had in place of a keyring."""
    return kms_master_key(k) if k["of"] in KMS_PROVIDERS else raw_master_key(k)


KINDS = {
    "raw-aes": raw_aes,
    "raw-rsa": raw_rsa,
    "raw-ecdh": raw_ecdh,
    "multi": multi,
    "kms": kms_key,
    "kms-mrk": kms_mrk,
    "kms-discovery": kms_discovery,
    "kms-mrk-discovery": kms_mrk_discovery,
    "kms-rsa": kms_rsa,
    "kms-ecdh": kms_ecdh,
    "branch-key": branch_key,
}


def keyring(k):
    if k["kind"] not in KINDS:
        raise Unsupported(k["kind"])
    return KINDS[k["kind"]](k)


def materials(request):
    if request["keyring"]["kind"] == "master-key":
        return {"key_provider": master_key(request["keyring"])}
    kr = keyring(request["keyring"])
    if not request.get("required"):
        return {"keyring": kr}
    manager = providers.create_default_cryptographic_materials_manager(
        models.CreateDefaultCryptographicMaterialsManagerInput(keyring=kr)
    )
    manager = providers.create_required_encryption_context_cmm(
        models.CreateRequiredEncryptionContextCMMInput(
            underlying_cmm=manager, required_encryption_context_keys=request["required"]
        )
    )
    return {"materials_manager": CryptoMaterialsManagerFromMPL(manager)}


def run(request):
    sdk = aws_encryption_sdk.EncryptionSDKClient(
        commitment_policy=POLICIES[request["policy"]], max_encrypted_data_keys=request.get("maxKeys")
    )
    options = materials(request)
    if request["op"] == "encrypt" or request.get("context"):
        options["encryption_context"] = request.get("context", {})
    if request["op"] == "encrypt":
        if request.get("suite"):
            options["algorithm"] = Algorithm.get_by_id(request["suite"])
        if "frame" in request:
            options["frame_length"] = request["frame"]
    data = binary(request.get("data", ""))
    if not request.get("stream"):
        return (sdk.encrypt if request["op"] == "encrypt" else sdk.decrypt)(source=data, **options)
    out = io.BytesIO()
    try:
        with sdk.stream(mode=request["op"], source=io.BytesIO(data), **options) as stream:
            piece = request.get("piece")
            for chunk in iter(lambda: stream.read(piece), b"") if piece else stream:
                out.write(chunk)
            return out.getvalue(), stream.header
    except Exception as e:
        raise Broken(out.getvalue()) from e


def error(e):
    return f"{type(e).__name__}: {e}"[:500]


def answer(request):
    if request["op"] == "about":
        version = importlib.metadata.version
        name = "aws-cryptographic-material-providers"
        return {"name": "Python", "version": version("aws-encryption-sdk"), "also": {name: version(name)}}
    data, header = run(request)
    got = {"data": base64.b64encode(data).decode()}
    if request["op"] == "decrypt":
        got["context"] = header.encryption_context
    return got


def main():
    logging.disable()
    # What a library prints goes elsewhere.
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin.buffer:
        request = json.loads(line)
        try:
            got = answer(request)
        except Unsupported as e:
            got = {"unsupported": str(e)}
        except Broken as e:
            got = {"error": error(e.__cause__), "released": base64.b64encode(e.released).decode()}
        except Exception as e:  # whatever it is, it is not opened
            got = {"error": error(e)}
        got["id"] = request["id"]
        answers.write(json.dumps(got) + "\n")
        answers.flush()


main()
