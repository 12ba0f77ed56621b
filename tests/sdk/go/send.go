// Sends with Segment's unmodified library for Go. Input and output are those of ../python/send.py.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"

	"gopkg.in/segmentio/analytics-go.v3"
)

type call [2]json.RawMessage

type scenario struct {
	Host, Key      string
	Calls, Leaving []call
}

// results counts the messages that are settled and keeps a line for each one that the library abandoned.
type results struct {
	pending sync.WaitGroup
	mutex   sync.Mutex
	failed  []string
	notSent []string
}

func (r *results) Success(analytics.Message) { r.pending.Done() }

func (r *results) Failure(_ analytics.Message, err error) {
	r.mutex.Lock()
	r.failed = append(r.failed, err.Error())
	r.mutex.Unlock()
	r.pending.Done()
}

// message returns the message of a call. The fields of the library's types have the names of the JSON members.
func message(method string, fields json.RawMessage) (analytics.Message, error) {
	switch method {
	case "track":
		m := analytics.Track{}
		return read(fields, &m, func() analytics.Message { return m })
	case "identify":
		m := analytics.Identify{}
		return read(fields, &m, func() analytics.Message { return m })
	case "page":
		m := analytics.Page{}
		return read(fields, &m, func() analytics.Message { return m })
	case "screen":
		m := analytics.Screen{}
		return read(fields, &m, func() analytics.Message { return m })
	case "group":
		m := analytics.Group{}
		return read(fields, &m, func() analytics.Message { return m })
	case "alias":
		m := analytics.Alias{}
		return read(fields, &m, func() analytics.Message { return m })
	}
	return nil, fmt.Errorf("unknown method %s", method)
}

func read(fields json.RawMessage, target any, value func() analytics.Message) (analytics.Message, error) {
	err := json.Unmarshal(fields, target)
	return value(), err
}

func (r *results) enqueue(client analytics.Client, calls []call) {
	for _, call := range calls {
		var method string
		check(json.Unmarshal(call[0], &method))
		message, err := message(method, call[1])
		check(err)
		r.pending.Add(1)
		if err := client.Enqueue(message); err != nil {
			r.notSent = append(r.notSent, err.Error())
			r.pending.Done()
		}
	}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func main() {
	var input scenario
	check(json.NewDecoder(os.Stdin).Decode(&input))
	results := &results{failed: []string{}, notSent: []string{}}
	config := analytics.Config{Endpoint: input.Host, Interval: 500 * time.Millisecond, Callback: results}
	client, err := analytics.NewWithConfig(input.Key, config)
	check(err)
	results.enqueue(client, input.Calls)
	results.pending.Wait()
	results.enqueue(client, input.Leaving)
	check(client.Close())
	check(json.NewEncoder(os.Stdout).Encode(map[string][]string{"failed": results.failed, "notSent": results.notSent}))
}
