// spymemcached's choices: java -cp spymemcached.jar Spymemcached.java SERVERS KEYS; see libmemcached.c for what is read and
// printed. "successors" are the servers that its ketama iterates over.

import java.lang.reflect.Proxy;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.function.Function;
import net.spy.memcached.ArrayModNodeLocator;
import net.spy.memcached.DefaultHashAlgorithm;
import net.spy.memcached.HashAlgorithm;
import net.spy.memcached.KetamaNodeKeyFormatter;
import net.spy.memcached.KetamaNodeLocator;
import net.spy.memcached.MemcachedNode;
import net.spy.memcached.NodeLocator;
import net.spy.memcached.util.DefaultKetamaNodeLocatorConfiguration;

public class Spymemcached {
    static MemcachedNode node(InetSocketAddress address) {
        return (MemcachedNode) Proxy.newProxyInstance(Spymemcached.class.getClassLoader(), new Class<?>[] {MemcachedNode.class},
            (self, method, arguments) -> switch (method.getName()) {
                case "getSocketAddress" -> address;
                case "hashCode" -> System.identityHashCode(self);
                case "equals" -> self == arguments[0];
                case "toString" -> address.toString();
                default -> throw new UnsupportedOperationException(method.getName());
            });
    }

    static void print(String options, List<String> keys, Function<String, String> choose) {
        StringBuilder line = new StringBuilder(options + "\t");
        for (String key : keys) line.append(choose.apply(key)).append(' ');
        System.out.println(line);
    }

    public static void main(String[] files) throws Exception {
        List<MemcachedNode> nodes = new ArrayList<>();
        Map<InetSocketAddress, Integer> weights = new HashMap<>();
        boolean weighted = false;
        for (String line : Files.readAllLines(Path.of(files[0]))) {
            String[] parts = line.split(" ");
            InetSocketAddress address = new InetSocketAddress(InetAddress.getByName(parts[0]), Integer.parseInt(parts[1]));
            nodes.add(node(address));
            weights.put(address, Integer.parseInt(parts[2]));
            weighted |= !parts[2].equals("1");
        }
        List<String> keys = Files.readAllLines(Path.of(files[1]));
        HashAlgorithm ketama = DefaultHashAlgorithm.KETAMA_HASH;
        KetamaNodeKeyFormatter names = new KetamaNodeKeyFormatter(KetamaNodeKeyFormatter.Format.SPYMEMCACHED);
        NodeLocator ring = weighted
            ? new KetamaNodeLocator(nodes, ketama, weights, new DefaultKetamaNodeLocatorConfiguration(names))
            : new KetamaNodeLocator(nodes, ketama, new DefaultKetamaNodeLocatorConfiguration(names));
        print("distribution=spymemcached", keys, key -> "" + nodes.indexOf(ring.getPrimary(key)));
        print("distribution=spymemcached successors", keys, key -> {
            Iterator<MemcachedNode> sequence = ring.getSequence(key);
            return nodes.indexOf(sequence.next()) + " " + nodes.indexOf(sequence.next()) + " " + nodes.indexOf(sequence.next());
        });
        if (!weighted) {
            NodeLocator list = new ArrayModNodeLocator(nodes, DefaultHashAlgorithm.NATIVE_HASH);
            print("distribution=modulo key_hash=java", keys, key -> "" + nodes.indexOf(list.getPrimary(key)));
        }
    }
}
