// Tops an account up over RabbitMQ and waits for the outcome:
// java -cp amqp-client.jar:slf4j-api.jar TopUpOverRabbitMQ.java ACCOUNT AMOUNT PAYMENT
//
// EDGE_URL (amqp:// or amqps://), PRODUCER, SECRET, PARTITIONS, WAIT_SECONDS and TRIES come by the environment.
// Ends with 0 applied, 4 rejected, 3 no outcome yet (run it again), 2 wrong usage, 1 not let in.
//
// With RabbitMQ's client for Java (com.rabbitmq:amqp-client, 5.0 or later) and a JDK 17. With a JSON library `text` is a
// field. The arguments are ids and numbers, nothing that would need escaping in JSON.

import com.rabbitmq.client.AMQP;
import com.rabbitmq.client.Address;
import com.rabbitmq.client.AuthenticationFailureException;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.DefaultConsumer;
import com.rabbitmq.client.Envelope;
import com.rabbitmq.client.ListAddressResolver;
import com.rabbitmq.client.ReturnListener;
import com.rabbitmq.client.ShutdownSignalException;
import java.io.IOException;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.regex.Pattern;
import java.util.zip.CRC32;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;
import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLParameters;
import javax.net.ssl.SSLSocket;

public class TopUpOverRabbitMQ {
    private static final Map<String, String> SETTINGS = System.getenv();
    private static final String PRODUCER = SETTINGS.get("PRODUCER");
    private static final int PARTITIONS = Integer.parseInt(SETTINGS.getOrDefault("PARTITIONS", "1"));
    private static final int WAIT_SECONDS = Integer.parseInt(SETTINGS.getOrDefault("WAIT_SECONDS", "10"));
    private static final int TRIES = Integer.parseInt(SETTINGS.getOrDefault("TRIES", "3"));

    public static void main(String[] arguments) throws Exception {
        boolean set = SETTINGS.containsKey("EDGE_URL") && PRODUCER != null;
        if (arguments.length != 3 || !arguments[1].matches("\\d+") || !set) {
            System.err.println("usage: java -cp … TopUpOverRabbitMQ.java ACCOUNT AMOUNT PAYMENT, with a whole AMOUNT, "
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
        ConnectionFactory factory = new ConnectionFactory();
        factory.setUri(SETTINGS.get("EDGE_URL"));
        factory.setConnectionTimeout(5_000);
        if (SETTINGS.get("EDGE_URL").startsWith("amqps:")) {
            // By itself the client would trust any certificate.
            factory.useSslProtocol(SSLContext.getDefault());
            factory.setSocketConfigurator(TopUpOverRabbitMQ::checkHost);
        }
        // No reconnecting behind our back: whether to send again is decided here.
        factory.setAutomaticRecoveryEnabled(false);
        // The name itself and not what it resolves to: certificates are for names.
        var address = new ListAddressResolver(List.of(new Address(factory.getHost(), factory.getPort())));
        for (int attempt = 0; attempt < TRIES; attempt++) {
            try (Connection connection = factory.newConnection(address)) {
                String outcome = outcomeOf(connection.createChannel(), id, partitionOf(account), body);
                if (outcome != null) {
                    System.exit(told(outcome));
                }
            } catch (IOException | TimeoutException | ShutdownSignalException error) {
                System.err.println(error.getMessage() != null ? error.getMessage() : error.getCause());
                if (isRefused(error)) {
                    System.exit(1); // trying again changes nothing
                }
                Thread.sleep(200L << attempt);
            }
        }
        System.err.println("no outcome of " + id + " yet; run this again");
        System.exit(3);
    }

    /** A certificate of another host is none. */
    private static void checkHost(Socket socket) {
        if (socket instanceof SSLSocket secure) {
            SSLParameters checked = secure.getSSLParameters();
            checked.setEndpointIdentificationAlgorithm("HTTPS");
            secure.setSSLParameters(checked);
        }
    }

    /** Sends the command and waits; null when no outcome of it came in time. */
    private static String outcomeOf(Channel channel, String id, long partition, String body) throws Exception {
        BlockingQueue<String> answers = new LinkedBlockingQueue<>();
        // Read what comes from now on, before sending. A stream needs a prefetch, and each delivery an acknowledgement.
        channel.basicQos(100);
        Map<String, Object> from = Map.of("x-stream-offset", "next");
        channel.basicConsume("coins.events." + PRODUCER, false, from, new DefaultConsumer(channel) {
            @Override
            public void handleDelivery(String tag, Envelope envelope, AMQP.BasicProperties properties, byte[] json)
                    throws IOException {
                String outcome = new String(json, StandardCharsets.UTF_8);
                channel.basicAck(envelope.getDeliveryTag(), false);
                if (id.equals(text(outcome, "causationid"))) {
                    answers.add(outcome);
                }
            }
        });

        AtomicBoolean returned = new AtomicBoolean();
        channel.addReturnListener((ReturnListener) (code, text, exchange, key, properties, json) -> returned.set(true));
        channel.confirmSelect();
        Map<String, Object> headers =
            SETTINGS.containsKey("SECRET") ? Map.of("signature", signature(body, SETTINGS.get("SECRET"))) : Map.of();
        AMQP.BasicProperties properties = new AMQP.BasicProperties.Builder()
            .contentType("application/cloudevents+json").deliveryMode(2).headers(headers).build();
        byte[] bytes = body.getBytes(StandardCharsets.UTF_8);
        channel.basicPublish("coins.commands", PRODUCER + "." + partition, true, properties, bytes);
        channel.waitForConfirmsOrDie(5_000);
        if (returned.get()) { // it comes before the confirmation
            throw new IOException("no queue takes the command: has `coins migrate` run, is PARTITIONS right?");
        }
        return answers.poll(WAIT_SECONDS, TimeUnit.SECONDS);
    }

    /** A login or a vhost that is wrong, or what the server's permissions do not grant. */
    private static boolean isRefused(Throwable error) {
        for (; error != null; error = error.getCause()) {
            String said = String.valueOf(error.getMessage());
            if (error instanceof AuthenticationFailureException
                    || said.contains("ACCESS_REFUSED") || said.contains("NOT_ALLOWED")) {
                return true;
            }
        }
        return false;
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
}
