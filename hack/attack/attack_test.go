package main

import (
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/streampair/streampair/hack/seeded"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

// The test is a short soak: all inputs, mixed, against a playing pair of two servers.
func TestNothingThatStrangersSendTakesThePairFromItsViewers(t *testing.T) {
	mediatest.SkipInShort(t)
	if err := raiseFileLimit(); err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(t.TempDir(), "streampair-mediaserver")
	build := exec.Command("go", "build", "-trimpath", "-o", binary, "../../mediaserver/cmd/streampair-mediaserver")
	build.Env = append(build.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the media server: %v\n%s", err, out)
	}
	report, err := soak(t.Context(), soakConfig{
		binary: binary, duration: 30 * time.Second, sendFor: 2 * time.Second, killEvery: 10 * time.Second,
		seed: seeded.Seed(t), logf: t.Logf,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(report)
	if err := report.failure(); err != nil {
		t.Error(err)
	}
	if report.kills == 0 {
		t.Error("no encoder was killed: the soak has not shown a failover")
	}
}

func TestIsFlat(t *testing.T) {
	const mib = 1 << 20
	sizes := func(mebibytes ...int) (all []size) {
		for _, one := range mebibytes {
			all = append(all, size{rss: one * mib})
		}
		return all
	}
	for name, test := range map[string]struct {
		sizes []size
		flat  bool
	}{
		"steady":             {sizes(50, 60, 55, 58, 61, 59), true},
		"a peak in between":  {sizes(50, 60, 200, 58, 61, 59), true},
		"less at the end":    {sizes(150, 60, 55, 58, 61, 59), true},
		"grows all the time": {sizes(50, 60, 90, 120, 150, 180), false},
		"nothing was read":   {nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			if err := isFlat(test.sizes); (err == nil) != test.flat {
				t.Errorf("%v", err)
			}
		})
	}
}
