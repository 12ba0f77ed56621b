import com.google.gson.Gson;
import com.segment.analytics.Analytics;
import com.segment.analytics.Callback;
import com.segment.analytics.messages.AliasMessage;
import com.segment.analytics.messages.GroupMessage;
import com.segment.analytics.messages.IdentifyMessage;
import com.segment.analytics.messages.Message;
import com.segment.analytics.messages.MessageBuilder;
import com.segment.analytics.messages.PageMessage;
import com.segment.analytics.messages.ScreenMessage;
import com.segment.analytics.messages.TrackMessage;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.Phaser;

/** Sends with Segment's unmodified library for Java. Input and output are those of ../python/send.py. */
public final class Send {
  private static final class Scenario {
    String host;
    String key;
    List<List<Object>> calls;
    List<List<Object>> leaving;
  }

  /** Counts the messages that are not settled and keeps a line for each one that the library abandoned. */
  private static final class Results implements Callback {
    final Phaser pending = new Phaser(1);
    final ConcurrentLinkedQueue<String> failed = new ConcurrentLinkedQueue<>();

    @Override
    public void success(Message message) {
      pending.arriveAndDeregister();
    }

    @Override
    public void failure(Message message, Throwable error) {
      failed.add(String.valueOf(error.getMessage()));
      pending.arriveAndDeregister();
    }
  }

  public static void main(String[] arguments) {
    Gson gson = new Gson();
    Scenario input = gson.fromJson(new InputStreamReader(System.in, StandardCharsets.UTF_8), Scenario.class);
    Results results = new Results();
    Analytics analytics = Analytics.builder(input.key).endpoint(input.host).callback(results).build();
    enqueue(analytics, results, input.calls);
    analytics.flush();
    results.pending.awaitAdvance(results.pending.arrive());
    enqueue(analytics, results, input.leaving);
    analytics.shutdown();
    System.out.println(gson.toJson(Map.of("failed", results.failed, "notSent", List.of())));
  }

  private static void enqueue(Analytics analytics, Results results, List<List<Object>> calls) {
    for (List<Object> call : calls) {
      results.pending.register();
      analytics.enqueue(message((String) call.get(0), fields(call.get(1))));
    }
  }

  @SuppressWarnings("unchecked")
  private static Map<String, Object> fields(Object value) {
    return (Map<String, Object>) value;
  }

  private static MessageBuilder<?, ?> message(String method, Map<String, Object> fields) {
    MessageBuilder<?, ?> builder = builder(method, fields);
    if (fields.containsKey("userId")) {
      builder.userId((String) fields.get("userId"));
    }
    if (fields.containsKey("anonymousId")) {
      builder.anonymousId((String) fields.get("anonymousId"));
    }
    return builder;
  }

  private static MessageBuilder<?, ?> builder(String method, Map<String, Object> fields) {
    Map<String, Object> properties = fields(fields.getOrDefault("properties", Map.of()));
    Map<String, Object> traits = fields(fields.getOrDefault("traits", Map.of()));
    String name = (String) fields.get("name");
    return switch (method) {
      case "track" -> TrackMessage.builder((String) fields.get("event")).properties(properties);
      case "identify" -> IdentifyMessage.builder().traits(traits);
      case "page" -> PageMessage.builder(name).properties(properties);
      case "screen" -> ScreenMessage.builder(name).properties(properties);
      case "group" -> GroupMessage.builder((String) fields.get("groupId")).traits(traits);
      case "alias" -> AliasMessage.builder((String) fields.get("previousId"));
      default -> throw new IllegalArgumentException(method);
    };
  }
}
