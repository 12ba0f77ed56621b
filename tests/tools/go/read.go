// Reads with ClickHouse's unmodified client for Go over HTTP, and sends the queries of Grafana's data source, which uses
// that client. Input and output are those of ../python/steps.py.
package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
)

type run struct {
	Host, User, Password, Database, Views, View, JSON, Property, Revenue, Write string
	Port                                                                        int
	Range                                                                       struct{ Since, Until string }
}

func step(name string, call func() (any, error)) {
	outcome := map[string]any{"step": name}
	if shown, err := call(); err != nil {
		outcome["error"] = err.Error()
	} else {
		outcome["shown"] = shown
	}
	line, err := json.Marshal(outcome)
	if err != nil {
		line, _ = json.Marshal(map[string]any{"step": name, "error": err.Error()})
	}
	fmt.Println(string(line))
}

func (asked run) open(method clickhouse.CompressionMethod, settings clickhouse.Settings) *sql.DB {
	return clickhouse.OpenDB(&clickhouse.Options{
		Protocol:    clickhouse.HTTP,
		Addr:        []string{fmt.Sprintf("%s:%d", asked.Host, asked.Port)},
		Auth:        clickhouse.Auth{Database: asked.Database, Username: asked.User, Password: asked.Password},
		Compression: &clickhouse.Compression{Method: method},
		Settings:    settings,
		DialTimeout: 10 * time.Second,
		ReadTimeout: 60 * time.Second,
		ClientInfo:  clickhouse.ClientInfo{Products: []struct{ Name, Version string }{{"grafana", "12.0.0"}}},
	})
}

func ask(database *sql.DB, query string, arguments ...any) (any, error) {
	rows, err := database.QueryContext(context.Background(), query, arguments...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if err != nil {
		return nil, err
	}
	found := [][]any{}
	for rows.Next() {
		row, targets := make([]any, len(columns)), make([]any, len(columns))
		for at := range row {
			targets[at] = &row[at]
		}
		if err := rows.Scan(targets...); err != nil {
			return nil, err
		}
		for at, value := range row {
			if _, err := json.Marshal(value); err != nil {
				row[at] = fmt.Sprint(value)
			}
		}
		found = append(found, row)
	}
	return found, rows.Err()
}

func main() {
	var asked run
	if err := json.NewDecoder(os.Stdin).Decode(&asked); err != nil {
		panic(err)
	}
	database := asked.open(clickhouse.CompressionGZIP, nil)
	query := func(sql string, arguments ...any) func() (any, error) {
		return func() (any, error) { return ask(database, sql, arguments...) }
	}
	since, _ := time.Parse(time.DateTime, asked.Range.Since)
	until, _ := time.Parse(time.DateTime, asked.Range.Until)
	step("connect", func() (any, error) { return "", database.Ping() })
	step("databases", query("SHOW DATABASES"))
	step("tables", query(fmt.Sprintf(`SHOW TABLES FROM "%s"`, asked.Database)))
	step("columns", query(fmt.Sprintf(`DESC TABLE "%s"."order_completed"`, asked.Views)))
	step("json", query(asked.JSON))
	step("property", query(asked.Property))
	step("view", query(asked.Revenue))
	step("time", query("SELECT count() FROM "+asked.View+" WHERE timestamp >= ? AND timestamp < ?", since, until))
	step("error", query("SELECT * FROM nothing"))
	step("write", func() (any, error) { return database.Exec(asked.Write) })
	for name, method := range map[string]clickhouse.CompressionMethod{
		"lz4": clickhouse.CompressionLZ4, "zstd": clickhouse.CompressionZSTD, "none": clickhouse.CompressionNone,
		"deflate": clickhouse.CompressionDeflate, "br": clickhouse.CompressionBrotli,
	} {
		step("compression "+name, func() (any, error) {
			return ask(asked.open(method, nil), "SELECT max(number) FROM (SELECT number FROM numbers(300000))")
		})
	}
	step("settings", func() (any, error) {
		return ask(asked.open(clickhouse.CompressionGZIP, clickhouse.Settings{"max_threads": 2, "limit": 1000}), "SELECT 1")
	})
	step("limit", func() (any, error) {
		return ask(asked.open(clickhouse.CompressionGZIP, clickhouse.Settings{"max_execution_time": 0}), "SELECT 1")
	})
	bucket := "toStartOfInterval(toDateTime(timestamp), INTERVAL 86400 second)"
	filter := fmt.Sprintf("timestamp >= toDateTime(%d) AND timestamp <= toDateTime(%d)", since.Unix(), until.Unix())
	filterMs := fmt.Sprintf("timestamp >= fromUnixTimestamp64Milli(%d) AND timestamp <= fromUnixTimestamp64Milli(%d)", since.UnixMilli(), until.UnixMilli())
	// The client sends the time that is left, and 5 seconds, as max_execution_time. 60 seconds are Grafana's default.
	for name, seconds := range map[string]time.Duration{"deadline": 60, "long deadline": 600} {
		step(name, func() (any, error) {
			deadline, cancel := context.WithTimeout(context.Background(), seconds*time.Second)
			defer cancel()
			var one int64
			err := database.QueryRowContext(deadline, "SELECT toInt64(1)").Scan(&one)
			return one, err
		})
	}
	step("grafana version", query("SELECT version()"))
	step("grafana functions", query("SELECT name, is_aggregate, case_insensitive, alias_to, origin, description, syntax, arguments, returned_value, examples, categories FROM system.functions LIMIT 10000"))
	step("grafana series", query("SELECT "+bucket+" AS time, sum(num(price)) FROM "+asked.View+" WHERE "+filter+" GROUP BY time ORDER BY time"))
	step("grafana milliseconds", query("SELECT count() FROM "+asked.View+" WHERE "+filterMs))
	step("grafana columns", query("SELECT name, type, table FROM system.columns WHERE database IN ('"+asked.Views+"') AND table = 'order_completed'"))
	step("grafana json paths", query(`SELECT arrayJoin(distinctJSONPathsAndTypes(properties)) FROM "`+asked.Views+`"."order_completed" SETTINGS max_execution_time=10`))
	step("grafana values", query("SELECT DISTINCT `plan` FROM `"+asked.Views+"`.`order_completed` WHERE `plan` IS NOT NULL LIMIT 1000"))
}
