import com.amazonaws.encryptionsdk.AwsCrypto;
import com.amazonaws.encryptionsdk.CryptoInputStream;
import com.amazonaws.encryptionsdk.CryptoOutputStream;
import com.amazonaws.encryptionsdk.CryptoResult;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import software.amazon.awssdk.protocols.jsoncore.JsonNode;
import software.amazon.awssdk.services.kms.model.EncryptionAlgorithmSpec;
import software.amazon.cryptography.keystore.KeyStore;
import software.amazon.cryptography.keystore.model.KMSConfiguration;
import software.amazon.cryptography.keystore.model.KeyStoreConfig;
import software.amazon.cryptography.materialproviders.ICryptographicMaterialsManager;
import software.amazon.cryptography.materialproviders.IKeyring;
import software.amazon.cryptography.materialproviders.MaterialProviders;
import software.amazon.cryptography.materialproviders.model.AesWrappingAlg;
import software.amazon.cryptography.materialproviders.model.CreateAwsKmsDiscoveryKeyringInput;
import software.amazon.cryptography.materialproviders.model.CreateAwsKmsEcdhKeyringInput;
import software.amazon.cryptography.materialproviders.model.CreateAwsKmsHierarchicalKeyringInput;
import software.amazon.cryptography.materialproviders.model.CreateAwsKmsKeyringInput;
import software.amazon.cryptography.materialproviders.model.CreateAwsKmsMrkDiscoveryKeyringInput;
import software.amazon.cryptography.materialproviders.model.CreateAwsKmsMrkKeyringInput;
import software.amazon.cryptography.materialproviders.model.CreateAwsKmsRsaKeyringInput;
import software.amazon.cryptography.materialproviders.model.CreateDefaultCryptographicMaterialsManagerInput;
import software.amazon.cryptography.materialproviders.model.CreateMultiKeyringInput;
import software.amazon.cryptography.materialproviders.model.CreateRawAesKeyringInput;
import software.amazon.cryptography.materialproviders.model.CreateRawEcdhKeyringInput;
import software.amazon.cryptography.materialproviders.model.CreateRawRsaKeyringInput;
import software.amazon.cryptography.materialproviders.model.CreateRequiredEncryptionContextCMMInput;
import software.amazon.cryptography.materialproviders.model.DiscoveryFilter;
import software.amazon.cryptography.materialproviders.model.EphemeralPrivateKeyToStaticPublicKeyInput;
import software.amazon.cryptography.materialproviders.model.KmsEcdhStaticConfigurations;
import software.amazon.cryptography.materialproviders.model.KmsPrivateKeyToStaticPublicKeyInput;
import software.amazon.cryptography.materialproviders.model.KmsPublicKeyDiscoveryInput;
import software.amazon.cryptography.materialproviders.model.MaterialProvidersConfig;
import software.amazon.cryptography.materialproviders.model.PaddingScheme;
import software.amazon.cryptography.materialproviders.model.PublicKeyDiscoveryInput;
import software.amazon.cryptography.materialproviders.model.RawEcdhStaticConfigurations;
import software.amazon.cryptography.materialproviders.model.RawPrivateKeyToStaticPublicKeyInput;
import software.amazon.cryptography.primitives.model.ECDHCurveSpec;

/** The keyrings of AWS's material providers. */
final class Keyrings {
  private Keyrings() {}

  private static final MaterialProviders PROVIDERS =
      MaterialProviders.builder()
          .MaterialProvidersConfig(MaterialProvidersConfig.builder().build())
          .build();

  /** By their text in requests: some keep what they have read. */
  private static final Map<String, IKeyring> MADE = new HashMap<>();

  private record WithKeyring(AwsCrypto crypto, ICryptographicMaterialsManager manager)
      implements Client {
    @Override
    public CryptoResult<byte[], ?> encrypt(byte[] data, Map<String, String> context) {
      return crypto.encryptData(manager, data, context);
    }

    @Override
    public CryptoResult<byte[], ?> decrypt(byte[] data, Map<String, String> context) {
      return crypto.decryptData(manager, data, context);
    }

    @Override
    public CryptoInputStream<?> encrypting(InputStream from, Map<String, String> context) {
      return crypto.createEncryptingStream(manager, from, context);
    }

    @Override
    public CryptoInputStream<?> decrypting(InputStream from, Map<String, String> context) {
      return crypto.createDecryptingStream(manager, from, context);
    }

    @Override
    public CryptoOutputStream<?> encrypting(OutputStream to, Map<String, String> context) {
      return crypto.createEncryptingStream(manager, to, context);
    }

    @Override
    public CryptoOutputStream<?> decrypting(OutputStream to, Map<String, String> context) {
      return crypto.createDecryptingStream(manager, to, context);
    }
  }

