// Package tensorboard writes scalars as event files, which TensorBoard draws.
package tensorboard

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"path/filepath"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/meshbench/meshbench/lab/internal/atomicfile"
)

// File is the name of the event file in its folder: TensorBoard looks for
// "tfevents".
const File = "events.out.tfevents.meshbench"

// Events are scalars over steps. The zero value has none.
type Events struct {
	records []byte
}

// Add adds the value of a scalar after a number of steps; seconds is when that was,
// since the beginning. Scalars of one name before a slash are shown together. A
// value that is not a number is left out.
func (e *Events) Add(step int, seconds float64, tag string, v float64) {
	if math.IsNaN(v) {
		return
	}
	// Messages of tensorflow/core/util/event.proto and framework/summary.proto.
	var value, summary []byte
	value = protowire.AppendString(protowire.AppendTag(value, 1, protowire.BytesType), tag)
	value = protowire.AppendFixed32(protowire.AppendTag(value, 2, protowire.Fixed32Type), math.Float32bits(float32(v)))
	summary = protowire.AppendBytes(protowire.AppendTag(summary, 1, protowire.BytesType), value)
	var event []byte
	event = protowire.AppendFixed64(protowire.AppendTag(event, 1, protowire.Fixed64Type), math.Float64bits(seconds))
	event = protowire.AppendVarint(protowire.AppendTag(event, 2, protowire.VarintType), uint64(step))
	event = protowire.AppendBytes(protowire.AppendTag(event, 5, protowire.BytesType), summary)
	e.records = append(e.records, record(event)...)
}

// record frames an event: its length and itself, each with a checksum.
func record(event []byte) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(event)))
	b = binary.LittleEndian.AppendUint32(b, masked(b))
	b = append(b, event...)
	return binary.LittleEndian.AppendUint32(b, masked(event))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// masked is the checksum of record files.
func masked(b []byte) uint32 {
	c := crc32.Checksum(b, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}

// Write writes the events into File in dir, in place of what was there; whole or
// not at all.
func (e *Events) Write(dir string) error {
	version := protowire.AppendString(protowire.AppendTag(nil, 3, protowire.BytesType), "brain.Event:2")
	if err := atomicfile.Write(filepath.Join(dir, File), append(record(version), e.records...)); err != nil {
		return fmt.Errorf("tensorboard: %w", err)
	}
	return nil
}
