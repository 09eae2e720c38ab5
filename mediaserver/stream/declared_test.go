package stream

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"
)

func TestAStreamThatNoStreamPairNames(t *testing.T) {
	var logged bytes.Buffer
	r := NewRegistry(Config{Logger: slog.New(slog.NewTextHandler(&logged, nil))})
	publish := func(k Key) *Publication {
		t.Helper()
		p, err := r.Publish(PublishRequest{Key: k, Protocol: "rtmp"})
		must(t, err)
		t.Cleanup(func() { p.End(EndClosed) })
		return p
	}
	told := func(p *Publication) string {
		snap := p.Stream().Snapshot()
		i := slices.IndexFunc(snap.Warnings, func(w Warning) bool { return w.Code == warningUndeclared })
		if (i >= 0) != snap.Undeclared {
			t.Errorf("undeclared: %v, and the warnings are %v", snap.Undeclared, snap.Warnings)
		}
		if i < 0 {
			return ""
		}
		return snap.Warnings[i].Message
	}
	early := publish(Key{"live", "Primray"})
	if got := told(early); got != "" {
		t.Errorf("without any StreamPair: %q", got)
	}
	r.Declare([]Key{{"live", "primary"}, {"live", "backup"}})
	if got := told(early); !strings.Contains(got, "live/primary") {
		t.Errorf("misspelt: %q", got)
	}
	if got := told(publish(Key{"life", "backup"})); !strings.Contains(got, "live/backup") {
		t.Errorf("another app: %q", got)
	}
	if got := told(publish(Key{"live", "primary"})); got != "" {
		t.Errorf("declared: %q", got)
	}
	if n := strings.Count(logged.String(), "level=WARN"); n != 2 {
		t.Errorf("%d warnings in the log, want 2: %s", n, &logged)
	}
	r.Declare([]Key{{"live", "Primray"}})
	if got := told(early); got != "" {
		t.Errorf("declared later: %q", got)
	}
}

func TestEditDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"kitten", "sitting", 3}, {"ABC", "abc", 0}, {"ab", "ba", 2}} {
		if got := editDistance(tt.a, tt.b); got != tt.want {
			t.Errorf("%q and %q: %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}
