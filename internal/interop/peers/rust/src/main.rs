//! Answers internal/interop/exchange with AWS's Encryption SDK for Rust.
//!
//! It reads a JSON object from each line of its input and writes one to its output. What they
//! mean is said in ../../../exchange/peer.go. An overflow of the stack ends it.

mod keyrings;

use aws_esdk::client::Client;
use aws_esdk::material_providers::types::{EsdkAlgorithmSuiteId as Suite, EsdkCommitmentPolicy as Policy};
use aws_esdk::types::aws_encryption_sdk_config::AwsEncryptionSdkConfig;
use base64::prelude::{Engine, BASE64_STANDARD};
use serde_json::{json, Map, Value};
use std::collections::HashMap;
use std::io::{BufRead, Write};
use std::panic::{catch_unwind, AssertUnwindSafe};
use tokio::runtime::Runtime;

/// Why there is no result.
pub enum Failure {
    Unsupported(String),
    Refused(String),
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(e: E) -> Self {
        Failure::Refused(e.to_string())
    }
}

pub fn unsupported<T>(what: &str) -> Result<T, Failure> {
    Err(Failure::Unsupported(what.to_string()))
}

pub fn text<'a>(of: &'a Value, name: &str) -> &'a str {
    of[name].as_str().unwrap_or("")
}

pub fn bytes(of: &Value, name: &str) -> Vec<u8> {
    BASE64_STANDARD.decode(text(of, name)).expect("base64")
}

fn suite(id: u64) -> Result<Suite, Failure> {
    Ok(match id {
        0x0014 => Suite::AlgAes128GcmIv12Tag16NoKdf,
        0x0046 => Suite::AlgAes192GcmIv12Tag16NoKdf,
        0x0078 => Suite::AlgAes256GcmIv12Tag16NoKdf,
        0x0114 => Suite::AlgAes128GcmIv12Tag16HkdfSha256,
        0x0146 => Suite::AlgAes192GcmIv12Tag16HkdfSha256,
        0x0178 => Suite::AlgAes256GcmIv12Tag16HkdfSha256,
        0x0214 => Suite::AlgAes128GcmIv12Tag16HkdfSha256EcdsaP256,
        0x0346 => Suite::AlgAes192GcmIv12Tag16HkdfSha384EcdsaP384,
        0x0378 => Suite::AlgAes256GcmIv12Tag16HkdfSha384EcdsaP384,
        0x0478 => Suite::AlgAes256GcmHkdfSha512CommitKey,
        0x0578 => Suite::AlgAes256GcmHkdfSha512CommitKeyEcdsaP384,
        _ => return unsupported(&format!("suite {id:04x}")),
    })
}

fn policy(name: &str) -> Policy {
    match name {
        "forbid" => Policy::ForbidEncryptAllowDecrypt,
        "requireAllow" => Policy::RequireEncryptAllowDecrypt,
        _ => Policy::RequireEncryptRequireDecrypt,
    }
}

fn about() -> Value {
    let lock = include_str!("../Cargo.lock");
    let of = |name: &str| {
        let (_, after) = lock.split_once(&format!("name = \"{name}\"\nversion = \"")).expect(name);
        after.split('"').next().unwrap_or("").to_string()
    };
    json!({"name": "Rust", "version": of("aws-esdk"), "also": {"aws-lc-rs": of("aws-lc-rs")}})
}

fn run(rt: &Runtime, keyrings: &mut keyrings::Keyrings, r: &Value) -> Result<Value, Failure> {
    if r["stream"] == Value::from(true) {
        return unsupported("stream");
    }
    let mut config = AwsEncryptionSdkConfig::builder().commitment_policy(policy(text(r, "policy")));
    if let Some(max) = r["maxKeys"].as_i64() {
        config = config.max_encrypted_data_keys(max);
    }
    let client = Client::from_conf(config.build()?)?;
    let manager = keyrings.manager(rt, r)?;
    let mut context = HashMap::new();
    for (k, v) in r["context"].as_object().unwrap_or(&Map::new()) {
        context.insert(k.clone(), v.as_str().unwrap_or("").to_string());
    }
    let data = bytes(r, "data");
    if text(r, "op") == "decrypt" {
        let call = client.decrypt().ciphertext(data).materials_manager(manager).encryption_context(context);
        let out = rt.block_on(call.send())?;
        let plaintext = out.plaintext.expect("a plaintext");
        return Ok(json!({
            "data": BASE64_STANDARD.encode(plaintext.as_ref()), "context": out.encryption_context,
        }));
    }
    let mut call = client.encrypt().plaintext(data).materials_manager(manager).encryption_context(context);
    match r["suite"].as_u64() {
        None | Some(0) => {}
        Some(id) => call = call.algorithm_suite_id(suite(id)?),
    }
    match r["frame"].as_i64() {
        None => {}
        Some(0) => return unsupported("non-framed"),
        Some(length) => call = call.frame_length(length),
    }
    let out = rt.block_on(call.send())?;
    Ok(json!({"data": BASE64_STANDARD.encode(out.ciphertext.expect("a message").as_ref())}))
}

fn answer(rt: &Runtime, keyrings: &mut keyrings::Keyrings, r: &Value) -> Value {
    if text(r, "op") == "about" {
        return about();
    }
    match catch_unwind(AssertUnwindSafe(|| run(rt, keyrings, r))) {
        Ok(Ok(v)) => v,
        Ok(Err(Failure::Unsupported(what))) => json!({"unsupported": what}),
        Ok(Err(Failure::Refused(why))) => json!({"error": why.chars().take(500).collect::<String>()}),
        Err(_) => json!({"error": "it panicked"}),
    }
}

fn main() {
    let rt = Runtime::new().expect("a runtime");
    let mut keyrings = keyrings::Keyrings::new();
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let r: Value = serde_json::from_str(&line.expect("a line")).expect("JSON");
        let mut got = answer(&rt, &mut keyrings, &r);
        got["id"] = r["id"].clone();
        writeln!(out, "{got}").and_then(|()| out.flush()).expect("output");
    }
}
