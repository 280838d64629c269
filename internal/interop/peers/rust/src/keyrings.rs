//! The keyrings that requests name.

use crate::{bytes, text, unsupported, Failure};
use aws_esdk::aws_cryptography_primitives::types::EcdhCurveSpec;
use aws_esdk::key_store::types::key_store_config::KeyStoreConfig;
use aws_esdk::key_store::types::KmsConfiguration;
use aws_esdk::material_providers::client::Client;
use aws_esdk::material_providers::types::cryptographic_materials_manager::CryptographicMaterialsManagerRef;
use aws_esdk::material_providers::types::keyring::KeyringRef;
use aws_esdk::material_providers::types::material_providers_config::MaterialProvidersConfig;
use aws_esdk::material_providers::types::{
    AesWrappingAlg, DiscoveryFilter, EphemeralPrivateKeyToStaticPublicKeyInput, KmsEcdhStaticConfigurations,
    KmsPrivateKeyToStaticPublicKeyInput, KmsPublicKeyDiscoveryInput, PaddingScheme, PublicKeyDiscoveryInput,
    RawEcdhStaticConfigurations, RawPrivateKeyToStaticPublicKeyInput,
};
use aws_sdk_kms::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_kms::types::EncryptionAlgorithmSpec;
use serde_json::Value;
use std::collections::HashMap;
use tokio::runtime::Runtime;

pub struct Keyrings {
    providers: Client,
    /// By their text in requests: some keep what they have read.
    made: HashMap<String, KeyringRef>,
    clients: HashMap<String, aws_sdk_kms::Client>,
}

fn credentials() -> Credentials {
    Credentials::new("any", "any", None, None, "any")
}

fn region(k: &Value) -> Region {
    Region::new(text(k, "region").to_string())
}

fn curve(k: &Value) -> Result<EcdhCurveSpec, Failure> {
    Ok(match text(k, "curve") {
        "P-256" => EcdhCurveSpec::EccNistP256,
        "P-384" => EcdhCurveSpec::EccNistP384,
        "P-521" => EcdhCurveSpec::EccNistP521,
        other => return unsupported(other),
    })
}

fn padding(k: &Value) -> Result<PaddingScheme, Failure> {
    Ok(match text(k, "padding") {
        "PKCS1" => PaddingScheme::Pkcs1,
        "OAEP-SHA1" => PaddingScheme::OaepSha1Mgf1,
        "OAEP-SHA256" => PaddingScheme::OaepSha256Mgf1,
        "OAEP-SHA384" => PaddingScheme::OaepSha384Mgf1,
        "OAEP-SHA512" => PaddingScheme::OaepSha512Mgf1,
        other => return unsupported(other),
    })
}

fn raw_schema(k: &Value) -> Result<RawEcdhStaticConfigurations, Failure> {
    Ok(match text(k, "schema") {
        "static" => RawEcdhStaticConfigurations::RawPrivateKeyToStaticPublicKey(
            RawPrivateKeyToStaticPublicKeyInput::builder()
                .sender_static_private_key(text(k, "private").as_bytes())
                .recipient_public_key(bytes(k, "public"))
                .build()?,
        ),
        "ephemeral" => RawEcdhStaticConfigurations::EphemeralPrivateKeyToStaticPublicKey(
            EphemeralPrivateKeyToStaticPublicKeyInput::builder().recipient_public_key(bytes(k, "public")).build()?,
        ),
        "discovery" => RawEcdhStaticConfigurations::PublicKeyDiscovery(
            PublicKeyDiscoveryInput::builder().recipient_static_private_key(text(k, "private").as_bytes()).build()?,
        ),
        other => return unsupported(other),
    })
}

fn kms_schema(k: &Value) -> Result<KmsEcdhStaticConfigurations, Failure> {
    Ok(match text(k, "schema") {
        "static" => KmsEcdhStaticConfigurations::KmsPrivateKeyToStaticPublicKey(
            KmsPrivateKeyToStaticPublicKeyInput::builder()
                .sender_kms_identifier(text(k, "key"))
                .sender_public_key(bytes(k, "sender"))
                .recipient_public_key(bytes(k, "recipient"))
                .build()?,
        ),
        "discovery" => KmsEcdhStaticConfigurations::KmsPublicKeyDiscovery(
            KmsPublicKeyDiscoveryInput::builder().recipient_kms_identifier(text(k, "key")).build()?,
        ),
        other => return unsupported(other),
    })
}

fn texts(of: &Value, name: &str) -> Vec<String> {
    of[name].as_array().into_iter().flatten().filter_map(|v| v.as_str()).map(String::from).collect()
}

fn filter(k: &Value) -> Result<Option<DiscoveryFilter>, Failure> {
    if k["partition"].is_null() {
        return Ok(None);
    }
    let b = DiscoveryFilter::builder().partition(text(k, "partition")).account_ids(texts(k, "accounts"));
    Ok(Some(b.build()?))
}

impl Keyrings {
    pub fn new() -> Self {
        let config = MaterialProvidersConfig::builder().build().expect("a config");
        let providers = Client::from_conf(config).expect("the material providers");
        Keyrings { providers, made: HashMap::new(), clients: HashMap::new() }
    }

    /// Returns the materials manager that a request asks for.
    pub fn manager(&mut self, rt: &Runtime, r: &Value) -> Result<CryptographicMaterialsManagerRef, Failure> {
        let keyring = self.keyring(rt, &r["keyring"])?;
        let default =
            rt.block_on(self.providers.create_default_cryptographic_materials_manager().keyring(keyring).send())?;
        let required = texts(r, "required");
        if required.is_empty() {
            return Ok(default);
        }
        let call = self.providers.create_required_encryption_context_cmm();
        Ok(rt.block_on(call.underlying_cmm(default).required_encryption_context_keys(required).send())?)
    }

