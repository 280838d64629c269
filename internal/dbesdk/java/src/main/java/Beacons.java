import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import software.amazon.awssdk.protocols.jsoncore.JsonNode;
import software.amazon.cryptography.dbencryptionsdk.dynamodb.model.AsSet;
import software.amazon.cryptography.dbencryptionsdk.dynamodb.model.BeaconKeySource;
import software.amazon.cryptography.dbencryptionsdk.dynamodb.model.BeaconStyle;
import software.amazon.cryptography.dbencryptionsdk.dynamodb.model.BeaconVersion;
import software.amazon.cryptography.dbencryptionsdk.dynamodb.model.CompoundBeacon;
import software.amazon.cryptography.dbencryptionsdk.dynamodb.model.Constructor;
import software.amazon.cryptography.dbencryptionsdk.dynamodb.model.ConstructorPart;
import software.amazon.cryptography.dbencryptionsdk.dynamodb.model.EncryptedPart;
import software.amazon.cryptography.dbencryptionsdk.dynamodb.model.MultiKeyStore;
import software.amazon.cryptography.dbencryptionsdk.dynamodb.model.PartOnly;
import software.amazon.cryptography.dbencryptionsdk.dynamodb.model.SearchConfig;
import software.amazon.cryptography.dbencryptionsdk.dynamodb.model.SignedPart;
import software.amazon.cryptography.dbencryptionsdk.dynamodb.model.SingleKeyStore;
import software.amazon.cryptography.dbencryptionsdk.dynamodb.model.StandardBeacon;
import software.amazon.cryptography.keystore.KeyStore;

/** The beacons of a table, as a request has them. */
final class Beacons {
  private Beacons() {}

  static SearchConfig search(KeyStore keyStore, Map<String, JsonNode> c) {
    List<StandardBeacon> standard = new ArrayList<>();
    List<CompoundBeacon> compound = new ArrayList<>();
    for (JsonNode node : c.get("all").asArray()) {
      Map<String, JsonNode> b = node.asObject();
      if (b.containsKey("parts")) {
        compound.add(compound(b));
      } else {
        standard.add(standard(b));
      }
    }
    BeaconVersion.Builder v =
        BeaconVersion.builder()
            .version(1)
            .keyStore(keyStore)
            .keySource(source(c.get("keys").asObject()))
            .standardBeacons(standard);
    if (!compound.isEmpty()) {
      v.compoundBeacons(compound);
    }
    return SearchConfig.builder().writeVersion(1).versions(List.of(v.build())).build();
  }

  private static BeaconKeySource source(Map<String, JsonNode> keys) {
    if (keys.containsKey("id")) {
      return BeaconKeySource.builder()
          .single(
              SingleKeyStore.builder()
                  .keyId(keys.get("id").asString())
                  .cacheTTL(Services.ttlSeconds())
                  .build())
          .build();
    }
    return BeaconKeySource.builder()
        .multi(
            MultiKeyStore.builder()
                .keyFieldName(keys.get("tenant").asString())
                .cacheTTL(Services.ttlSeconds())
                .build())
        .build();
  }

  private static StandardBeacon standard(Map<String, JsonNode> b) {
    StandardBeacon.Builder s =
        StandardBeacon.builder()
            .name(b.get("name").asString())
            .length(Integer.parseInt(b.get("bits").asNumber()));
    if (b.containsKey("attribute")) {
      s.loc(b.get("attribute").asString());
    }
    if (b.containsKey("set")) {
      s.style(BeaconStyle.builder().asSet(AsSet.builder().build()).build());
    } else if (b.containsKey("partOnly")) {
      s.style(BeaconStyle.builder().partOnly(PartOnly.builder().build()).build());
    }
    return s.build();
  }

  /** All parts are of one constructor, in their order. */
  private static CompoundBeacon compound(Map<String, JsonNode> b) {
    List<EncryptedPart> encrypted = new ArrayList<>();
    List<SignedPart> signed = new ArrayList<>();
    List<ConstructorPart> order = new ArrayList<>();
    for (JsonNode node : b.get("parts").asArray()) {
      Map<String, JsonNode> p = node.asObject();
      String name = p.get("name").asString();
      String prefix = p.get("prefix").asString();
      if (p.get("signed").asBoolean()) {
        signed.add(SignedPart.builder().name(name).prefix(prefix).build());
      } else {
        encrypted.add(EncryptedPart.builder().name(name).prefix(prefix).build());
      }
      boolean required = !p.get("optional").asBoolean();
      order.add(ConstructorPart.builder().name(name).required(required).build());
    }
    CompoundBeacon.Builder c =
        CompoundBeacon.builder()
            .name(b.get("name").asString())
            .split(b.get("split").asString())
            .encrypted(encrypted)
            .constructors(List.of(Constructor.builder().parts(order).build()));
    if (!signed.isEmpty()) {
      c.signed(signed);
    }
    return c.build();
  }
}
