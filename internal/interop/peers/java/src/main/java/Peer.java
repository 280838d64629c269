import com.amazonaws.encryptionsdk.AwsCrypto;
import com.amazonaws.encryptionsdk.CommitmentPolicy;
import com.amazonaws.encryptionsdk.CryptoAlgorithm;
import com.amazonaws.encryptionsdk.CryptoInputStream;
import com.amazonaws.encryptionsdk.CryptoOutputStream;
import com.amazonaws.encryptionsdk.CryptoResult;
import com.amazonaws.encryptionsdk.exception.BadCiphertextException;
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import software.amazon.awssdk.protocols.jsoncore.JsonNode;
import software.amazon.awssdk.protocols.jsoncore.JsonWriter;
import software.amazon.cryptography.materialproviders.MaterialProviders;

/**
 * Answers internal/interop/exchange with AWS's Encryption SDK for Java.
 *
 * <p>It reads a JSON object from each line of its input and writes one to its output. What they
 * mean is said in exchange/peer.go.
 */
public final class Peer {
  /** What the library has no way to do. Its message is the name of it. */
  static final class Unsupported extends Exception {
    Unsupported(String what) {
      super(what);
    }
  }

  /** A stream ended with an error, which is the cause, after what it released. */
  private static final class Broken extends Exception {
    final byte[] released;

    Broken(Throwable cause, byte[] released) {
      super(cause);
      this.released = released;
    }
  }

  /** What an operation has made, and the encryption context that the library returned. */
  private record Result(byte[] data, Map<String, String> context) {}

