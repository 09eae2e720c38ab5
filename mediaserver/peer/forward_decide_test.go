package peer

import (
	"testing"

	"github.com/streampair/streampair/mediaserver/signalling"
)

func TestWhoAnswersARequest(t *testing.T) {
	own := signalling.Origin{Role: "p", BootID: "00000001"}
	mine := own.NewID()
	before := signalling.Origin{Role: "p", BootID: "00000002"}.NewID()
	others := signalling.Origin{Role: "b", BootID: "00000003"}.NewID()
	for _, tt := range []struct {
		name            string
		id              string
		marked, trusted bool
		want            verdict
	}{
		{"own session", mine, false, false, here},
		{"a session of the other leg's pod", others, false, false, there},
		{"a session of this leg's pod before", before, false, false, here},
		{"no session", "", false, false, here},
		{"no id", "b00000003x", false, false, here},
		{"an id with something behind", others + "0", false, false, here},
		{"an id with no digits", others[:40] + "g", false, false, here},
		{"an id in capitals", others[:1] + "ABCDEF00" + others[9:], false, false, here},
		{"of a leg that does not exist", "x" + others[1:], false, false, here},
		{"forwarded to where it is", mine, true, true, here},
		{"forwarded to where it is not", others, true, true, here},
		{"forwarded by a stranger", mine, true, false, forged},
		{"forwarded by a stranger, of another's session", others, true, false, forged},
		{"forwarded by a stranger, without a session", "", true, false, forged},
	} {
		if got := decide(own, tt.id, tt.marked, tt.trusted); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}
