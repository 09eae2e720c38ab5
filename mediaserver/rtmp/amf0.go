package rtmp

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
)

// AMF0 type markers, "Action Message Format -- AMF 0" section 2.1.
const (
	amfNumber      = 0
	amfBoolean     = 1
	amfString      = 2
	amfObject      = 3
	amfNull        = 5
	amfUndefined   = 6
	amfReference   = 7
	amfECMAArray   = 8
	amfObjectEnd   = 9
	amfStrictArray = 10
	amfDate        = 11
	amfLongString  = 12
	amfUnsupported = 13
	amfXML         = 15
	amfTypedObject = 16
)

// A usual connect command nests twice and has some twenty values.
const (
	maxAMFDepth  = 8
	maxAMFValues = 512
)

var (
	errAMFShort = errors.New("AMF0 value is cut off")
	errAMFDeep  = fmt.Errorf("AMF0 values nest deeper than %d", maxAMFDepth)
	errAMFMany  = fmt.Errorf("more than %d AMF0 values", maxAMFValues)
)

// An amfReader reads AMF0 values into Go values: float64, bool, string, and map[string]any for
// objects and ECMA arrays. It skips all other values and returns nil for them.
type amfReader struct {
	p    []byte
	left int // values that may still come
}

// amfValues returns all values in p.
func amfValues(p []byte) ([]any, error) {
	r := amfReader{p: p, left: maxAMFValues}
	var out []any
	for len(r.p) > 0 {
		v, err := r.value(maxAMFDepth)
		if err != nil {
			return out, err
		}
		out = append(out, v)
	}
	return out, nil
}

func (r *amfReader) take(n int) ([]byte, error) {
	if n > len(r.p) {
		return nil, errAMFShort
	}
	b := r.p[:n]
	r.p = r.p[n:]
	return b, nil
}

func (r *amfReader) value(depth int) (any, error) {
	if depth == 0 {
		return nil, errAMFDeep
	}
	if r.left == 0 {
		return nil, errAMFMany
	}
	r.left--
	marker, err := r.take(1)
	if err != nil {
		return nil, err
	}
	switch marker[0] {
	case amfNumber:
		b, err := r.take(8)
		if err != nil {
			return nil, err
		}
		return math.Float64frombits(binary.BigEndian.Uint64(b)), nil
	case amfBoolean:
		b, err := r.take(1)
		if err != nil {
			return nil, err
		}
		return b[0] != 0, nil
	case amfString:
		return r.text(2)
	case amfLongString, amfXML:
		return r.text(4)
	case amfObject:
		return r.object(depth, false)
	case amfECMAArray:
		if _, err := r.take(4); err != nil { // the count is only a hint
			return nil, err
		}
		return r.object(depth, true)
	case amfTypedObject:
		if _, err := r.text(2); err != nil {
			return nil, err
		}
		return r.object(depth, false)
	case amfStrictArray:
		return nil, r.skipArray(depth)
	case amfNull, amfUndefined, amfUnsupported:
		return nil, nil
	case amfReference:
		_, err := r.take(2)
		return nil, err
	case amfDate:
		_, err := r.take(10)
		return nil, err
	}
	return nil, fmt.Errorf("AMF0 marker %d", marker[0])
}

// text reads a string after its length. It leaves out invalid UTF-8, because go-amf0
// fails on it. No string that is needed here has any.
func (r *amfReader) text(lengthSize int) (string, error) {
	b, err := r.take(lengthSize)
	if err != nil {
		return "", err
	}
	n := uint32(0)
	for _, v := range b {
		n = n<<8 | uint32(v)
	}
	if uint64(n) > uint64(len(r.p)) {
		return "", errAMFShort
	}
	b, err = r.take(int(n))
	return strings.ToValidUTF8(string(b), ""), err
}

func (r *amfReader) object(depth int, array bool) (map[string]any, error) {
	out := make(map[string]any)
	for {
		if array && len(r.p) == 0 {
			return out, nil // some encoders omit the end marker
		}
		key, err := r.text(2)
		if err != nil {
			return nil, err
		}
		if key == "" && len(r.p) > 0 && r.p[0] == amfObjectEnd {
			r.p = r.p[1:]
			return out, nil
		}
		v, err := r.value(depth - 1)
		if err != nil {
			return nil, err
		}
		out[key] = v
	}
}

func (r *amfReader) skipArray(depth int) error {
	b, err := r.take(4)
	if err != nil {
		return err
	}
	for range binary.BigEndian.Uint32(b) { // maxAMFValues ends the loop
		if _, err := r.value(depth - 1); err != nil {
			return err
		}
	}
	return nil
}

// A property is one property of an object to write. The order of properties is kept.
type property struct {
	key   string
	value string
}

// appendAMF appends values. Each is a float64, string, []property or nil.
func appendAMF(b []byte, values ...any) []byte {
	for _, v := range values {
		switch v := v.(type) {
		case float64:
			b = binary.BigEndian.AppendUint64(append(b, amfNumber), math.Float64bits(v))
		case string:
			b = appendAMFText(append(b, amfString), v)
		case []property:
			b = append(b, amfObject)
			for _, p := range v {
				b = appendAMFText(b, p.key)
				b = appendAMFText(append(b, amfString), p.value)
			}
			b = append(b, 0, 0, amfObjectEnd)
		default:
			b = append(b, amfNull)
		}
	}
	return b
}

// maxText bounds a string, in bytes. Its 16-bit length allows 64 KB.
const maxText = 4 << 10

func appendAMFText(b []byte, s string) []byte {
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "")
	}
	b = binary.BigEndian.AppendUint16(b, uint16(len(s)))
	return append(b, s...)
}
