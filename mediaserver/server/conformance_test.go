package server

import (
	"bytes"
	"strings"
	"testing"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/conformance"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

// conforms fails the test for each check that fails, MUST or SHOULD.
func conforms(t *testing.T, cfg conformance.Config, mayBeSkipped ...string) {
	t.Helper()
	report := conformance.Run(t.Context(), cfg)
	var table bytes.Buffer
	if err := report.WriteTable(&table); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s\n%s", cfg.URL, &table)
	allowed := map[string]bool{}
	for _, name := range mayBeSkipped {
		allowed[name] = true
	}
	for _, r := range report.Results {
		if r.Outcome == conformance.Fail || r.Outcome == conformance.Skipped && !allowed[r.Check] {
			t.Errorf("%s: %s (%s, %s): %s", r.Check, r.Outcome, r.Level, r.Section, r.Seen)
		}
	}
}

// The server passes all checks of the commands check-whep and check-whip.
func TestWHEPConforms(t *testing.T) {
	t.Parallel()
	s := startServer(t, strings.Replace(sticky, "publish:", "playback: {auth: Token}\n  publish:", 1))
	s.replay("primary", mediatest.Programme{}, mediatest.ReplayOptions{})
	s.onAir("primary", true, false)
	conforms(t, conformance.Config{
		Protocol: conformance.WHEP, URL: s.url("whep/primary", "backupStreamId", "backup"), Token: s.Manifest().Pairs[0].Keys.PlayToken,
	}, "409 comes with Retry-After", "ice-server links are complete")
}

func TestWHIPConforms(t *testing.T) {
	t.Parallel()
	s := startServer(t, strings.Replace(sticky, "publish: {auth: None}", "publish: {auth: Token}", 1))
	eventually.True(t, "the manifest is in force", func() bool { return len(s.Manifest().Pairs) == 1 })
	conforms(t, conformance.Config{Protocol: conformance.WHIP, URL: s.url("whip/primary"), Token: s.Manifest().Pairs[0].Keys.PublishToken},
		"ice-server links are complete")
}
