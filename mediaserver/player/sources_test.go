package player_test

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
)

// accessUnits splits an Annex B file of one slice per picture.
func accessUnits(t *testing.T, name string) [][]byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var units [][]byte
	var unit []byte
	for _, nalu := range splitAnnexB(data) {
		unit = append(append(unit, 0, 0, 0, 1), nalu...)
		if kind := nalu[0] & 0x1f; kind == 1 || kind == 5 {
			units = append(units, unit)
			unit = nil
		}
	}
	if len(units) < 2 {
		t.Fatalf("%s holds %d pictures", name, len(units))
	}
	return units
}

func splitAnnexB(data []byte) [][]byte {
	var nalus [][]byte
	for part := range strings.SplitSeq(string(data), "\x00\x00\x01") {
		if part = strings.TrimRight(part, "\x00"); part != "" {
			nalus = append(nalus, []byte(part))
		}
	}
	return nalus
}

// opusPackets reads an Ogg file with one packet per page (RFC 3533 section 6). It
// skips the two headers.
func opusPackets(t *testing.T, name string) [][]byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var packets [][]byte
	for len(data) >= 27 {
		segments := int(data[26])
		length := 0
		for _, n := range data[27 : 27+segments] {
			length += int(n)
		}
		start := 27 + segments
		packets = append(packets, slices.Clone(data[start:start+length]))
		data = data[start+length:]
	}
	if len(packets) < 12 {
		t.Fatal(errors.New(name + " holds no packets"))
	}
	return packets[2:]
}
