import java.io.InputStreamReader;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Timestamp;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;

/** Reads with ClickHouse's unmodified JDBC driver. Input is a line for each value; output is that of ../python/steps.py. */
public final class Read {
  private interface Step {
    Object run() throws Exception;
  }

  private static void step(String name, Step step) {
    String outcome;
    try {
      outcome = "\"shown\": " + json(step.run());
    } catch (Exception | LinkageError error) {
      String code = error instanceof SQLException failed ? " (" + failed.getErrorCode() + ")" : "";
      outcome = "\"error\": " + json(error.getClass().getSimpleName() + code + ": " + error.getMessage());
    }
    System.out.println("{\"step\": " + json(name) + ", " + outcome + "}");
  }

  private static String json(Object value) {
    if (value instanceof Number || value instanceof Boolean) {
      return value.toString();
    }
    StringWriter text = new StringWriter();
    if (value instanceof List<?> values) {
      text.append('[');
      for (int at = 0; at < values.size(); at++) {
        text.append(at == 0 ? "" : ", ").append(json(values.get(at)));
      }
      return text.append(']').toString();
    }
    for (char each : String.valueOf(value).toCharArray()) {
      text.append(each < ' ' || each == '"' || each == '\\' ? String.format("\\u%04x", (int) each) : "" + each);
    }
    return "\"" + text + "\"";
  }

  private static List<Object> column(ResultSet rows, Object column) throws SQLException {
    List<Object> found = new ArrayList<>();
    while (rows.next()) {
      found.add(column instanceof String name ? rows.getObject(name) : rows.getObject((int) column));
    }
    return found;
  }

  private static List<Object> ask(Connection connection, String sql) throws SQLException {
    try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery(sql)) {
      return column(rows, 1);
    }
  }

  private static Connection connect(Map<String, String> run, String... options) throws SQLException {
    Properties properties = new Properties();
    properties.setProperty("user", run.get("user"));
    properties.setProperty("password", run.get("password"));
    for (int at = 0; at < options.length; at += 2) {
      properties.setProperty(options[at], options[at + 1]);
    }
    String url = "jdbc:clickhouse://" + run.get("host") + ":" + run.get("port") + "/" + run.get("database");
    return DriverManager.getConnection(url, properties);
  }

  private static void steps(Map<String, String> run, Connection connection) throws Exception {
    String views = run.get("views");
    var metadata = connection.getMetaData();
    step("connect", metadata::getDatabaseProductVersion);
    step("databases", () -> column(metadata.getSchemas(), "TABLE_SCHEM"));
    step("catalogs", () -> column(metadata.getCatalogs(), 1));
    step("tables", () -> column(metadata.getTables(null, run.get("database"), "%", null), "TABLE_NAME"));
    step("columns", () -> column(metadata.getColumns(null, views, "order_completed", "%"), "COLUMN_NAME"));
    step("keys", () -> column(metadata.getPrimaryKeys(null, run.get("database"), "events"), "COLUMN_NAME"));
    step("json", () -> ask(connection, run.get("json")).toString());
    step("property", () -> ask(connection, run.get("property")).toString());
    step("view", () -> ask(connection, run.get("revenue")));
    step("time", () -> {
      String sql = "SELECT count() FROM " + run.get("view") + " WHERE timestamp >= ? AND timestamp < ?";
      try (PreparedStatement prepared = connection.prepareStatement(sql)) {
        prepared.setTimestamp(1, Timestamp.valueOf(run.get("since")));
        prepared.setTimestamp(2, Timestamp.valueOf(run.get("until")));
        return column(prepared.executeQuery(), 1);
      }
    });
    step("large", () -> ask(connection, "SELECT number FROM numbers(300000)").size());
    step("error", () -> ask(connection, "SELECT * FROM nothing"));
    step("write", () -> connection.createStatement().executeUpdate(run.get("write")));
  }

  public static void main(String[] arguments) throws Exception {
    Map<String, String> run = new HashMap<>();
    try (var input = new java.io.BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8))) {
      for (String line; (line = input.readLine()) != null; ) {
        run.put(line.substring(0, line.indexOf('=')), line.substring(line.indexOf('=') + 1));
      }
    }
    try (Connection connection = connect(run)) {
      steps(run, connection);
    }
    step("settings", () -> {
      String[] settings = {"clickhouse_setting_max_threads", "2", "clickhouse_setting_max_result_rows", "1000"};
      try (Connection other = connect(run, settings)) {
        return ask(other, "SELECT 1");
      }
    });
    step("limit", () -> {
      try (Connection other = connect(run, "clickhouse_setting_max_execution_time", "0")) {
        return ask(other, "SELECT 1");
      }
    });
    step("types", () -> {
      // The driver's query needs ClickHouse's default of this setting.
      try (Connection other = connect(run, "clickhouse_setting_join_use_nulls", "0")) {
        return column(other.getMetaData().getTypeInfo(), "TYPE_NAME").size();
      }
    });
    step("Metabase", () -> {
      // The options of Metabase's driver, and its queries when it connects.
      String[] options = {
        "use_server_time_zone_for_dates", "true", "product_name", "metabase", "remember_last_set_roles", "true",
        "http_connection_provider", "HTTP_URL_CONNECTION", "jdbc_ignore_unsupported_values", "true",
        "jdbc_schema_term", "schema", "max_open_connections", "100", "clickhouse_setting_session_timezone", "Asia/Tokyo"
      };
      try (Connection other = connect(run, options)) {
        var found = ask(other, "SELECT value='1' FROM system.settings WHERE name='cloud_mode'");
        found.addAll(ask(other, "SELECT timezone() AS tz"));
        String[] types = {"TABLE", "VIEW", "FOREIGN TABLE", "REMOTE TABLE", "DICTIONARY", "MATERIALIZED VIEW"};
        found.addAll(column(other.getMetaData().getTables(null, run.get("views"), "%", types), "TABLE_NAME"));
        return found;
      }
    });
    step("query timeout", () -> {
      try (Connection other = connect(run); Statement statement = other.createStatement()) {
        statement.setQueryTimeout(1200);
        statement.setMaxRows(1);
        return column(statement.executeQuery("SELECT number FROM numbers(1)"), 1);
      }
    });
    step("compressed requests", () -> {
      try (Connection other = connect(run, "decompress", "true")) {
        return ask(other, "SELECT 1");
      }
    });
    step("HTTP compression", () -> {
      try (Connection other = connect(run, "client.use_http_compression", "true")) {
        return ask(other, "SELECT 1");
      }
    });
  }
}