  static Client client(AwsCrypto crypto, Map<String, JsonNode> request) throws Peer.Unsupported {
    IKeyring keyring = keyring(request.get("keyring"));
    ICryptographicMaterialsManager manager =
        PROVIDERS.CreateDefaultCryptographicMaterialsManager(
            CreateDefaultCryptographicMaterialsManagerInput.builder().keyring(keyring).build());
    List<String> required = Peer.texts(request, "required");
    if (!required.isEmpty()) {
      manager =
          PROVIDERS.CreateRequiredEncryptionContextCMM(
              CreateRequiredEncryptionContextCMMInput.builder()
                  .underlyingCMM(manager)
                  .requiredEncryptionContextKeys(required)
                  .build());
    }
    return new WithKeyring(crypto, manager);
  }

  private static IKeyring keyring(JsonNode node) throws Peer.Unsupported {
    IKeyring k = MADE.get(node.toString());
    if (k == null) {
      k = make(node.asObject());
      MADE.put(node.toString(), k);
    }
    return k;
  }

  private static IKeyring make(Map<String, JsonNode> k) throws Peer.Unsupported {
    String kind = k.get("kind").asString();
    switch (kind) {
      case "raw-aes":
        return rawAes(k);
      case "raw-rsa":
        return rawRsa(k);
      case "raw-ecdh":
        return rawEcdh(k);
      case "multi":
        return multi(k);
      case "kms":
        return PROVIDERS.CreateAwsKmsKeyring(
            CreateAwsKmsKeyringInput.builder()
                .kmsKeyId(k.get("key").asString())
                .kmsClient(Clients.kms(k, "endpoint"))
                .build());
      case "kms-mrk":
        return PROVIDERS.CreateAwsKmsMrkKeyring(
            CreateAwsKmsMrkKeyringInput.builder()
                .kmsKeyId(k.get("key").asString())
                .kmsClient(Clients.kms(k, "endpoint"))
                .build());
      case "kms-discovery":
        return PROVIDERS.CreateAwsKmsDiscoveryKeyring(
            CreateAwsKmsDiscoveryKeyringInput.builder()
                .kmsClient(Clients.kms(k, "endpoint"))
                .discoveryFilter(filter(k))
                .build());
      case "kms-mrk-discovery":
        return PROVIDERS.CreateAwsKmsMrkDiscoveryKeyring(
            CreateAwsKmsMrkDiscoveryKeyringInput.builder()
                .kmsClient(Clients.kms(k, "endpoint"))
                .discoveryFilter(filter(k))
                .region(k.get("region").asString())
                .build());
      case "kms-rsa":
        return kmsRsa(k);
      case "kms-ecdh":
        return kmsEcdh(k);
      case "branch-key":
        return branchKey(k);
      default:
        throw new Peer.Unsupported(kind);
    }
  }

  private static final Map<Integer, AesWrappingAlg> WRAPPING =
      Map.of(
          16, AesWrappingAlg.ALG_AES128_GCM_IV12_TAG16,
          24, AesWrappingAlg.ALG_AES192_GCM_IV12_TAG16,
          32, AesWrappingAlg.ALG_AES256_GCM_IV12_TAG16);

  private static IKeyring rawAes(Map<String, JsonNode> k) {
    byte[] key = Peer.bytes(k, "key");
    return PROVIDERS.CreateRawAesKeyring(
        CreateRawAesKeyringInput.builder()
            .keyNamespace(k.get("namespace").asString())
            .keyName(k.get("name").asString())
            .wrappingKey(ByteBuffer.wrap(key))
            .wrappingAlg(WRAPPING.get(key.length))
            .build());
  }

  private static final Map<String, PaddingScheme> PADDINGS =
      Map.of(
          "PKCS1", PaddingScheme.PKCS1,
          "OAEP-SHA1", PaddingScheme.OAEP_SHA1_MGF1,
          "OAEP-SHA256", PaddingScheme.OAEP_SHA256_MGF1,
          "OAEP-SHA384", PaddingScheme.OAEP_SHA384_MGF1,
          "OAEP-SHA512", PaddingScheme.OAEP_SHA512_MGF1);

  private static IKeyring rawRsa(Map<String, JsonNode> k) throws Peer.Unsupported {
    CreateRawRsaKeyringInput.Builder b =
        CreateRawRsaKeyringInput.builder()
            .keyNamespace(k.get("namespace").asString())
            .keyName(k.get("name").asString())
            .paddingScheme(known(PADDINGS, k, "padding"));
    if (k.containsKey("public")) {
      b.publicKey(pem(k, "public"));
    }
    if (k.containsKey("private")) {
      b.privateKey(pem(k, "private"));
    }
    return PROVIDERS.CreateRawRsaKeyring(b.build());
  }

  private static final Map<String, ECDHCurveSpec> CURVES =
      Map.of(
          "P-256", ECDHCurveSpec.ECC_NIST_P256,
          "P-384", ECDHCurveSpec.ECC_NIST_P384,
          "P-521", ECDHCurveSpec.ECC_NIST_P521);