    fn keyring(&mut self, rt: &Runtime, k: &Value) -> Result<KeyringRef, Failure> {
        let named = k.to_string();
        if let Some(made) = self.made.get(&named) {
            return Ok(made.clone());
        }
        let made = self.make(rt, k)?;
        self.made.insert(named, made.clone());
        Ok(made)
    }

    fn make(&mut self, rt: &Runtime, k: &Value) -> Result<KeyringRef, Failure> {
        let key = text(k, "key");
        Ok(match text(k, "kind") {
            "raw-aes" => {
                let secret = bytes(k, "key");
                let wrapping = match secret.len() {
                    16 => AesWrappingAlg::AlgAes128GcmIv12Tag16,
                    24 => AesWrappingAlg::AlgAes192GcmIv12Tag16,
                    _ => AesWrappingAlg::AlgAes256GcmIv12Tag16,
                };
                let call = self.providers.create_raw_aes_keyring().wrapping_key(secret).wrapping_alg(wrapping);
                rt.block_on(call.key_namespace(text(k, "namespace")).key_name(text(k, "name")).send())?
            }
            "raw-rsa" => {
                let mut call = self.providers.create_raw_rsa_keyring().padding_scheme(padding(k)?);
                if let Some(pem) = k["public"].as_str() {
                    call = call.public_key(pem.as_bytes());
                }
                if let Some(pem) = k["private"].as_str() {
                    call = call.private_key(pem.as_bytes());
                }
                rt.block_on(call.key_namespace(text(k, "namespace")).key_name(text(k, "name")).send())?
            }
            "raw-ecdh" => {
                let call = self.providers.create_raw_ecdh_keyring().curve_spec(curve(k)?);
                rt.block_on(call.key_agreement_scheme(raw_schema(k)?).send())?
            }
            "multi" => {
                let mut children = Vec::new();
                for child in k["children"].as_array().into_iter().flatten() {
                    children.push(self.keyring(rt, child)?);
                }
                let generator = match &k["generator"] {
                    Value::Null => None,
                    generator => Some(self.keyring(rt, generator)?),
                };
                let call = self.providers.create_multi_keyring().set_generator(generator);
                rt.block_on(call.child_keyrings(children).send())?
            }
            "kms" => {
                let kms = self.kms(k, "endpoint");
                rt.block_on(self.providers.create_aws_kms_keyring().kms_key_id(key).kms_client(kms).send())?
            }
            "kms-mrk" => {
                let kms = self.kms(k, "endpoint");
                rt.block_on(self.providers.create_aws_kms_mrk_keyring().kms_key_id(key).kms_client(kms).send())?
            }
            "kms-discovery" => {
                let kms = self.kms(k, "endpoint");
                let call = self.providers.create_aws_kms_discovery_keyring().kms_client(kms);
                rt.block_on(call.set_discovery_filter(filter(k)?).send())?
            }
            "kms-mrk-discovery" => {
                let kms = self.kms(k, "endpoint");
                let call = self.providers.create_aws_kms_mrk_discovery_keyring().kms_client(kms);
                rt.block_on(call.region(text(k, "region")).set_discovery_filter(filter(k)?).send())?
            }
            "kms-rsa" => {
                let kms = self.kms(k, "endpoint");
                let mut call = self.providers.create_aws_kms_rsa_keyring().kms_client(kms).kms_key_id(key);
                if let Some(pem) = k["public"].as_str() {
                    call = call.public_key(pem.as_bytes());
                }
                let algorithm = EncryptionAlgorithmSpec::from(text(k, "algorithm"));
                rt.block_on(call.encryption_algorithm(algorithm).send())?
            }
            "kms-ecdh" => {
                let kms = self.kms(k, "endpoint");
                let call = self.providers.create_aws_kms_ecdh_keyring().kms_client(kms).curve_spec(curve(k)?);
                rt.block_on(call.key_agreement_scheme(kms_schema(k)?).send())?
            }
            "branch-key" => {
                let dynamo = aws_sdk_dynamodb::Config::builder()
                    .behavior_version(BehaviorVersion::latest())
                    .region(region(k))
                    .credentials_provider(credentials())
                    .endpoint_url(text(k, "dynamodb"))
                    .build();
                let config = KeyStoreConfig::builder()
                    .kms_client(self.kms(k, "kms"))
                    .ddb_client(aws_sdk_dynamodb::Client::from_conf(dynamo))
                    .ddb_table_name(text(k, "table"))
                    .logical_key_store_name(text(k, "logical"))
                    .kms_configuration(KmsConfiguration::KmsKeyArn(text(k, "kmsKey").to_string()))
                    .build()?;
                let store = aws_esdk::key_store::client::Client::from_conf(config)?;
                let call = self.providers.create_aws_kms_hierarchical_keyring().key_store(store);
                rt.block_on(call.branch_key_id(text(k, "branchKey")).ttl_seconds(3600).send())?
            }
            other => return unsupported(other),
        })
    }

    fn kms(&mut self, k: &Value, endpoint: &str) -> aws_sdk_kms::Client {
        let named = format!("{} {}", text(k, "region"), text(k, endpoint));
        let make = || {
            let config = aws_sdk_kms::Config::builder()
                .behavior_version(BehaviorVersion::latest())
                .region(region(k))
                .credentials_provider(credentials())
                .endpoint_url(text(k, endpoint))
                .build();
            aws_sdk_kms::Client::from_conf(config)
        };
        self.clients.entry(named).or_insert_with(make).clone()
    }
}
