package stream

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
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

// Strangers can ask for streams: with HTTP-FLV a request is enough.
func TestAskingForAStreamComparesNoNames(t *testing.T) {
	allocations := func(declared int) float64 {
		r := NewRegistry(Config{MaxStreams: 1 << 20})
		var keys []Key
		for i := range declared {
			keys = append(keys, Key{"live", fmt.Sprintf("stream-%d", i)})
		}
		r.Declare(keys)
		n := 0
		return testing.AllocsPerRun(100, func() {
			r.Stream(Key{"live", fmt.Sprintf("unknown-%d", n)})
			n++
		})
	}
	if few, many := allocations(2), allocations(1000); many > few+100 {
		t.Errorf("a stream takes %v allocations where 2 are declared, and %v where 1000 are", few, many)
	}
}

func TestAStreamIsAdvisedOfEachDeclaration(t *testing.T) {
	var logged bytes.Buffer
	r := NewRegistry(Config{Logger: slog.New(slog.NewTextHandler(&logged, nil))})
	key := Key{"live", "Primray"}
	r.Declare([]Key{{"live", "primary"}})
	r.Stream(key)
	r.Declare([]Key{{"live", "premiere"}})
	p, err := r.Publish(PublishRequest{Key: key, Protocol: "rtmp"})
	must(t, err)
	r.Declare([]Key{{"live", "premiere"}, {"live", "other"}}) // this changes nothing for the publisher
	p.End(EndClosed)
	r.Declare([]Key{{"live", "primary"}})
	p, err = r.Publish(PublishRequest{Key: key, Protocol: "rtmp"})
	must(t, err)
	p.End(EndClosed)
	p, err = r.Publish(PublishRequest{Key: key, Protocol: "rtmp"})
	must(t, err)
	defer p.End(EndClosed)
	var told []string
	for line := range strings.Lines(logged.String()) {
		if _, name, is := strings.Cut(line, "one names is live/"); is {
			name, _, _ = strings.Cut(name, ":")
			told = append(told, name)
		}
	}
	if diff := cmp.Diff([]string{"premiere", "primary", "primary"}, told); diff != "" {
		t.Error(diff)
	}
}

func TestEditDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"kitten", "sitting", 3}, {"ABC", "abc", 0}, {"ab", "ba", 2}, {strings.Repeat("a", comparedLetters) + "b", strings.Repeat("a", comparedLetters) + "cd", 0}} {
		if got := editDistance(tt.a, tt.b); got != tt.want {
			t.Errorf("%q and %q: %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}
