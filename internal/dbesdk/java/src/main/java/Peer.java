import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import software.amazon.awssdk.core.SdkBytes;
import software.amazon.awssdk.protocols.jsoncore.JsonNode;
import software.amazon.awssdk.protocols.jsoncore.JsonWriter;
import software.amazon.awssdk.services.dynamodb.model.AttributeValue;
import software.amazon.cryptography.dbencryptionsdk.dynamodb.itemencryptor.DynamoDbItemEncryptor;
import software.amazon.cryptography.dbencryptionsdk.dynamodb.itemencryptor.model.DecryptItemInput;
import software.amazon.cryptography.dbencryptionsdk.dynamodb.itemencryptor.model.DynamoDbItemEncryptorConfig;
import software.amazon.cryptography.dbencryptionsdk.dynamodb.itemencryptor.model.EncryptItemInput;
import software.amazon.cryptography.dbencryptionsdk.dynamodb.model.PlaintextOverride;
import software.amazon.cryptography.dbencryptionsdk.structuredencryption.model.CryptoAction;
import software.amazon.cryptography.materialproviders.IKeyring;
import software.amazon.cryptography.materialproviders.MaterialProviders;
import software.amazon.cryptography.materialproviders.model.AesWrappingAlg;
import software.amazon.cryptography.materialproviders.model.CreateMultiKeyringInput;
import software.amazon.cryptography.materialproviders.model.CreateRawAesKeyringInput;
import software.amazon.cryptography.materialproviders.model.DBEAlgorithmSuiteId;
import software.amazon.cryptography.materialproviders.model.MaterialProvidersConfig;

/**
 * Reads requests from standard input, each a line of JSON, and writes an answer to each as a
 * line. A request is {"op": "encrypt" or "decrypt", "config": {...}, "item": {...}}, an answer
 * {"item": {...}} or {"error": "...", "class": "..."}. Items are in DynamoDB's JSON.
 */
public final class Peer {
  private static final MaterialProviders PROVIDERS =
      MaterialProviders.builder()
          .MaterialProvidersConfig(MaterialProvidersConfig.builder().build())
          .build();

  /** By the text of their config: making one takes longer than an item does. */
  private static final Map<String, DynamoDbItemEncryptor> ENCRYPTORS = new HashMap<>();