  private static IKeyring rawEcdh(Map<String, JsonNode> k) throws Peer.Unsupported {
    RawEcdhStaticConfigurations.Builder schema = RawEcdhStaticConfigurations.builder();
    switch (k.get("schema").asString()) {
      case "static":
        schema.RawPrivateKeyToStaticPublicKey(
            RawPrivateKeyToStaticPublicKeyInput.builder()
                .senderStaticPrivateKey(pem(k, "private"))
                .recipientPublicKey(der(k, "public"))
                .build());
        break;
      case "ephemeral":
        schema.EphemeralPrivateKeyToStaticPublicKey(
            EphemeralPrivateKeyToStaticPublicKeyInput.builder()
                .recipientPublicKey(der(k, "public"))
                .build());
        break;
      case "discovery":
        schema.PublicKeyDiscovery(
            PublicKeyDiscoveryInput.builder().recipientStaticPrivateKey(pem(k, "private")).build());
        break;
      default:
        throw new Peer.Unsupported(k.get("schema").asString());
    }
    return PROVIDERS.CreateRawEcdhKeyring(
        CreateRawEcdhKeyringInput.builder()
            .curveSpec(known(CURVES, k, "curve"))
            .KeyAgreementScheme(schema.build())
            .build());
  }

  private static IKeyring kmsEcdh(Map<String, JsonNode> k) throws Peer.Unsupported {
    KmsEcdhStaticConfigurations.Builder schema = KmsEcdhStaticConfigurations.builder();
    switch (k.get("schema").asString()) {
      case "static":
        schema.KmsPrivateKeyToStaticPublicKey(
            KmsPrivateKeyToStaticPublicKeyInput.builder()
                .senderKmsIdentifier(k.get("key").asString())
                .senderPublicKey(der(k, "sender"))
                .recipientPublicKey(der(k, "recipient"))
                .build());
        break;
      case "discovery":
        schema.KmsPublicKeyDiscovery(
            KmsPublicKeyDiscoveryInput.builder()
                .recipientKmsIdentifier(k.get("key").asString())
                .build());
        break;
      default:
        throw new Peer.Unsupported(k.get("schema").asString());
    }
    return PROVIDERS.CreateAwsKmsEcdhKeyring(
        CreateAwsKmsEcdhKeyringInput.builder()
            .curveSpec(known(CURVES, k, "curve"))
            .KeyAgreementScheme(schema.build())
            .kmsClient(Clients.kms(k, "endpoint"))
            .build());
  }

  private static IKeyring kmsRsa(Map<String, JsonNode> k) {
    CreateAwsKmsRsaKeyringInput.Builder b =
        CreateAwsKmsRsaKeyringInput.builder()
            .kmsKeyId(k.get("key").asString())
            .encryptionAlgorithm(EncryptionAlgorithmSpec.fromValue(k.get("algorithm").asString()))
            .kmsClient(Clients.kms(k, "endpoint"));
    if (k.containsKey("public")) {
      b.publicKey(pem(k, "public"));
    }
    return PROVIDERS.CreateAwsKmsRsaKeyring(b.build());
  }

  private static IKeyring branchKey(Map<String, JsonNode> k) {
    KeyStore store =
        KeyStore.builder()
            .KeyStoreConfig(
                KeyStoreConfig.builder()
                    .ddbClient(Clients.dynamoDb(k))
                    .ddbTableName(k.get("table").asString())
                    .logicalKeyStoreName(k.get("logical").asString())
                    .kmsClient(Clients.kms(k, "kms"))
                    .kmsConfiguration(
                        KMSConfiguration.builder().kmsKeyArn(k.get("kmsKey").asString()).build())
                    .build())
            .build();
    return PROVIDERS.CreateAwsKmsHierarchicalKeyring(
        CreateAwsKmsHierarchicalKeyringInput.builder()
            .keyStore(store)
            .branchKeyId(k.get("branchKey").asString())
            .ttlSeconds(600)
            .build());
  }

  private static IKeyring multi(Map<String, JsonNode> k) throws Peer.Unsupported {
    CreateMultiKeyringInput.Builder b = CreateMultiKeyringInput.builder();
    if (k.containsKey("generator") && !k.get("generator").isNull()) {
      b.generator(keyring(k.get("generator")));
    }
    List<IKeyring> children = new ArrayList<>();
    if (k.containsKey("children")) {
      for (JsonNode child : k.get("children").asArray()) {
        children.add(keyring(child));
      }
    }
    return PROVIDERS.CreateMultiKeyring(b.childKeyrings(children).build());
  }

  private static DiscoveryFilter filter(Map<String, JsonNode> k) {
    if (!k.containsKey("partition")) {
      return null;
    }
    return DiscoveryFilter.builder()
        .partition(k.get("partition").asString())
        .accountIds(Peer.texts(k, "accounts"))
        .build();
  }

  private static <T> T known(Map<String, T> of, Map<String, JsonNode> k, String name)
      throws Peer.Unsupported {
    T v = of.get(k.get(name).asString());
    if (v == null) {
      throw new Peer.Unsupported(k.get(name).asString());
    }
    return v;
  }

  private static ByteBuffer pem(Map<String, JsonNode> k, String name) {
    return ByteBuffer.wrap(k.get(name).asString().getBytes(StandardCharsets.UTF_8));
  }

  private static ByteBuffer der(Map<String, JsonNode> k, String name) {
    return ByteBuffer.wrap(Peer.bytes(k, name));
  }
}
