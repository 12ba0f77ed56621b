package sequence

import (
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"strconv"
	"testing"
)

type record struct {
	Partition       int32
	Offset          int64
	Origin          *string
	OriginPartition *string `json:"origin_partition"`
	Refused         string
}

type run struct {
	Assigned map[string]struct {
		State    json.RawMessage
		LogStart int64 `json:"log_start"`
		LogEnd   int64 `json:"log_end"`
		Start    int64
		Refused  string
	}
	Records, Lost []record
	Delivered     map[string][]int64
	Stored        map[string]any
}

var refusals = map[string]error{
	"":                nil,
	"invalid_origin":  ErrInvalidOrigin,
	"missed_records":  ErrMissedRecords,
	"recreated_topic": ErrRecreatedTopic,
}

func headers(r record) (found []Header) {
	for name, value := range map[string]*string{"origin": r.Origin, "origin_partition": r.OriginPartition} {
		if value != nil {
			found = append(found, Header{name, []byte(*value)})
		}
	}
	return found
}

func partition(t *testing.T, name string) int32 {
	number, err := strconv.ParseInt(name, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return int32(number)
}

func check(t *testing.T, number int, r run, consumer *SourceOffsets) {
	for name, given := range r.Assigned {
		state := []byte(given.State)
		if string(state) == "null" {
			state = nil
		}
		start, err := consumer.Resume(partition(t, name), state, given.LogStart, given.LogEnd)
		if !errors.Is(err, refusals[given.Refused]) || start != given.Start {
			t.Errorf("run %d: partition %s starts at %d (%v), expected %d (%q)", number, name, start, err, given.Start, given.Refused)
		}
	}
	delivered := map[string][]int64{}
	for name := range r.Delivered {
		delivered[name] = []int64{}
	}
	for _, record := range r.Records {
		isNew, err := consumer.IsNew(record.Partition, record.Offset, headers(record))
		if !errors.Is(err, refusals[record.Refused]) {
			t.Errorf("run %d: offset %d: %v, expected %q", number, record.Offset, err, record.Refused)
		}
		if isNew {
			name := strconv.Itoa(int(record.Partition))
			origin, _ := strconv.ParseInt(*record.Origin, 10, 64)
			delivered[name] = append(delivered[name], origin)
		}
	}
	if !reflect.DeepEqual(delivered, r.Delivered) {
		t.Errorf("run %d: delivered %v, expected %v", number, delivered, r.Delivered)
	}
	for name, expected := range r.Stored {
		var state any
		if err := json.Unmarshal(consumer.State(partition(t, name)), &state); err != nil || !reflect.DeepEqual(state, expected) {
			t.Errorf("run %d: the state of partition %s is %v, expected %v", number, name, state, expected)
		}
	}
	for _, record := range r.Lost {
		_, _ = consumer.IsNew(record.Partition, record.Offset, headers(record))
	}
}

func TestVectors(t *testing.T) {
	text, err := os.ReadFile(os.Getenv("CONSUMER_VECTORS"))
	if err != nil {
		t.Fatal(err)
	}
	var vectors struct {
		Cases []struct {
			Name, Rule string
			Runs       []run
		}
	}
	if err := json.Unmarshal(text, &vectors); err != nil {
		t.Fatal(err)
	}
	for _, vector := range vectors.Cases {
		if vector.Rule != "source_offset" {
			continue
		}
		t.Run(vector.Name+"/restarted", func(t *testing.T) {
			for number, run := range vector.Runs {
				check(t, number, run, &SourceOffsets{})
			}
		})
		t.Run(vector.Name+"/reassigned", func(t *testing.T) {
			consumer := &SourceOffsets{}
			for number, run := range vector.Runs {
				check(t, number, run, consumer)
			}
		})
	}
}
