// Tops an account up and waits for the outcome: java TopUp.java ACCOUNT AMOUNT PAYMENT
//
// EDGE_URL (redis:// or rediss://), PRODUCER, SECRET, PARTITIONS, WAIT_SECONDS and TRIES come by the environment.
// Ends with 0 applied, 4 rejected, 3 no outcome yet (run it again), 2 wrong usage, 1 not let in.
//
// It needs nothing but a JDK (17 or later). With a client such as Jedis or Lettuce, `call` is its command, and with a JSON
// library `text` is a field. The arguments are ids and numbers, nothing that would need escaping in JSON.

import java.io.BufferedInputStream;
import java.io.DataInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.URI;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.regex.Pattern;
import java.util.zip.CRC32;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLSocket;
import javax.net.ssl.SSLSocketFactory;

public class TopUp {
    private static final Map<String, String> SETTINGS = System.getenv();
    private static final String PRODUCER = SETTINGS.get("PRODUCER");
    private static final int PARTITIONS = Integer.parseInt(SETTINGS.getOrDefault("PARTITIONS", "1"));
    private static final int WAIT_SECONDS = Integer.parseInt(SETTINGS.getOrDefault("WAIT_SECONDS", "10"));
    private static final int TRIES = Integer.parseInt(SETTINGS.getOrDefault("TRIES", "3"));

    public static void main(String[] arguments) throws Exception {
        boolean set = SETTINGS.containsKey("EDGE_URL") && PRODUCER != null;
        if (arguments.length != 3 || !arguments[1].matches("\\d+") || !set) {
            System.err.println("usage: java TopUp.java ACCOUNT AMOUNT PAYMENT, with a whole AMOUNT, "
                + "and EDGE_URL and PRODUCER in the environment");
            System.exit(2);
        }
        String account = arguments[0], payment = arguments[2];
        // From what is paid for, so that the same payment can never be booked twice, whoever sends it again.
        String id = "top-up-" + payment;
        String body = """
            {"specversion":"1.0","id":"%s","source":"%s","type":"coins.TopUp.v1","partitionkey":"%s",\
            "data":{"account":"%s","amount":%d,"reference":"%s"}}"""
            .formatted(id, PRODUCER, account, account, Long.parseLong(arguments[1]), payment);
        for (int attempt = 0; attempt < TRIES; attempt++) {
            try (Edge edge = new Edge(URI.create(SETTINGS.get("EDGE_URL")))) {
                String outcome = outcomeOf(edge, id, partitionOf(account), body);
                if (outcome != null) {
                    System.exit(told(outcome));
                }
            } catch (Refused refused) {
                System.err.println(refused.getMessage());
                System.exit(1); // trying again changes nothing
            } catch (IOException unavailable) {
                System.err.println(unavailable.getMessage());
                Thread.sleep(200L << attempt);
            }
        }
        System.err.println("no outcome of " + id + " yet; run this again");
        System.exit(3);
    }

    /** Sends the command and waits; null when no outcome of it came in time. */
    private static String outcomeOf(Edge edge, String id, long partition, String body) throws Exception {
        String stream = "coins:events:" + PRODUCER;
        // Where the stream ends now: our outcome comes behind it.
        List<?> last = (List<?>) edge.call("XREVRANGE", stream, "+", "-", "COUNT", "1");
        String position = last.isEmpty() ? "0-0" : (String) ((List<?>) last.get(0)).get(0);

        List<String> words = new ArrayList<>(
            List.of("XADD", "coins:commands:" + partition + ":" + PRODUCER, "*", "event", body));
        if (SETTINGS.containsKey("SECRET")) {
            words.addAll(List.of("signature", signature(body, SETTINGS.get("SECRET"))));
        }
        edge.call(words.toArray(String[]::new));

        long until = System.nanoTime() + WAIT_SECONDS * 1_000_000_000L;
        for (long left; (left = (until - System.nanoTime()) / 1_000_000) > 0; ) {
            List<?> read = (List<?>) edge.call(
                "XREAD", "COUNT", "100", "BLOCK", Long.toString(left), "STREAMS", stream, position);
            if (read == null) {
                return null;
            }
            for (Object entry : (List<?>) ((List<?>) read.get(0)).get(1)) {
                position = (String) ((List<?>) entry).get(0);
                String outcome = (String) ((List<?>) ((List<?>) entry).get(1)).get(1); // event, its JSON, type, its type
                if (id.equals(text(outcome, "causationid"))) {
                    return outcome;
                }
            }
        }
        return null;
    }

