package permit

import (
	"testing"
)

func TestAllowedPodMetadata(t *testing.T) {
	for _, tt := range []struct {
		allowed, key, value string
		want                bool
	}{
		{"example.com/owner", "example.com/owner", "anything", true},
		{"example.com/owner", "example.com/owner2", "anything", false},
		{"example.com/owner=video", "example.com/owner", "video", true},
		{"example.com/owner=video", "example.com/owner", "audio", false},
		{"example.com/*", "example.com/owner", "x", true},
		{"example.com/*", "example.org/owner", "x", false},
		{"example.com/*=x", "example.com/owner", "x", true},
		{"example.com/*=x", "example.com/owner", "y", false},
		{"example.com/owner=", "example.com/owner", "", true},
	} {
		allowed, err := ParsePodMetadata(tt.allowed)
		if err != nil {
			t.Fatal(err)
		}
		if got := allowed.allows(tt.key, tt.value); got != tt.want {
			t.Errorf("%s for %s=%s: %v", tt.allowed, tt.key, tt.value, got)
		}
	}
	for _, wrong := range []string{"", "*", "=x", "*=x", "a b", "a/b/c", "/a"} {
		if _, err := ParsePodMetadata(wrong); err == nil {
			t.Errorf("%q is taken", wrong)
		}
	}
}
