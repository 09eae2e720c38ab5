package sdpfrag

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// rfc9725 is the example of RFC 9725 section 4.3.2.
const rfc9725 = `a=group:BUNDLE 0 1
m=audio 9 UDP/TLS/RTP/SAVPF 111
a=mid:0
a=ice-ufrag:EsAw
a=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1
a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1
a=candidate:3471623853 1 udp 2122194687 198.51.100.1 61765 typ host generation 0 ufrag EsAw network-id 2
a=candidate:473322822 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active generation 0 ufrag EsAw network-id 1
a=end-of-candidates
`

func TestParse(t *testing.T) {
	tests := map[string]struct {
		body string
		want Fragment
	}{
		"empty": {"", Fragment{}},
		"RFC 9725 example, LF": {rfc9725, Fragment{
			Ufrag: "EsAw", Password: "P2uYro0UCOQ4zxjKXaWCBui1", EndOfCandidates: true,
			Candidates: []Candidate{
				{"0", "candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw network-id 1"},
				{"0", "candidate:3471623853 1 udp 2122194687 198.51.100.1 61765 typ host generation 0 ufrag EsAw network-id 2"},
				{"0", "candidate:473322822 1 tcp 1518280447 192.0.2.1 9 typ host tcptype active generation 0 ufrag EsAw network-id 1"},
			},
		}},
		"candidate ahead of any section, CRLF": {
			"a=candidate:1 1 UDP 1 x.local 1 typ host\r\n",
			Fragment{Candidates: []Candidate{{"", "candidate:1 1 UDP 1 x.local 1 typ host"}}},
		},
		"a new section forgets the mid": {
			"m=audio 9 X 0\na=mid:a\nm=video 9 X 0\na=candidate:1 1 udp 1 192.0.2.1 1 typ srflx raddr 0.0.0.0 rport 0\n",
			Fragment{Candidates: []Candidate{{"", "candidate:1 1 udp 1 192.0.2.1 1 typ srflx raddr 0.0.0.0 rport 0"}}},
		},
		"Firefox's foundation": {
			"a=candidate:{0f0f0f0f-1111-2222-3333-44} 1 udp 1 192.0.2.1 1 typ host",
			Fragment{Candidates: []Candidate{{"", "candidate:{0f0f0f0f-1111-2222-3333-44} 1 udp 1 192.0.2.1 1 typ host"}}},
		},
		"other attributes are skipped": {"v=0\na=ice-options:trickle ice2\na=ice-lite\na=setup:actpass\n", Fragment{}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := Parse([]byte(test.body))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestCandidatesBeyondTheBoundAreIgnored(t *testing.T) {
	const candidate = "a=candidate:1 1 udp 1 192.0.2.1 1 typ host\n"
	f, err := Parse([]byte(strings.Repeat(candidate, MaxCandidates+10) + "a=end-of-candidates\n"))
	if err != nil || len(f.Candidates) != MaxCandidates || f.Surplus != 10 || !f.EndOfCandidates {
		t.Errorf("%d candidates, %d left out, end %t, %v", len(f.Candidates), f.Surplus, f.EndOfCandidates, err)
	}
}

func TestAnUnreadableCandidateIsLeftOutAlone(t *testing.T) {
	const good = "candidate:1 1 udp 1 192.0.2.1 1 typ host"
	for name, bad := range map[string]string{
		"few fields":  "1 1 udp 1",
		"odd fields":  "1 1 udp 1 192.0.2.1 1 typ host generation",
		"component":   "1 0 udp 1 192.0.2.1 1 typ host",
		"component 2": "1 257 udp 1 192.0.2.1 1 typ host",
		"transport":   "1 1 sctp 1 192.0.2.1 1 typ host",
		"priority":    "1 1 udp -1 192.0.2.1 1 typ host",
		"address":     "1 1 udp 1 " + strings.Repeat("x", 256) + " 1 typ host",
		"port":        "1 1 udp 1 192.0.2.1 65536 typ host",
		"no typ":      "1 1 udp 1 192.0.2.1 1 host typ",
		"type":        "1 1 udp 1 192.0.2.1 1 typ client",
		"foundation":  strings.Repeat("1", 33) + " 1 udp 1 192.0.2.1 1 typ host",
		"its letters": "! 1 udp 1 192.0.2.1 1 typ host",
		"nothing":     "",
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Parse([]byte("a=candidate:" + bad + "\na=" + good + "\n"))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(Fragment{Candidates: []Candidate{{"", good}}, Unreadable: 1}, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	tests := map[string]struct {
		body, want string
	}{
		"not SDP":                   {"hello", "line 1: not of the form"},
		"password missing":          {"a=ice-ufrag:abcd", "come together"},
		"short ufrag":               {"a=ice-ufrag:abc\na=ice-pwd:0123456789012345678901", "line 1: ice-ufrag must have 4 to 256"},
		"short password":            {"a=ice-ufrag:abcd\na=ice-pwd:0123", "line 2: ice-pwd must have 22 to 256"},
		"space in ufrag":            {"a=ice-ufrag:ab cd\na=ice-pwd:0123456789012345678901", "not allowed"},
		"two sessions":              {"a=ice-ufrag:abcd\na=ice-ufrag:abce\n", "line 2: ice-ufrag differs"},
		"control character":         {"a=candidate:1 1 udp 1 192.0.2.1\x00 1 typ host", "control character"},
		"carriage return in a line": {"a=mid:0\ra=mid:1", "control character"},
		"mid":                       {"a=mid:", "mid"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got, err := Parse([]byte(test.body)); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %+v, %v; want an error with %q", got, err, test.want)
			}
		})
	}
	for name, body := range map[string]string{
		"too long a line": "a=x:" + strings.Repeat("x", 2000),
		"too large":       strings.Repeat("a=x\n", MaxSize),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Parse([]byte(body)); !errors.Is(err, ErrTooLarge) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// Parse does not panic on any input. What it accepts is bounded, and parses to the
// same when it is written again.
func FuzzParse(f *testing.F) {
	f.Add([]byte(rfc9725))
	f.Add([]byte(strings.ReplaceAll(rfc9725, "\n", "\r\n")))
	f.Add([]byte("a=ice-ufrag:abcd\na=ice-pwd:0123456789012345678901\n"))
	f.Add([]byte("a=candidate:1 1 udp 1 x.local 1 typ host"))
	f.Add([]byte("m=\na=mid:\na=\n="))
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := Parse(body)
		if err != nil {
			return
		}
		if len(got.Candidates) > MaxCandidates || got.Unreadable+got.Surplus > MaxSize || len(got.Ufrag) > 256 || len(got.Password) > 256 {
			t.Fatalf("not bounded: %+v", got)
		}
		var b strings.Builder
		if got.Ufrag != "" {
			fmt.Fprintf(&b, "a=ice-ufrag:%s\na=ice-pwd:%s\n", got.Ufrag, got.Password)
		}
		for _, c := range got.Candidates {
			b.WriteString("m=x\n")
			if c.Mid != "" {
				fmt.Fprintf(&b, "a=mid:%s\n", c.Mid)
			}
			fmt.Fprintf(&b, "a=%s\n", c.Value)
		}
		if got.EndOfCandidates {
			b.WriteString("a=end-of-candidates\n")
		}
		if b.Len() > MaxSize {
			return
		}
		again, err := Parse([]byte(b.String()))
		got.Unreadable, got.Surplus = 0, 0 // what was left out is not written
		if diff := cmp.Diff(got, again); err != nil || diff != "" {
			t.Fatalf("%v\n%s", err, diff)
		}
	})
}