    private static int told(String outcome) {
        if (outcome.contains("\"type\":\"coins.CommandApplied.v1\"")) {
            boolean before = outcome.contains("\"duplicate\":true");
            System.out.println("applied " + text(outcome, "transaction") + (before ? " (decided before)" : ""));
            return 0;
        }
        System.out.println("rejected " + text(outcome, "reason") + ": " + text(outcome, "message"));
        return 4;
    }

    /** A text of the outcome by its name; null where it is null. Quotes inside texts are escaped, so that it cannot err. */
    private static String text(String json, String name) {
        var found = Pattern.compile("\"" + name + "\":\"((?:[^\"\\\\]|\\\\.)*)\"").matcher(json);
        return found.find() ? found.group(1) : null;
    }

    private static long partitionOf(String key) {
        CRC32 crc = new CRC32();
        crc.update(key.getBytes(StandardCharsets.UTF_8));
        return crc.getValue() % PARTITIONS;
    }

    private static String signature(String body, String secret) throws Exception {
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(secret.getBytes(StandardCharsets.UTF_8), "HmacSHA256"));
        return Base64.getEncoder().encodeToString(mac.doFinal(body.getBytes(StandardCharsets.UTF_8)));
    }

    /** The server does not let us in, or not do that. */
    private static class Refused extends Exception {
        Refused(String said) {
            super(said);
        }
    }

    /** A connection that speaks the server's protocol. */
    private static class Edge implements AutoCloseable {
        private final Socket socket;
        private final DataInputStream answers;

        Edge(URI url) throws IOException, Refused {
            socket = url.getScheme().equals("rediss") ? SSLSocketFactory.getDefault().createSocket() : new Socket();
            if (socket instanceof SSLSocket secure) { // a certificate of another host is none
                SSLParameters checked = secure.getSSLParameters();
                checked.setEndpointIdentificationAlgorithm("HTTPS");
                secure.setSSLParameters(checked);
            }
            socket.connect(new InetSocketAddress(url.getHost(), url.getPort()), 5_000);
            socket.setSoTimeout((WAIT_SECONDS + 5) * 1_000);
            answers = new DataInputStream(new BufferedInputStream(socket.getInputStream()));
            if (url.getUserInfo() != null) {
                String[] login = url.getUserInfo().split(":", 2);
                call("AUTH", login[0], login[1]);
            }
        }

        /** Says some words to the server; its answer is null, a String, or a List of those. */
        Object call(String... words) throws IOException, Refused {
            StringBuilder said = new StringBuilder("*" + words.length + "\r\n");
            for (String word : words) {
                int length = word.getBytes(StandardCharsets.UTF_8).length;
                said.append("$").append(length).append("\r\n").append(word).append("\r\n");
            }
            socket.getOutputStream().write(said.toString().getBytes(StandardCharsets.UTF_8));
            return answer();
        }

        private Object answer() throws IOException, Refused {
            String line = line();
            String rest = line.substring(1);
            switch (line.charAt(0)) {
                case '-':
                    if (rest.matches("(NOPERM|NOAUTH|WRONGPASS) .*")) {
                        throw new Refused(rest);
                    }
                    throw new IOException(rest);
                case '$':
                    if (rest.equals("-1")) {
                        return null;
                    }
                    byte[] text = new byte[Integer.parseInt(rest)];
                    answers.readFully(text);
                    answers.skipBytes(2);
                    return new String(text, StandardCharsets.UTF_8);
                case '*':
                    if (rest.equals("-1")) {
                        return null;
                    }
                    List<Object> all = new ArrayList<>();
                    for (int left = Integer.parseInt(rest); left > 0; left--) {
                        all.add(answer());
                    }
                    return all;
                default:
                    return rest;
            }
        }

        private String line() throws IOException {
            StringBuilder line = new StringBuilder();
            for (int one; (one = answers.read()) != '\r'; ) {
                if (one < 0) {
                    throw new EOFException("the connection was closed");
                }
                line.append((char) one);
            }
            answers.skipBytes(1);
            return line.toString();
        }

        @Override
        public void close() throws IOException {
            socket.close();
        }
    }
}
