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
import software.amazon.awssdk.services.dynamodb.DynamoDbClient;
import software.amazon.awssdk.services.dynamodb.model.AttributeValue;
import software.amazon.cryptography.dbencryptionsdk.dynamodb.DynamoDbEncryptionInterceptor;
import software.amazon.cryptography.dbencryptionsdk.dynamodb.itemencryptor.DynamoDbItemEncryptor;
import software.amazon.cryptography.dbencryptionsdk.dynamodb.itemencryptor.model.DecryptItemInput;
import software.amazon.cryptography.dbencryptionsdk.dynamodb.itemencryptor.model.DynamoDbItemEncryptorConfig;
import software.amazon.cryptography.dbencryptionsdk.dynamodb.itemencryptor.model.EncryptItemInput;
import software.amazon.cryptography.dbencryptionsdk.dynamodb.model.DynamoDbTableEncryptionConfig;
import software.amazon.cryptography.dbencryptionsdk.dynamodb.model.DynamoDbTablesEncryptionConfig;
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
 * line. A request has an "op", and most have a "config" and an "item" or a key. An answer is
 * {"items": [...]} or {"error": "...", "class": "..."}. Items are in DynamoDB's JSON.
 *
 * <p>"encrypt" and "decrypt" are those of the item encryptor. "put", "get" and "find" are
 * requests to a table by a client with the interceptor. "services" comes before these and
 * before configs with branch keys, which "createKey" and "versionKey" make.
 */
public final class Peer {
  private static final MaterialProviders PROVIDERS =
      MaterialProviders.builder()
          .MaterialProvidersConfig(MaterialProvidersConfig.builder().build())
          .build();

  /** By the text of their config: making one takes longer than an item does. */
  private static final Map<String, DynamoDbItemEncryptor> ENCRYPTORS = new HashMap<>();

  /** By the text of the config, with the table. */
  private static final Map<String, DynamoDbClient> CLIENTS = new HashMap<>();

