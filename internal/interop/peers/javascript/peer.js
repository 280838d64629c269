// Answers internal/interop/exchange with AWS's Encryption SDK for JavaScript.
//
// It reads a JSON object from each line of its input and writes one to its output. What they
// mean is said in ../../exchange/peer.go.

const { constants } = require('crypto')
const readline = require('readline')
const { Readable } = require('stream')
const { DynamoDBClient } = require('@aws-sdk/client-dynamodb')
const { KMS } = require('@aws-sdk/client-kms')
const sdk = require('@aws-crypto/client-node')

const policies = {
  require: sdk.CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT,
  requireAllow: sdk.CommitmentPolicy.REQUIRE_ENCRYPT_ALLOW_DECRYPT,
  forbid: sdk.CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT,
}

const wrappings = {
  16: sdk.RawAesWrappingSuiteIdentifier.AES128_GCM_IV12_TAG16_NO_PADDING,
  24: sdk.RawAesWrappingSuiteIdentifier.AES192_GCM_IV12_TAG16_NO_PADDING,
  32: sdk.RawAesWrappingSuiteIdentifier.AES256_GCM_IV12_TAG16_NO_PADDING,
}

const paddings = {
  PKCS1: { padding: constants.RSA_PKCS1_PADDING },
  'OAEP-SHA1': { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha1' },
  'OAEP-SHA256': { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' },
  'OAEP-SHA384': { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha384' },
  'OAEP-SHA512': { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha512' },
}

class Unsupported extends Error {}

// Broken is that a stream ended with an error, after what it released.
class Broken extends Error {
  constructor(cause, released) {
    super(String(cause))
    this.released = released
  }
}

const clients = new Map()

function client(Client, region, endpoint) {
  const at = `${Client.name} ${region} ${endpoint}`
  if (!clients.has(at)) {
    const credentials = { accessKeyId: 'any', secretAccessKey: 'any' }
    clients.set(at, new Client({ region, endpoint, credentials }))
  }
  return clients.get(at)
}

const kms = (k) => client(KMS, k.region, k.endpoint)

const filter = (k) => ({ accountIDs: k.accounts, partition: k.partition })

const kinds = {
  'raw-aes': (k) => {
    // The SDK wants memory that nothing else is in.
    const key = Uint8Array.from(Buffer.from(k.key, 'base64'))
    return new sdk.RawAesKeyringNode({
      keyNamespace: k.namespace,
      keyName: k.name,
      unencryptedMasterKey: key,
      wrappingSuite: wrappings[key.length],
      utf8Sorting: !k.localeSorting,
    })
  },
  'raw-rsa': (k) =>
    new sdk.RawRsaKeyringNode({
      keyNamespace: k.namespace,
      keyName: k.name,
      rsaKey: { publicKey: k.public, privateKey: k.private },
      ...paddings[k.padding],
    }),
  multi: (k) =>
    new sdk.MultiKeyringNode({
      generator: k.generator ? keyring(k.generator) : undefined,
      children: (k.children || []).map(keyring),
    }),
  kms: (k) => new sdk.KmsKeyringNode({ generatorKeyId: k.key, clientProvider: () => kms(k) }),
  'kms-mrk': (k) => new sdk.AwsKmsMrkAwareSymmetricKeyringNode({ keyId: k.key, client: kms(k) }),
  'kms-discovery': (k) =>
    new sdk.KmsKeyringNode({ discovery: true, discoveryFilter: filter(k), clientProvider: () => kms(k) }),
  'kms-mrk-discovery': (k) =>
    new sdk.AwsKmsMrkAwareSymmetricDiscoveryKeyringNode({ client: kms(k), discoveryFilter: filter(k) }),
  'branch-key': (k) =>
    new sdk.KmsHierarchicalKeyRingNode({
      branchKeyId: k.branchKey,
      cacheLimitTtl: 3600,
      utf8Sorting: true,
      keyStore: new sdk.BranchKeyStoreNode({
        logicalKeyStoreName: k.logical,
        storage: { ddbTableName: k.table, ddbClient: client(DynamoDBClient, k.region, k.dynamodb) },
        keyManagement: { kmsClient: client(KMS, k.region, k.kms) },
        kmsConfiguration: { identifier: k.kmsKey },
      }),
    }),
}

function keyring(k) {
  if (!Object.hasOwn(kinds, k.kind)) throw new Unsupported(k.kind)
  return kinds[k.kind](k)
}

const turn = () => new Promise(setImmediate)

// collect has a stream read what is in pieces, and returns what it gives, and the header. A
// stream that fails is waited for: if it ends all the same, or gives more, that counts.
function collect(stream, data, piece = 1000) {
  return new Promise((resolve, reject) => {
    const out = []
    let header
    stream.once('MessageHeader', (h) => (header = h))
    stream.on('data', (chunk) => out.push(chunk))
    stream.on('error', async (e) => {
      // more than once
      for (let i = 0; i < 20; i++) await turn()
      reject(new Broken(e, Buffer.concat(out)))
    })
    stream.once('end', () => resolve([Buffer.concat(out), header]))
    const pieces = []
    for (let i = 0; i < data.length; i += piece) pieces.push(data.subarray(i, i + piece))
    Readable.from(pieces, { objectMode: false }).pipe(stream)
  })
}

async function encrypt(r, data) {
  const { encrypt, encryptStream } = sdk.buildClient(policies[r.policy])
  const options = { encryptionContext: r.context || {} }
  if (r.suite) options.suiteId = r.suite
  if (r.frame !== undefined) options.frameLength = r.frame
  if (r.stream) return (await collect(encryptStream(keyring(r.keyring), options), data, r.piece))[0]
  return (await encrypt(keyring(r.keyring), data, options)).result
}

async function decrypt(r, data) {
  const { decrypt, decryptStream } = sdk.buildClient({
    commitmentPolicy: policies[r.policy],
    maxEncryptedDataKeys: r.maxKeys || false,
  })
  if (r.stream) return collect(decryptStream(keyring(r.keyring)), data, r.piece)
  const { plaintext, messageHeader } = await decrypt(keyring(r.keyring), data)
  return [plaintext, messageHeader]
}

async function answer(r) {
  if (r.op === 'about') {
    const { version } = require('@aws-crypto/client-node/package.json')
    return { name: 'JavaScript', version, also: { 'Node.js': process.versions.node } }
  }
  if (r.required && r.required.length) throw new Unsupported('required context')
  const data = Buffer.from(r.data || '', 'base64')
  if (r.op === 'encrypt') {
    if (r.frame === 0) throw new Unsupported('non-framed')
    return { data: (await encrypt(r, data)).toString('base64') }
  }
  // Callers are told to compare the context themselves.
  if (r.context && Object.keys(r.context).length) throw new Unsupported('context on decrypt')
  const [plaintext, header] = await decrypt(r, data)
  return { data: plaintext.toString('base64'), context: header.encryptionContext }
}

async function main() {
  for await (const line of readline.createInterface({ input: process.stdin, crlfDelay: Infinity })) {
    const r = JSON.parse(line)
    let got
    try {
      got = await answer(r)
    } catch (e) {
      if (e instanceof Unsupported) got = { unsupported: e.message }
      else if (e instanceof Broken) got = { error: e.message.slice(0, 500), released: e.released.toString('base64') }
      else got = { error: String(e).slice(0, 500) }
    }
    process.stdout.write(JSON.stringify({ id: r.id, ...got }) + '\n')
  }
}

main()
