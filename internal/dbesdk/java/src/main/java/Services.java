import java.net.URI;
import java.util.HashMap;
import java.util.Map;
import software.amazon.awssdk.auth.credentials.AwsBasicCredentials;
import software.amazon.awssdk.auth.credentials.StaticCredentialsProvider;
import software.amazon.awssdk.core.client.config.ClientOverrideConfiguration;
import software.amazon.awssdk.core.interceptor.ExecutionInterceptor;
import software.amazon.awssdk.protocols.jsoncore.JsonNode;
import software.amazon.awssdk.regions.Region;
import software.amazon.awssdk.services.dynamodb.DynamoDbClient;
import software.amazon.awssdk.services.kms.KmsClient;
import software.amazon.cryptography.dbencryptionsdk.dynamodb.DynamoDbEncryption;
import software.amazon.cryptography.dbencryptionsdk.dynamodb.model.CreateDynamoDbEncryptionBranchKeyIdSupplierInput;
import software.amazon.cryptography.dbencryptionsdk.dynamodb.model.DynamoDbEncryptionConfig;
import software.amazon.cryptography.dbencryptionsdk.dynamodb.model.GetBranchKeyIdFromDdbKeyOutput;
import software.amazon.cryptography.keystore.KeyStore;
import software.amazon.cryptography.keystore.model.CreateKeyInput;
import software.amazon.cryptography.keystore.model.KMSConfiguration;
import software.amazon.cryptography.keystore.model.KeyStoreConfig;
import software.amazon.cryptography.keystore.model.VersionKeyInput;
import software.amazon.cryptography.materialproviders.IBranchKeyIdSupplier;
import software.amazon.cryptography.materialproviders.IKeyring;
import software.amazon.cryptography.materialproviders.MaterialProviders;
import software.amazon.cryptography.materialproviders.model.CreateAwsKmsHierarchicalKeyringInput;

/** A DynamoDB and a KMS, and a table of branch keys in them. */
final class Services {
  private static final int TTL_SECONDS = 3600;

  private final URI dynamo;
  private final KeyStore keyStore;

  /** By the text of their config: a keyring keeps the branch keys that it has read. */
  private final Map<String, IKeyring> keyrings = new HashMap<>();

  Services(Map<String, JsonNode> c) {
    dynamo = URI.create(c.get("dynamodb").asString());
    KmsClient kms =
        KmsClient.builder()
            .region(region())
            .credentialsProvider(credentials())
            .endpointOverride(URI.create(c.get("kms").asString()))
            .build();
    keyStore =
        KeyStore.builder()
            .KeyStoreConfig(
                KeyStoreConfig.builder()
                    .ddbClient(client())
                    .ddbTableName(c.get("table").asString())
                    .logicalKeyStoreName(c.get("name").asString())
                    .kmsClient(kms)
                    .kmsConfiguration(
                        KMSConfiguration.builder().kmsKeyArn(c.get("keyArn").asString()).build())
                    .build())
            .build();
  }

  private static Region region() {
    return Region.US_EAST_1;
  }

  private static StaticCredentialsProvider credentials() {
    return StaticCredentialsProvider.create(AwsBasicCredentials.create("test", "test"));
  }

  DynamoDbClient client(ExecutionInterceptor... interceptors) {
    ClientOverrideConfiguration.Builder o = ClientOverrideConfiguration.builder();
    for (ExecutionInterceptor i : interceptors) {
      o.addExecutionInterceptor(i);
    }
    return DynamoDbClient.builder()
        .region(region())
        .credentialsProvider(credentials())
        .endpointOverride(dynamo)
        .overrideConfiguration(o.build())
        .build();
  }

  KeyStore keyStore() {
    return keyStore;
  }

  void createKey(String id, Map<String, String> context) {
    keyStore.CreateKey(
        CreateKeyInput.builder().branchKeyIdentifier(id).encryptionContext(context).build());
  }

  void versionKey(String id) {
    keyStore.VersionKey(VersionKeyInput.builder().branchKeyIdentifier(id).build());
  }

  /** Of one branch key, or of those that an attribute of each item names. */
  IKeyring keyring(MaterialProviders providers, JsonNode branch) {
    return keyrings.computeIfAbsent(branch.toString(), unused -> make(providers, branch));
  }

  private IKeyring make(MaterialProviders providers, JsonNode branch) {
    Map<String, JsonNode> c = branch.asObject();
    CreateAwsKmsHierarchicalKeyringInput.Builder b =
        CreateAwsKmsHierarchicalKeyringInput.builder().keyStore(keyStore).ttlSeconds(TTL_SECONDS);
    if (c.containsKey("id")) {
      b.branchKeyId(c.get("id").asString());
    } else {
      b.branchKeyIdSupplier(supplier(c.get("tenant").asString(), c.get("prefix").asString()));
    }
    return providers.CreateAwsKmsHierarchicalKeyring(b.build());
  }

  private static IBranchKeyIdSupplier supplier(String attribute, String prefix) {
    return DynamoDbEncryption.builder()
        .DynamoDbEncryptionConfig(DynamoDbEncryptionConfig.builder().build())
        .build()
        .CreateDynamoDbEncryptionBranchKeyIdSupplier(
            CreateDynamoDbEncryptionBranchKeyIdSupplierInput.builder()
                .ddbKeyBranchKeyIdSupplier(
                    in ->
                        GetBranchKeyIdFromDdbKeyOutput.builder()
                            .branchKeyId(prefix + in.ddbKey().get(attribute).s())
                            .build())
                .build())
        .branchKeyIdSupplier();
  }

  static int ttlSeconds() {
    return TTL_SECONDS;
  }
}
