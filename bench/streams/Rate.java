// The same work in Kafka Streams, exactly once (v2): decode, rate by a small table, write the rated record, keep
// each customer's totals in a RocksDB store with its changelog. One stream thread.
//
// Avro is read and written by hand: only the fields that the work needs are decoded, and the event's own bytes are
// copied into the rated record, so that nothing but Kafka Streams itself is measured as far as that can be.

import com.sun.management.OperatingSystemMXBean;
import java.lang.management.ManagementFactory;
import java.math.BigDecimal;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.Stores;

public final class Rate {
    private static final int HEADER_BYTES = 10;
    private static final String[] METERS = {"input_tokens", "cache_read_tokens", "output_tokens"};
    private static final OperatingSystemMXBean PROCESS =
        (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();

    /** Of one unit, in 10**-12 USD, and of a million as text. */
    private record Rates(long cost, long price, String costText, String priceText) {}

    private static final Map<String, Map<String, Rates>> TABLE = Map.of("model-large", Map.of(
        "input_tokens", new Rates(2_000_000, 3_000_000, "2", "3"),
        "cache_read_tokens", new Rates(250_000, 500_000, "0.25", "0.5"),
        "output_tokens", new Rates(8_000_000, 12_000_000, "8", "12")));

    public static void main(String[] given) throws Exception {
        Map<String, String> arguments = new HashMap<>();
        for (int at = 0; at < given.length; at += 2) arguments.put(given[at].substring(2), given[at + 1]);
        Counter counter = new Counter(
            Long.parseLong(arguments.get("warm")), Long.parseLong(arguments.get("events")));
        byte[] header = HexFormat.of().parseHex(arguments.get("header"));
        Topology topology = new Topology();
        topology.addSource(
            "events", Serdes.String().deserializer(), Serdes.ByteArray().deserializer(), arguments.get("source"));
        topology.addProcessor("rate", () -> new Rater(header, counter), "events");
        topology.addStateStore(
            Stores.keyValueStoreBuilder(
                Stores.persistentKeyValueStore("totals"), Serdes.String(), Serdes.ByteArray()).withCachingEnabled(),
            "rate");
        topology.addSink(
            "rated", arguments.get("target"), Serdes.String().serializer(), Serdes.ByteArray().serializer(), "rate");
        try (KafkaStreams streams = new KafkaStreams(topology, settings(arguments))) {
            streams.setUncaughtExceptionHandler(error -> {
                error.printStackTrace();
                Runtime.getRuntime().halt(1);
                return null;
            });
            streams.start();
            counter.done.await();
            Thread.sleep(5 * Long.parseLong(arguments.get("commit-ms")) + 1000);  // the last commit
            streams.close(Duration.ofSeconds(30));
        }
        System.out.println(counter.report());
    }

    private static Properties settings(Map<String, String> arguments) {
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, arguments.get("id"));
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, arguments.get("bootstrap"));
        settings.put(StreamsConfig.STATE_DIR_CONFIG, arguments.get("directory"));
        settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, arguments.get("commit-ms"));
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 10_000);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_TYPE_CONFIG), "lz4");
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG), 5);
        settings.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG), 1 << 18);
        return settings;
    }

    /** Time and CPU time of the whole process after the first `warm` events, until all are rated. */
    private static final class Counter {
        final CountDownLatch done = new CountDownLatch(1);
        private final long warm;
        private final long events;
        private long count;
        private long beganNs;
        private long beganCpuNs;
        private long endedNs;
        private long endedCpuNs;

        Counter(long warm, long events) {
            this.warm = warm;
            this.events = events;
        }

        void one() {
            count++;
            if (count == warm) {
                beganNs = System.nanoTime();
                beganCpuNs = PROCESS.getProcessCpuTime();
            } else if (count == events) {
                endedNs = System.nanoTime();
                endedCpuNs = PROCESS.getProcessCpuTime();
                done.countDown();
            }
        }

        String report() throws Exception {
            double wallS = (endedNs - beganNs) / 1e9;
            double cpuS = (endedCpuNs - beganCpuNs) / 1e9;
            long peakKib = Files.readAllLines(Path.of("/proc/self/status")).stream()
                .filter(line -> line.startsWith("VmHWM:"))
                .mapToLong(line -> Long.parseLong(line.replaceAll("\\D", ""))).findFirst().orElse(0);
            return String.format(
                java.util.Locale.ROOT,
                "{\"events\": %d, \"warm_events\": %d, \"wall_s\": %.3f, \"events_per_s\": %.0f, "
                    + "\"cpu_s_per_million\": %.2f, \"peak_rss_mib\": %d, \"java\": \"%s\"}",
                events - warm, warm, wallS, (events - warm) / wallS, cpuS / (events - warm) * 1e6,
                peakKib / 1024, System.getProperty("java.version"));
        }
    }

    private static final class Rater implements Processor<String, byte[], String, byte[]> {
        private final byte[] header;
        private final Counter counter;
        private ProcessorContext<String, byte[]> context;
        private KeyValueStore<String, byte[]> totals;

        Rater(byte[] header, Counter counter) {
            this.header = header;
            this.counter = counter;
        }

        @Override
        public void init(ProcessorContext<String, byte[]> context) {
            this.context = context;
            this.totals = context.getStateStore("totals");
        }

        @Override
        public void process(Record<String, byte[]> record) {
            byte[] value = record.value();
            Event event = new Reader(value).event();
            byte[] stored = totals.get(event.customerId);
            ByteBuffer before = ByteBuffer.wrap(stored == null ? new byte[24] : stored);
            long sequence = before.getLong() + 1;
            long cached = Long.parseLong(event.usage.get("cache_read_tokens"));
            long[] quantities = {
                Long.parseLong(event.usage.get("input_tokens")) - cached,
                cached,
                Long.parseLong(event.usage.get("output_tokens"))};
            Map<String, Rates> table = TABLE.get(event.model);
            long cost = 0;
            long price = 0;
            for (int at = 0; at < METERS.length; at++) {
                Rates rates = table.get(METERS[at]);
                cost += quantities[at] * rates.cost;
                price += quantities[at] * rates.price;
            }
            Writer out = new Writer(value.length + 1024);
            out.raw(header, 0, header.length);
            out.raw(value, HEADER_BYTES, value.length - HEADER_BYTES);
            rating(out, sequence, table, quantities, cost, price);
            totals.put(event.customerId, ByteBuffer.allocate(24)
                .putLong(sequence).putLong(before.getLong() + cost).putLong(before.getLong() + price).array());
            context.forward(record.withValue(out.done()));
            counter.one();
        }
    }

    private static void rating(
        Writer out, long sequence, Map<String, Rates> table, long[] quantities, long cost, long price) {
        out.number(sequence);
        out.number(0);  // leg: original
        out.number(0);  // revision
        out.number(0);  // no correction
        out.number(1);  // book version
        out.text("0".repeat(64));
        out.number(1_793_491_200_000_000L);
        out.number(1_796_083_200_000_000L);
        out.number(0);  // no pools
        side(out, cost);
        side(out, price);
        out.number(2L * METERS.length);
        for (int side = 0; side < 2; side++) {
            for (int at = 0; at < METERS.length; at++) {
                Rates rates = table.get(METERS[at]);
                out.number(side);
                out.text(METERS[at]);
                out.text(Long.toString(quantities[at]));
                out.some(side == 0 ? rates.costText : rates.priceText);
                out.some("1000000");
                out.some(plain(quantities[at] * (side == 0 ? rates.cost : rates.price)));
                out.some("USD");
                out.some("acme/large");
                out.some("2026-01-01T00:00:00Z");
                out.number(2);  // priced
                out.text("table");
                out.number(0);  // billed quantity: the quantity
            }
        }
        out.number(0);
        out.some("standard");
    }

    private static void side(Writer out, long amount) {
        out.number(2);  // priced
        out.some(plain(amount));
        out.some("USD");
    }

    private static String plain(long amount) {
        return amount == 0 ? "0" : BigDecimal.valueOf(amount, 12).stripTrailingZeros().toPlainString();
    }

    private record Event(String customerId, String model, Map<String, String> usage) {}

    private static final class Reader {
        private final byte[] data;
        private int at = HEADER_BYTES;

        Reader(byte[] data) {
            this.data = data;
        }

        Event event() {
            String customerId = text();
            skipText();  // source
            skipText();  // event_id
            number();  // event_time_us
            skipSome();  // query_id
            skipSome();  // parent_event_id
            if (number() == 1) number();  // attempt
            for (int field = 0; field < 4; field++) skipSome();  // project, user_id, product, feature
            skipText();  // provider
            skipSome();  // requested_model
            String model = number() == 1 ? text() : null;
            for (int field = 0; field < 8; field++) skipSome();  // billed_model to provider_response_id
            map();  // context
            number();  // status
            number();  // stream_complete
            number();  // usage_semantics
            return new Event(customerId, model, map());
        }

        private Map<String, String> map() {
            Map<String, String> found = new HashMap<>();
            for (long count = number(); count != 0; count = number()) {
                if (count < 0) {
                    number();
                    count = -count;
                }
                for (; count > 0; count--) {
                    String key = text();
                    found.put(key, text());
                }
            }
            return found;
        }

        private void skipSome() {
            if (number() == 1) skipText();
        }

        private void skipText() {
            int length = (int) number();
            at += length;
        }

        private String text() {
            int length = (int) number();
            String found = new String(data, at, length, StandardCharsets.UTF_8);
            at += length;
            return found;
        }

        private long number() {
            long found = 0;
            for (int shift = 0; ; shift += 7) {
                byte next = data[at++];
                found |= (long) (next & 0x7F) << shift;
                if (next >= 0) return (found >>> 1) ^ -(found & 1);
            }
        }
    }

    private static final class Writer {
        private byte[] data;
        private int at;

        Writer(int size) {
            data = new byte[size];
        }

        void raw(byte[] from, int start, int length) {
            if (at + length > data.length) data = java.util.Arrays.copyOf(data, 2 * (at + length));
            System.arraycopy(from, start, data, at, length);
            at += length;
        }

        void number(long value) {
            if (at + 10 > data.length) data = java.util.Arrays.copyOf(data, 2 * data.length);
            long left = (value << 1) ^ (value >> 63);
            while ((left & ~0x7FL) != 0) {
                data[at++] = (byte) (left & 0x7F | 0x80);
                left >>>= 7;
            }
            data[at++] = (byte) left;
        }

        void text(String value) {
            byte[] bytes = value.getBytes(StandardCharsets.UTF_8);
            number(bytes.length);
            raw(bytes, 0, bytes.length);
        }

        void some(String value) {
            number(1);
            text(value);
        }

        byte[] done() {
            return java.util.Arrays.copyOf(data, at);
        }
    }
}