  public static void main(String[] args) throws Exception {
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      out.print(answer(line));
      out.print('\n');
      out.flush();
    }
  }

  private static String answer(String line) {
    JsonWriter w = JsonWriter.create();
    try {
      Map<String, JsonNode> request = JsonNode.parser().parse(line).asObject();
      Map<String, AttributeValue> item = run(request);
      w.writeStartObject().writeFieldName("item");
      writeItem(w, item);
      w.writeEndObject();
    } catch (Exception | StackOverflowError e) {
      w = JsonWriter.create();
      w.writeStartObject();
      w.writeFieldName("error").writeValue(String.valueOf(e.getMessage()));
      w.writeFieldName("class").writeValue(e.getClass().getName());
      w.writeEndObject();
    }
    return new String(w.getBytes(), StandardCharsets.UTF_8);
  }

  private static Map<String, AttributeValue> run(Map<String, JsonNode> request) {
    JsonNode config = request.get("config");
    DynamoDbItemEncryptor encryptor =
        ENCRYPTORS.computeIfAbsent(config.toString(), unused -> encryptor(config.asObject()));
    Map<String, AttributeValue> item = readItem(request.get("item"));
    String op = request.get("op").asString();
    switch (op) {
      case "encrypt":
        return encryptor
            .EncryptItem(EncryptItemInput.builder().plaintextItem(item).build())
            .encryptedItem();
      case "decrypt":
        return encryptor
            .DecryptItem(DecryptItemInput.builder().encryptedItem(item).build())
            .plaintextItem();
      default:
        throw new IllegalArgumentException("no op: " + op);
    }
  }

  private static DynamoDbItemEncryptor encryptor(Map<String, JsonNode> c) {
    Map<String, CryptoAction> actions = new HashMap<>();
    c.get("actions").asObject().forEach((k, v) -> actions.put(k, CryptoAction.valueOf(v.asString())));
    DynamoDbItemEncryptorConfig.Builder b =
        DynamoDbItemEncryptorConfig.builder()
            .logicalTableName(c.get("table").asString())
            .partitionKeyName(c.get("partition").asString())
            .attributeActionsOnEncrypt(actions)
            .keyring(keyring(c.get("keys").asArray()));
    text(c, "sort", b::sortKeyName);
    text(c, "prefix", b::allowedUnsignedAttributePrefix);
    text(c, "suite", s -> b.algorithmSuiteId(DBEAlgorithmSuiteId.valueOf(s)));
    text(c, "plaintext", s -> b.plaintextOverride(PlaintextOverride.valueOf(s)));
    if (c.containsKey("unsigned")) {
      b.allowedUnsignedAttributes(list(c.get("unsigned"), JsonNode::asString));
    }
    return DynamoDbItemEncryptor.builder().DynamoDbItemEncryptorConfig(b.build()).build();
  }

  private static void text(
      Map<String, JsonNode> c, String name, Function<String, DynamoDbItemEncryptorConfig.Builder> set) {
    if (c.containsKey(name)) {
      set.apply(c.get(name).asString());
    }
  }

  /** The first key makes data keys, and all wrap them. */
  private static IKeyring keyring(List<JsonNode> keys) {
    List<IKeyring> all = new ArrayList<>();
    for (JsonNode node : keys) {
      Map<String, JsonNode> k = node.asObject();
      byte[] key = Base64.getDecoder().decode(k.get("key").asString());
      all.add(
          PROVIDERS.CreateRawAesKeyring(
              CreateRawAesKeyringInput.builder()
                  .keyNamespace(k.get("namespace").asString())
                  .keyName(k.get("name").asString())
                  .wrappingKey(ByteBuffer.wrap(key))
                  .wrappingAlg(
                      Map.of(
                              16, AesWrappingAlg.ALG_AES128_GCM_IV12_TAG16,
                              24, AesWrappingAlg.ALG_AES192_GCM_IV12_TAG16,
                              32, AesWrappingAlg.ALG_AES256_GCM_IV12_TAG16)
                          .get(key.length))
                  .build()));
    }
    if (all.size() == 1) {
      return all.get(0);
    }
    return PROVIDERS.CreateMultiKeyring(
        CreateMultiKeyringInput.builder()
            .generator(all.get(0))
            .childKeyrings(all.subList(1, all.size()))
            .build());
  }

  private static <T> List<T> list(JsonNode array, Function<JsonNode, T> read) {
    List<T> all = new ArrayList<>();
    array.asArray().forEach(n -> all.add(read.apply(n)));
    return all;
  }

  private static Map<String, AttributeValue> readItem(JsonNode node) {
    Map<String, AttributeValue> item = new HashMap<>();
    node.asObject().forEach((k, v) -> item.put(k, readValue(v)));
    return item;
  }

  private static SdkBytes bytes(JsonNode n) {
    return SdkBytes.fromByteArray(Base64.getDecoder().decode(n.asString()));
  }

  private static AttributeValue readValue(JsonNode node) {
    Map.Entry<String, JsonNode> one = node.asObject().entrySet().iterator().next();
    JsonNode v = one.getValue();
    switch (one.getKey()) {
      case "S":
        return AttributeValue.fromS(v.asString());
      case "N":
        return AttributeValue.fromN(v.asString());
      case "B":
        return AttributeValue.fromB(bytes(v));
      case "BOOL":
        return AttributeValue.fromBool(v.asBoolean());
      case "NULL":
        return AttributeValue.fromNul(v.asBoolean());
      case "SS":
        return AttributeValue.fromSs(list(v, JsonNode::asString));
      case "NS":
        return AttributeValue.fromNs(list(v, JsonNode::asString));
      case "BS":
        return AttributeValue.fromBs(list(v, Peer::bytes));
      case "L":
        return AttributeValue.fromL(list(v, Peer::readValue));
      case "M":
        return AttributeValue.fromM(readItem(v));
      default:
        throw new IllegalArgumentException("no type: " + one.getKey());
    }
  }

  private static void writeItem(JsonWriter w, Map<String, AttributeValue> item) {
    w.writeStartObject();
    item.forEach(
        (k, v) -> {
          w.writeFieldName(k);
          writeValue(w, v);
        });
    w.writeEndObject();
  }

  private static String text(SdkBytes b) {
    return Base64.getEncoder().encodeToString(b.asByteArray());
  }

  private static void writeValue(JsonWriter w, AttributeValue v) {
    w.writeStartObject();
    w.writeFieldName(v.type() == AttributeValue.Type.NUL ? "NULL" : v.type().name());
    switch (v.type()) {
      case S:
        w.writeValue(v.s());
        break;
      case N:
        w.writeValue(v.n());
        break;
      case B:
        w.writeValue(text(v.b()));
        break;
      case BOOL:
        w.writeValue(v.bool());
        break;
      case NUL:
        w.writeValue(v.nul());
        break;
      case SS:
        writeTexts(w, v.ss());
        break;
      case NS:
        writeTexts(w, v.ns());
        break;
      case BS:
        writeTexts(w, v.bs().stream().map(Peer::text).toList());
        break;
      case L:
        w.writeStartArray();
        v.l().forEach(e -> writeValue(w, e));
        w.writeEndArray();
        break;
      case M:
        writeItem(w, v.m());
        break;
      default:
        throw new IllegalArgumentException("no type: " + v.type());
    }
    w.writeEndObject();
  }

  private static void writeTexts(JsonWriter w, List<String> all) {
    w.writeStartArray();
    all.forEach(w::writeValue);
    w.writeEndArray();
  }
}
