import com.amazonaws.encryptionsdk.CryptoInputStream;
import com.amazonaws.encryptionsdk.CryptoOutputStream;
import com.amazonaws.encryptionsdk.CryptoResult;
import java.io.InputStream;
import java.io.OutputStream;
import java.util.Map;

/** AWS's client with the keys of one request. */
interface Client {
  CryptoResult<byte[], ?> encrypt(byte[] data, Map<String, String> context);

  CryptoResult<byte[], ?> decrypt(byte[] data, Map<String, String> context);

  CryptoInputStream<?> encrypting(InputStream from, Map<String, String> context);

  CryptoInputStream<?> decrypting(InputStream from, Map<String, String> context);

  CryptoOutputStream<?> encrypting(OutputStream to, Map<String, String> context);

  CryptoOutputStream<?> decrypting(OutputStream to, Map<String, String> context);
}
