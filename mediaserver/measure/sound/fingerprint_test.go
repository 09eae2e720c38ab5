package sound

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/streampair/streampair/hack/seeded"
)

func TestFingerprintTravelsAsText(t *testing.T) {
	r := seeded.Rand(t)
	var want, got Fingerprint
	for i := range want {
		seeded.Fill(r, want[i][:])
	}
	text, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	if len(text) > 110 {
		t.Errorf("the text has %d bytes", len(text))
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestOtherTextIsNoFingerprint(t *testing.T) {
	good := strings.Repeat("A", 107)
	for name, text := range map[string]string{
		"nothing":    "",
		"too short":  good[1:],
		"too long":   good + "A",
		"no base64":  "!" + good[1:],
		"line break": "\n" + good[1:],
	} {
		t.Run(name, func(t *testing.T) {
			var f Fingerprint
			if err := f.UnmarshalText([]byte(text)); err == nil {
				t.Errorf("%q is accepted", text)
			}
		})
	}
}
