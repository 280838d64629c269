import com.amazonaws.encryptionsdk.AwsCrypto;
import com.amazonaws.encryptionsdk.CryptoInputStream;
import com.amazonaws.encryptionsdk.CryptoMaterialsManager;
import com.amazonaws.encryptionsdk.CryptoOutputStream;
import com.amazonaws.encryptionsdk.CryptoResult;
import com.amazonaws.encryptionsdk.DefaultCryptoMaterialsManager;
import com.amazonaws.encryptionsdk.MasterKeyProvider;
import com.amazonaws.encryptionsdk.jce.JceMasterKey;
import com.amazonaws.encryptionsdk.kms.DiscoveryFilter;
import com.amazonaws.encryptionsdk.kmssdkv2.AwsKmsMrkAwareMasterKeyProvider;
import com.amazonaws.encryptionsdk.kmssdkv2.KmsMasterKeyProvider;
import com.amazonaws.encryptionsdk.multi.MultipleProviderFactory;
import java.io.InputStream;
import java.io.OutputStream;
import java.security.GeneralSecurityException;
import java.security.KeyFactory;
import java.security.PrivateKey;
import java.security.PublicKey;
import java.security.spec.PKCS8EncodedKeySpec;
import java.security.spec.X509EncodedKeySpec;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import javax.crypto.spec.SecretKeySpec;
import software.amazon.awssdk.protocols.jsoncore.JsonNode;
import software.amazon.awssdk.regions.Region;

/**
 * The master key providers, which are older than keyrings. They take no context when they decrypt:
 * callers are told to compare it themselves.
 */
final class MasterKeys {
  private MasterKeys() {}

  private record WithMasterKeys(AwsCrypto crypto, CryptoMaterialsManager manager)
      implements Client {
    @Override
    public CryptoResult<byte[], ?> encrypt(byte[] data, Map<String, String> context) {
      return crypto.encryptData(manager, data, context);
    }

    @Override
    public CryptoResult<byte[], ?> decrypt(byte[] data, Map<String, String> context) {
      return crypto.decryptData(manager, data);
    }

    @Override
    public CryptoInputStream<?> encrypting(InputStream from, Map<String, String> context) {
      return crypto.createEncryptingStream(manager, from, context);
    }

    @Override
    public CryptoInputStream<?> decrypting(InputStream from, Map<String, String> context) {
      return crypto.createDecryptingStream(manager, from);
    }

    @Override
    public CryptoOutputStream<?> encrypting(OutputStream to, Map<String, String> context) {
      return crypto.createEncryptingStream(manager, to, context);
    }

    @Override
    public CryptoOutputStream<?> decrypting(OutputStream to, Map<String, String> context) {
      return crypto.createDecryptingStream(manager, to);
    }
  }

  /** Whether a keyring of a request stands for master keys, as several do if the first does. */
  static boolean are(JsonNode keyring) {
    Map<String, JsonNode> k = keyring.asObject();
    switch (k.get("kind").asString()) {
      case "master-key":
        return true;
      case "multi":
        return k.containsKey("generator") && k.get("generator").isObject() && are(k.get("generator"));
      default:
        return false;
    }
  }

  static Client client(AwsCrypto crypto, Map<String, JsonNode> request) throws Peer.Unsupported {
    if (!Peer.texts(request, "required").isEmpty()) {
      throw new Peer.Unsupported("required context");
    }
    boolean decrypt = request.get("op").asString().equals("decrypt");
    if (decrypt && request.containsKey("context") && !request.get("context").asObject().isEmpty()) {
      throw new Peer.Unsupported("context on decrypt");
    }
    return new WithMasterKeys(
        crypto, new DefaultCryptoMaterialsManager(provider(request.get("keyring").asObject())));
  }

  private static MasterKeyProvider<?> provider(Map<String, JsonNode> k) throws Peer.Unsupported {
    if (k.get("kind").asString().equals("multi")) {
      List<MasterKeyProvider<?>> all = new ArrayList<>();
      all.add(provider(k.get("generator").asObject()));
      if (k.containsKey("children")) {
        for (JsonNode child : k.get("children").asArray()) {
          all.add(provider(child.asObject()));
        }
      }
      return MultipleProviderFactory.buildMultiProvider(all);
    }
    String of = Peer.text(k, "of", k.get("kind").asString());
    switch (of) {
      case "raw-aes":
        return JceMasterKey.getInstance(
            new SecretKeySpec(Peer.bytes(k, "key"), "AES"),
            k.get("namespace").asString(),
            k.get("name").asString(),
            "AES/GCM/NoPadding");
      case "raw-rsa":
        return rsa(k);
      case "kms":
        return KmsMasterKeyProvider.builder()
            .customRegionalClientSupplier(region -> Clients.kms(k, "endpoint"))
            .buildStrict(k.get("key").asString());
      case "kms-discovery":
        return discovery(k);
      case "kms-mrk":
        return AwsKmsMrkAwareMasterKeyProvider.builder()
            .customRegionalClientSupplier(region -> Clients.kms(k, "endpoint"))
            .defaultRegion(Region.of(k.get("region").asString()))
            .buildStrict(k.get("key").asString());
      default:
        throw new Peer.Unsupported(of);
    }
  }

  private static MasterKeyProvider<?> discovery(Map<String, JsonNode> k) {
    KmsMasterKeyProvider.Builder b =
        KmsMasterKeyProvider.builder()
            .customRegionalClientSupplier(region -> Clients.kms(k, "endpoint"));
    if (!k.containsKey("partition")) {
      return b.buildDiscovery();
    }
    return b.buildDiscovery(
        new DiscoveryFilter(k.get("partition").asString(), Peer.texts(k, "accounts")));
  }

  private static final Map<String, String> PADDINGS =
      Map.of(
          "PKCS1", "RSA/ECB/PKCS1Padding",
          "OAEP-SHA1", "RSA/ECB/OAEPWithSHA-1AndMGF1Padding",
          "OAEP-SHA256", "RSA/ECB/OAEPWithSHA-256AndMGF1Padding",
          "OAEP-SHA384", "RSA/ECB/OAEPWithSHA-384AndMGF1Padding",
          "OAEP-SHA512", "RSA/ECB/OAEPWithSHA-512AndMGF1Padding");

  private static MasterKeyProvider<?> rsa(Map<String, JsonNode> k) {
    try {
      KeyFactory rsa = KeyFactory.getInstance("RSA");
      PublicKey publicKey = null;
      if (k.containsKey("public")) {
        publicKey = rsa.generatePublic(new X509EncodedKeySpec(block(k.get("public").asString())));
      }
      PrivateKey privateKey = null;
      if (k.containsKey("private")) {
        privateKey =
            rsa.generatePrivate(new PKCS8EncodedKeySpec(block(k.get("private").asString())));
      }
      return JceMasterKey.getInstance(
          publicKey,
          privateKey,
          k.get("namespace").asString(),
          k.get("name").asString(),
          PADDINGS.get(k.get("padding").asString()));
    } catch (GeneralSecurityException e) {
      throw new IllegalArgumentException(e);
    }
  }

  /** What is in a PEM block. */
  private static byte[] block(String pem) {
    return Base64.getMimeDecoder().decode(pem.replaceAll("-----[^-]+-----", ""));
  }
}
