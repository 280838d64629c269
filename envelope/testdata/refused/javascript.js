// Writes which of the messages AWS's Encryption SDK for JavaScript opens, as readers.json
// has it. Since that takes no expected pairs, they are compared afterwards.
//
//     npm install @aws-crypto/client-node@5.0.2
//     NODE_PATH=node_modules node javascript.js < messages.json

const {
  buildClient,
  CommitmentPolicy,
  RawAesKeyringNode,
  RawAesWrappingSuiteIdentifier,
} = require('@aws-crypto/client-node')

const policies = {
  require: CommitmentPolicy.REQUIRE_ENCRYPT_REQUIRE_DECRYPT,
  allow: CommitmentPolicy.REQUIRE_ENCRYPT_ALLOW_DECRYPT,
}
const suites = {
  16: RawAesWrappingSuiteIdentifier.AES128_GCM_IV12_TAG16_NO_PADDING,
  32: RawAesWrappingSuiteIdentifier.AES256_GCM_IV12_TAG16_NO_PADDING,
}

function keyring({ namespace, name, key }) {
  const secret = Uint8Array.from(Buffer.from(key, 'base64'))
  return new RawAesKeyringNode({
    keyNamespace: namespace,
    keyName: name,
    unencryptedMasterKey: secret,
    wrappingSuite: suites[secret.length],
    utf8Sorting: true,
  })
}

async function opened(c, keys) {
  const { decrypt } = buildClient({
    commitmentPolicy: policies[c.policy],
    maxEncryptedDataKeys: c.max_keys || false,
  })
  const { plaintext, messageHeader } = await decrypt(keyring(keys[c.key]), Buffer.from(c.message, 'base64'))
  for (const [key, value] of Object.entries(c.context)) {
    if (messageHeader.encryptionContext[key] !== value) throw new Error('another context')
  }
  return plaintext.toString()
}

async function main() {
  const manifest = JSON.parse(require('fs').readFileSync(0, 'utf8'))
  const found = { opens: [], refuses: [] }
  for (const c of manifest.cases) {
    let plaintext
    try {
      plaintext = await opened(c, manifest.keys)
    } catch (e) {
      if (c.verdict === 'open') found.refuses.push(c.id)
      continue
    }
    if (c.verdict !== 'open') found.opens.push(c.id)
    if (c.verdict !== 'refuse' && plaintext !== (c.plaintext || '')) throw new Error(c.id)
  }
  console.log(JSON.stringify(found))
}

main()