  private static Services services;

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
      List<Map<String, AttributeValue>> items = run(request);
      w.writeStartObject().writeFieldName("items").writeStartArray();
      for (Map<String, AttributeValue> item : items) {
        writeItem(w, item);
      }
      w.writeEndArray();
      w.writeEndObject();
    } catch (Exception | StackOverflowError e) {
      Throwable refusal = refusal(e);
      w = JsonWriter.create();
      w.writeStartObject();
      w.writeFieldName("error").writeValue(String.valueOf(refusal.getMessage()));
      w.writeFieldName("class").writeValue(refusal.getClass().getName());
      w.writeEndObject();
    }
    return new String(w.getBytes(), StandardCharsets.UTF_8);
  }

  /** The library's own exception, where the SDK has wrapped it. */
  private static Throwable refusal(Throwable e) {
    for (Throwable t = e; t != null; t = t.getCause()) {
      if (t.getClass().getName().startsWith("software.amazon.cryptography.")) {
        return t;
      }
    }
    return e;
  }

  private static List<Map<String, AttributeValue>> run(Map<String, JsonNode> request) {
    String op = request.get("op").asString();
    switch (op) {
      case "services":
        services = new Services(request.get("services").asObject());
        return List.of();
      case "createKey":
        Map<String, String> context = new HashMap<>();
        request.get("context").asObject().forEach((k, v) -> context.put(k, v.asString()));
        services.createKey(request.get("id").asString(), context);
        return List.of();
      case "versionKey":
        services.versionKey(request.get("id").asString());
        return List.of();
      case "put":
        client(request)
            .putItem(b -> b.tableName(physical(request)).item(readItem(request.get("item"))));
        return List.of();
      case "get":
        return List.of(
            client(request)
                .getItem(b -> b.tableName(physical(request)).key(readItem(request.get("item"))))
                .item());
      case "find":
        return find(request);
      case "encrypt":
        return List.of(
            encryptor(request)
                .EncryptItem(
                    EncryptItemInput.builder().plaintextItem(readItem(request.get("item"))).build())
                .encryptedItem());
      case "decrypt":
        return List.of(
            encryptor(request)
                .DecryptItem(
                    DecryptItemInput.builder().encryptedItem(readItem(request.get("item"))).build())
                .plaintextItem());
      default:
        throw new IllegalArgumentException("no op: " + op);
    }
  }

  private static String physical(Map<String, JsonNode> request) {
    return request.get("config").asObject().get("physical").asString();
  }

  /** A query of an index, or without one a scan. */
  private static List<Map<String, AttributeValue>> find(Map<String, JsonNode> request) {
    Map<String, JsonNode> q = request.get("find").asObject();
    Map<String, String> names = new HashMap<>();
    q.get("names").asObject().forEach((k, v) -> names.put(k, v.asString()));
    Map<String, AttributeValue> values = readItem(q.get("values"));
    String condition = q.get("condition").asString();
    String filter = q.containsKey("filter") ? q.get("filter").asString() : null;
    if (q.containsKey("index")) {
      return client(request)
          .query(
              b ->
                  b.tableName(physical(request))
                      .indexName(q.get("index").asString())
                      .keyConditionExpression(condition)
                      .filterExpression(filter)
                      .expressionAttributeNames(names)
                      .expressionAttributeValues(values))
          .items();
    }
    return client(request)
        .scan(
            b ->
                b.tableName(physical(request))
                    .filterExpression(filter == null ? condition : condition + " AND " + filter)
                    .expressionAttributeNames(names)
                    .expressionAttributeValues(values))
        .items();
  }

  private static DynamoDbClient client(Map<String, JsonNode> request) {
    JsonNode config = request.get("config");
    return CLIENTS.computeIfAbsent(config.toString(), unused -> client(config));
  }

  private static DynamoDbClient client(JsonNode config) {
    Map<String, JsonNode> c = config.asObject();
    DynamoDbTableEncryptionConfig.Builder b =
        DynamoDbTableEncryptionConfig.builder()
            .logicalTableName(c.get("table").asString())
            .partitionKeyName(c.get("partition").asString())
            .attributeActionsOnEncrypt(actions(c))
            .keyring(keyring(c));
    text(c, "sort", b::sortKeyName);
    text(c, "prefix", b::allowedUnsignedAttributePrefix);
    text(c, "suite", s -> b.algorithmSuiteId(DBEAlgorithmSuiteId.valueOf(s)));
    text(c, "plaintext", s -> b.plaintextOverride(PlaintextOverride.valueOf(s)));
    if (c.containsKey("unsigned")) {
      b.allowedUnsignedAttributes(list(c.get("unsigned"), JsonNode::asString));
    }
    if (c.containsKey("beacons")) {
      b.search(Beacons.search(services.keyStore(), c.get("beacons").asObject()));
    }
    return services.client(
        DynamoDbEncryptionInterceptor.builder()
            .config(
                DynamoDbTablesEncryptionConfig.builder()
                    .tableEncryptionConfigs(Map.of(c.get("physical").asString(), b.build()))
                    .build())
            .build());
  }

  private static DynamoDbItemEncryptor encryptor(Map<String, JsonNode> request) {
    JsonNode config = request.get("config");
    return ENCRYPTORS.computeIfAbsent(config.toString(), unused -> encryptor(config));
  }

  private static Map<String, CryptoAction> actions(Map<String, JsonNode> c) {
    Map<String, CryptoAction> actions = new HashMap<>();
    c.get("actions").asObject().forEach((k, v) -> actions.put(k, CryptoAction.valueOf(v.asString())));
    return actions;
  }

  private static DynamoDbItemEncryptor encryptor(JsonNode config) {
    Map<String, JsonNode> c = config.asObject();
    DynamoDbItemEncryptorConfig.Builder b =
        DynamoDbItemEncryptorConfig.builder()
            .logicalTableName(c.get("table").asString())
            .partitionKeyName(c.get("partition").asString())
            .attributeActionsOnEncrypt(actions(c))
            .keyring(keyring(c));
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
      Map<String, JsonNode> c, String name, Function<String, Object> set) {
    if (c.containsKey(name)) {
      set.apply(c.get(name).asString());
    }
  }

  /** The branch key makes data keys if there is one, or else the first key. All wrap them. */
  private static IKeyring keyring(Map<String, JsonNode> c) {
    List<IKeyring> all = new ArrayList<>();
    if (c.containsKey("branch")) {
      all.add(services.keyring(PROVIDERS, c.get("branch")));
    }
    for (JsonNode node : c.get("keys").asArray()) {
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
