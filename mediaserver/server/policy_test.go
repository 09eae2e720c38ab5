package server

import (
	"testing"
	"time"

	"github.com/streampair/streampair/hack/eventually"
)

// blips stops and restarts the primary's encoder ten
// times. Each time the encoder is away for a second.
func (e encoders) blips() {
	e.t.Helper()
	s := e.s
	primary := e.primary()
	s.onAir("primary", true, false)
	e.backup()
	s.onAir("primary", true, true)
	for range 10 {
		primary.Kill()
		time.Sleep(time.Second)
		primary = e.primary()
		eventually.True(e.t, "both legs live", func() bool {
			p := s.pair("sunday")
			return p.OnAir && p.Legs[0].Live && p.Legs[1].Live
		})
	}
}

func TestTenBlipsOfTheEncoderAreOneSwitchWhenSticky(t *testing.T) {
	t.Parallel()
	s := startServer(t, sticky)
	newEncoders(t, s).blips()
	if p := s.pair("sunday"); p.Switches != 1 || p.Active != "Backup" {
		t.Errorf("%d switches, %s active; want 1, Backup", p.Switches, p.Active)
	}
}

func TestTenBlipsOfTheEncoderAreOneFailoverWhenThePrimaryIsPreferred(t *testing.T) {
	t.Parallel()
	s := startServer(t, preferPrimary)
	newEncoders(t, s).blips()
	if p := s.pair("sunday"); p.Switches != 1 || p.Active != "Backup" {
		t.Errorf("%d switches, %s active; want 1, Backup", p.Switches, p.Active)
	}
	eventually.True(t, "back on the primary once it has been up for 10 s", func() bool {
		p := s.pair("sunday")
		return p.Active == "Primary" && p.Reason == "PrimaryRecovered" && p.Switches == 2
	})
}