  public static void main(String[] args) throws Exception {
    BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      Map<String, JsonNode> request = JsonNode.parser().parse(line).asObject();
      out.print(answer(request));
      out.print('\n');
      out.flush();
    }
  }

  private static String answer(Map<String, JsonNode> request) {
    JsonWriter w = JsonWriter.create().writeStartObject();
    w.writeFieldName("id").writeNumber(request.get("id").asNumber());
    try {
      if (request.get("op").asString().equals("about")) {
        about(w);
      } else {
        write(w, run(request));
      }
    } catch (Unsupported e) {
      w.writeFieldName("unsupported").writeValue(e.getMessage());
    } catch (Broken e) {
      w.writeFieldName("error").writeValue(e.getCause().toString());
      w.writeFieldName("released").writeValue(Base64.getEncoder().encodeToString(e.released));
    } catch (Exception | StackOverflowError | OutOfMemoryError e) {
      w.writeFieldName("error").writeValue(e.toString());
    }
    w.writeEndObject();
    return new String(w.getBytes(), StandardCharsets.UTF_8);
  }

  private static void about(JsonWriter w) {
    w.writeFieldName("name").writeValue("Java");
    w.writeFieldName("version").writeValue(version(AwsCrypto.class));
    w.writeFieldName("also").writeStartObject();
    w.writeFieldName("aws-cryptographic-material-providers")
        .writeValue(version(MaterialProviders.class));
    w.writeFieldName("java").writeValue(System.getProperty("java.version"));
    w.writeEndObject();
  }

  /** As the name of the file has it, since not all say it themselves. */
  private static String version(Class<?> of) {
    String file = of.getProtectionDomain().getCodeSource().getLocation().getPath();
    return file.replaceFirst(".*-([0-9][^/]*)\\.jar$", "$1");
  }

  private static void write(JsonWriter w, Result r) {
    w.writeFieldName("data").writeValue(Base64.getEncoder().encodeToString(r.data));
    w.writeFieldName("context").writeStartObject();
    r.context.forEach((k, v) -> w.writeFieldName(k).writeValue(v));
    w.writeEndObject();
  }

  private static Result run(Map<String, JsonNode> request) throws Unsupported, Broken {
    AwsCrypto crypto = crypto(request);
    Map<String, String> context = context(request);
    Client client =
        MasterKeys.are(request.get("keyring"))
            ? MasterKeys.client(crypto, request)
            : Keyrings.client(crypto, request);
    byte[] data = bytes(request, "data");
    boolean encrypt = request.get("op").asString().equals("encrypt");
    if (flag(request, "push")) {
      return push(client, encrypt, data, context, number(request, "piece", 1009));
    } else if (flag(request, "stream")) {
      return pull(client, encrypt, data, context, number(request, "piece", 1 << 16));
    }
    CryptoResult<byte[], ?> r =
        encrypt ? client.encrypt(data, context) : client.decrypt(data, context);
    return new Result(r.getResult(), r.getEncryptionContext());
  }

  /** Reads from a stream, in pieces, and has it read in pieces. */
  private static Result pull(
      Client client, boolean encrypt, byte[] data, Map<String, String> context, int piece)
      throws Broken {
    InputStream from =
        new ByteArrayInputStream(data) {
          @Override
          public synchronized int read(byte[] b, int off, int len) {
            return super.read(b, off, Math.min(len, piece));
          }
        };
    ByteArrayOutputStream all = new ByteArrayOutputStream();
    try (CryptoInputStream<?> s =
        encrypt ? client.encrypting(from, context) : client.decrypting(from, context)) {
      byte[] b = new byte[piece];
      for (int n = s.read(b); n >= 0; n = s.read(b)) {
        all.write(b, 0, n);
      }
      return new Result(
          all.toByteArray(), contextOf(() -> s.getCryptoResult().getEncryptionContext()));
    } catch (Exception | StackOverflowError | OutOfMemoryError e) {
      throw new Broken(e, all.toByteArray());
    }
  }

  /** Writes to a stream, in pieces, and closes it also when it fails, as its users do. */
  private static Result push(
      Client client, boolean encrypt, byte[] data, Map<String, String> context, int piece)
      throws Broken {
    ByteArrayOutputStream to = new ByteArrayOutputStream();
    try {
      CryptoOutputStream<?> s =
          encrypt ? client.encrypting(to, context) : client.decrypting(to, context);
      try (s) {
        for (int at = 0; at < data.length; at += piece) {
          s.write(data, at, Math.min(piece, data.length - at));
        }
      }
      return new Result(
          to.toByteArray(), contextOf(() -> s.getCryptoResult().getEncryptionContext()));
    } catch (Exception | StackOverflowError | OutOfMemoryError e) {
      throw new Broken(e, to.toByteArray());
    }
  }

  /** Where nothing was read there is no result, and yet the stream ends as if all were well. */
  private static Map<String, String> contextOf(Callable<Map<String, String>> result)
      throws Exception {
    try {
      return result.call();
    } catch (BadCiphertextException | IllegalStateException e) {
      return Map.of();
    }
  }

  private static final Map<String, CommitmentPolicy> POLICIES =
      Map.of(
          "require", CommitmentPolicy.RequireEncryptRequireDecrypt,
          "requireAllow", CommitmentPolicy.RequireEncryptAllowDecrypt,
          "forbid", CommitmentPolicy.ForbidEncryptAllowDecrypt);

  private static AwsCrypto crypto(Map<String, JsonNode> request) throws Unsupported {
    AwsCrypto.Builder b =
        AwsCrypto.builder()
            .withCommitmentPolicy(POLICIES.get(text(request, "policy", "require")));
    int suite = number(request, "suite", 0);
    if (suite != 0) {
      b.withEncryptionAlgorithm(suite(suite));
    }
    if (request.containsKey("frame")) {
      b.withEncryptionFrameSize(number(request, "frame", 0));
    }
    if (request.containsKey("maxKeys")) {
      b.withMaxEncryptedDataKeys(number(request, "maxKeys", 0));
    }
    return b.build();
  }

  private static CryptoAlgorithm suite(int id) throws Unsupported {
    for (CryptoAlgorithm a : CryptoAlgorithm.values()) {
      if (Short.toUnsignedInt(a.getValue()) == id) {
        return a;
      }
    }
    throw new Unsupported(String.format("suite %04x", id));
  }

  private static Map<String, String> context(Map<String, JsonNode> request) {
    Map<String, String> context = new HashMap<>();
    if (request.containsKey("context")) {
      request.get("context").asObject().forEach((k, v) -> context.put(k, v.asString()));
    }
    return context;
  }

  static String text(Map<String, JsonNode> of, String name, String absent) {
    return of.containsKey(name) ? of.get(name).asString() : absent;
  }

  private static boolean flag(Map<String, JsonNode> of, String name) {
    return of.containsKey(name) && of.get(name).asBoolean();
  }

  private static int number(Map<String, JsonNode> of, String name, int absent) {
    return of.containsKey(name) ? Integer.parseInt(of.get(name).asNumber()) : absent;
  }

  static byte[] bytes(Map<String, JsonNode> of, String name) {
    return Base64.getDecoder().decode(text(of, name, ""));
  }

  static List<String> texts(Map<String, JsonNode> of, String name) {
    List<String> all = new ArrayList<>();
    if (of.containsKey(name)) {
      of.get(name).asArray().forEach(n -> all.add(n.asString()));
    }
    return all;
  }
}
