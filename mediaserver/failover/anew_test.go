package failover

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/streampair/streampair/mediaserver/recovery"
	"github.com/streampair/streampair/mediaserver/stream"
)

// A trap is an Output that panics where it is told to.
type trap struct {
	*screen
	springs func(u *stream.AccessUnit) bool
	shared  bool // the panic happens while a lock is held that several sessions share
	mu      recovery.Mutex
}

func (o *trap) WriteVideo(at time.Duration, u *stream.AccessUnit, burst bool) {
	if o.shared {
		o.mu.Lock()
		defer o.mu.Unlock()
	}
	if o.springs != nil && o.springs(u) {
		panic("sprung")
	}
	o.screen.WriteVideo(at, u, burst)
}

// inTrap runs test with a pair whose output is a trap.
func inTrap(t *testing.T, test func(t *testing.T, s *studio, o *trap, r *recovery.Recovery)) {
	t.Helper()
	o := &trap{}
	r := recovery.New(recovery.Config{})
	inStudio(t, func(cfg *PairConfig) {
		o.screen = cfg.Output.(*screen)
		cfg.Output, cfg.Recovery = o, r
	}, func(t *testing.T, s *studio) {
		for _, e := range s.encoders {
			e.late = 10 * ms // sound and picture are not written together: the first may end the publication
		}
		test(t, s, o, r)
		time.Sleep(31 * time.Second) // until the streams refuse nobody any more
	})
}

func of(leg string) func(*stream.AccessUnit) bool {
	return func(u *stream.AccessUnit) bool { return legOf(u) == leg }
}

func TestThePairPlaysTheOtherLegAfterAPanic(t *testing.T) {
	inTrap(t, func(t *testing.T, s *studio, o *trap, _ *recovery.Recovery) {
		s.bothOn()
		o.springs = of("primary")
		publication := s.primary.pub
		before := len(s.screen.sent)
		s.run(100 * ms)
		s.wantOn(Backup, ReasonPrimaryDisconnected, 1)
		if !publication.Ended() {
			t.Error("the publication that made the pair panic goes on")
		}
		if got := s.screen.sent[before:]; len(got) == 0 || !got[0].unit.IDR || legOf(got[0].unit) != "backup" {
			t.Errorf("the output goes on with %v", got)
		}
		_, err := s.registry.Publish(stream.PublishRequest{Key: s.primary.key, Authenticated: true})
		if !errors.Is(err, stream.ErrExpelled) {
			t.Errorf("the publisher that comes again gets %v", err)
		}
		s.run(30 * time.Second)
		s.wantOn(Backup, ReasonPrimaryDisconnected, 1)
		o.springs = nil
		s.primary.start()
		s.run(5 * time.Second)
		s.backup.kill()
		s.run(100 * ms)
		s.wantOn(Primary, ReasonBackupDisconnected, 2)
		s.run(time.Second)
	})
}

func TestTheLegThatIsNotAtFaultStays(t *testing.T) {
	inTrap(t, func(t *testing.T, s *studio, o *trap, _ *recovery.Recovery) {
		s.bothOn()
		o.springs = of("backup")
		backup := s.backup.pub
		s.primary.kill() // its cache is sent at once
		s.run(100 * ms)
		if !backup.Ended() {
			t.Error("the publication that made the pair panic goes on")
		}
		s.primary.start()
		s.run(time.Second)
		s.wantOn(Primary, ReasonBackupDisconnected, 2)
	})
}

func TestThePairEndsWithTheServer(t *testing.T) {
	tests := map[string]struct {
		shared bool
		// least and most panics until then; the pair has two stacks that send pictures.
		least, most int
	}{
		"after a panic under a shared lock":     {true, 1, 1},
		"after the third panic within a minute": {false, 3, 5},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			inTrap(t, func(t *testing.T, s *studio, o *trap, r *recovery.Recovery) {
				s.bothOn()
				panics := 0
				o.shared = tt.shared
				o.springs = func(*stream.AccessUnit) bool { panics++; return true }
				s.primary.kill()
				for i := 0; i < 10 && r.Reason() == nil; i++ {
					// An encoder at another address is admitted, and is no better.
					p, err := s.registry.Publish(stream.PublishRequest{Key: s.primary.key, Authenticated: true, Remote: string(rune('a' + i))})
					s.primary.must(err)
					defer p.End(stream.EndClosed)
					s.primary.must(p.WriteVideo(0, 0, [][]byte{testSPS, testPPS, {0x65, 0, 0, 0, 0, 0, 0, 0, 0}}))
					s.run(100 * ms)
				}
				if r.Reason() == nil || panics < tt.least || panics > tt.most {
					t.Errorf("%d panics, and the server gives up because of %v", panics, r.Reason())
				}
				if err := <-s.ended; !recovery.Is(err) {
					t.Errorf("the pair ended with %v", err)
				}
				s.ended <- context.Canceled // which close awaits
			})
		})
	}
}
