// Package sequence reads topics of Sequence events exactly once: the source offset rule as one file to copy.
// docs/consumers.md explains the rule.
package sequence

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

var (
	ErrInvalidOrigin  = errors.New("the record has no source offset")
	ErrMissedRecords  = errors.New("records were not read: they have expired, or the consumer skipped them")
	ErrRecreatedTopic = errors.New("the stored state belongs to another topic")
	ErrInvalidState   = errors.New("the stored state was not written by State")
)

// Header is a header of a record. The headers of franz-go, Sarama and confluent-kafka-go have this shape.
type Header struct {
	Key   string
	Value []byte
}

type position struct {
	Next    *int64          `json:"next_offset"`
	Highest map[int32]int64 `json:"source_offsets"`
}

// SourceOffsets tells new records of one topic from repeats. It is for one goroutine.
type SourceOffsets struct {
	partitions map[int32]position
}

// Resume continues a partition from a stored state and returns the offset to seek to. Call it after each assignment.
// Without a state, nil, it is the first start: the result is logStart, but any other offset is possible.
func (s *SourceOffsets) Resume(partition int32, state []byte, logStart, logEnd int64) (int64, error) {
	known := position{Highest: map[int32]int64{}}
	start := logStart
	if state != nil {
		if err := json.Unmarshal(state, &known); err != nil || known.Next == nil || known.Highest == nil {
			return 0, fmt.Errorf("partition %d: %w: %q", partition, ErrInvalidState, state)
		}
		start = *known.Next
	}
	if start < logStart {
		return 0, fmt.Errorf("partition %d: %w: offsets %d to %d", partition, ErrMissedRecords, start, logStart-1)
	}
	if start > logEnd && state != nil {
		return 0, fmt.Errorf("partition %d: %w: it ends at offset %d, not %d", partition, ErrRecreatedTopic, logEnd, start)
	}
	if s.partitions == nil {
		s.partitions = map[int32]position{}
	}
	s.partitions[partition] = known
	return start, nil
}

// IsNew reports whether a record is to be processed, and remembers it. After an error nothing is remembered.
func (s *SourceOffsets) IsNew(partition int32, offset int64, headers []Header) (bool, error) {
	known, ok := s.partitions[partition]
	if !ok {
		return false, fmt.Errorf("partition %d: call Resume first", partition)
	}
	next := offset
	if known.Next != nil {
		next = *known.Next
	}
	if offset > next {
		return false, fmt.Errorf("partition %d: %w: offsets %d to %d", partition, ErrMissedRecords, next, offset-1)
	}
	source, origin, err := originOf(partition, headers)
	if err != nil {
		return false, fmt.Errorf("partition %d, offset %d: %w", partition, offset, err)
	}
	highest, seen := known.Highest[source]
	isNew := !seen || origin > highest
	if isNew && offset < next {
		return false, fmt.Errorf("partition %d, offset %d: %w", partition, offset, ErrRecreatedTopic)
	}
	if isNew {
		known.Highest[source] = origin
	}
	next = max(next, offset+1)
	known.Next = &next
	s.partitions[partition] = known
	return isNew, nil
}

// State returns the state to store, in the transaction of the output or as the metadata of the Kafka commit; nil before
// the first record.
func (s *SourceOffsets) State(partition int32) []byte {
	known := s.partitions[partition]
	if known.Next == nil {
		return nil
	}
	state, _ := json.Marshal(known) // numbers alone
	return state
}

func originOf(partition int32, headers []Header) (source int32, origin int64, err error) {
	source, origin = partition, -1
	for _, header := range headers {
		bits, known := map[string]int{"origin": 63, "origin_partition": 31}[header.Key]
		if !known {
			continue
		}
		number, err := strconv.ParseUint(string(header.Value), 10, bits)
		if err != nil {
			return 0, 0, fmt.Errorf("%w: header %s is %q", ErrInvalidOrigin, header.Key, header.Value)
		}
		if header.Key == "origin" {
			origin = int64(number)
		} else {
			source = int32(number)
		}
	}
	if origin < 0 {
		return 0, 0, ErrInvalidOrigin
	}
	return source, origin, nil
}
