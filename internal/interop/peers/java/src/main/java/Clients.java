import java.net.URI;
import java.util.HashMap;
import java.util.Map;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.protocols.jsoncore.JsonNode;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.dynamodb.DynamoDbClient;
import software.amazon.awssdk.services.kms.KmsClient;

/** Clients of KMS and DynamoDB, at the endpoints that requests name. */
final class Clients {
  private Clients() {}

  private static final Map<String, KmsClient> KMS = new HashMap<>();

  static KmsClient kms(Map<String, JsonNode> k, String endpoint) {
    String region = k.get("region").asString();
    String url = k.get(endpoint).asString();
    return KMS.computeIfAbsent(
        region + " " + url,
        unused ->
            KmsClient.builder()
                .region(Region.of(region))
                .credentialsProvider(credentials())
                .endpointOverride(URI.create(url))
                .build());
  }

  static DynamoDbClient dynamoDb(Map<String, JsonNode> k) {
    return DynamoDbClient.builder()
        .region(Region.of(k.get("region").asString()))
        .credentialsProvider(credentials())
        .endpointOverride(URI.create(k.get("dynamodb").asString()))
        .build();
  }

  private static StaticCredentialsProvider credentials() {
    return StaticCredentialsProvider.create(AwsBasicCredentials.create("test", "test"));
  }
}
