package failover

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/streampair/streampair/mediaserver/recovery"
	"github.com/streampair/streampair/mediaserver/stream"
)

// A panickingOutput is an Output that panics when the test asks for it.
type panickingOutput struct {
	*outputRecorder
	panicsAt func(u *stream.AccessUnit) bool
	shared   bool // the panic happens while a lock is held that several sessions share
	mu       recovery.Mutex
}

func (o *panickingOutput) WriteVideo(at time.Duration, u *stream.AccessUnit, burst bool) {
	if o.shared {
		o.mu.Lock()
		defer o.mu.Unlock()
	}
	if o.panicsAt != nil && o.panicsAt(u) {
		panic("asked for by the test")
	}
	o.outputRecorder.WriteVideo(at, u, burst)
}

// withPanickingOutput runs test with a pair whose output panics.
func withPanickingOutput(t *testing.T, test func(t *testing.T, s *testPair, o *panickingOutput, r *recovery.Recovery)) {
	t.Helper()
	o := &panickingOutput{}
	r := recovery.New(recovery.Config{})
	inStudio(t, func(cfg *PairConfig) {
		o.outputRecorder = cfg.Output.(*outputRecorder)
		cfg.Output, cfg.Recovery = o, r
	}, func(t *testing.T, s *testPair) {
		for _, e := range s.encoders {
			e.late = 10 * ms // sound and picture are not written together: the first may end the publication
		}
		test(t, s, o, r)
		time.Sleep(31 * time.Second) // until no stream refuses a publisher any more
	})
}

func of(leg string) func(*stream.AccessUnit) bool {
	return func(u *stream.AccessUnit) bool { return legOf(u) == leg }
}

func TestThePairPlaysTheOtherLegAfterAPanic(t *testing.T) {
	withPanickingOutput(t, func(t *testing.T, s *testPair, o *panickingOutput, _ *recovery.Recovery) {
		s.bothOn()
		o.panicsAt = of("primary")
		publication := s.primary.pub
		before := len(s.output.sent)
		s.run(100 * ms)
		s.wantOn(Backup, ReasonPrimaryDisconnected, 1)
		if !publication.Ended() {
			t.Error("the publication that made the pair panic goes on")
		}
		if got := s.output.sent[before:]; len(got) == 0 || !got[0].unit.IDR || legOf(got[0].unit) != "backup" {
			t.Errorf("the output goes on with %v", got)
		}
		_, err := s.registry.Publish(stream.PublishRequest{Key: s.primary.key, Authenticated: true})
		if !errors.Is(err, stream.ErrExpelled) {
			t.Errorf("the publisher that comes again gets %v", err)
		}
		s.run(30 * time.Second)
		s.wantOn(Backup, ReasonPrimaryDisconnected, 1)
		o.panicsAt = nil
		s.primary.start()
		s.run(5 * time.Second)
		s.backup.kill()
		s.run(100 * ms)
		s.wantOn(Primary, ReasonBackupDisconnected, 2)
		s.run(time.Second)
	})
}

func TestTheLegThatIsNotAtFaultStays(t *testing.T) {
	withPanickingOutput(t, func(t *testing.T, s *testPair, o *panickingOutput, _ *recovery.Recovery) {
		s.bothOn()
		o.panicsAt = of("backup")
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
		// least and most bound the panics until then. Two stacks of the pair send pictures.
		least, most int
	}{
		"after a panic under a shared lock":     {true, 1, 1},
		"after the third panic within a minute": {false, 3, 5},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			withPanickingOutput(t, func(t *testing.T, s *testPair, o *panickingOutput, r *recovery.Recovery) {
				s.bothOn()
				panics := 0
				o.shared = tt.shared
				o.panicsAt = func(*stream.AccessUnit) bool { panics++; return true }
				s.primary.kill()
				for i := 0; i < 10 && r.Reason() == nil; i++ {
					// An encoder at another address is admitted, and makes the server panic too.
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
