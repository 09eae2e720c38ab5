package pods

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/streampair/streampair/controllers/oneline"
	"go.uber.org/goleak"
)

func TestAWrongPodIsRefused(t *testing.T) {
	raw := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, text)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}
	}
	endless := func(part string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for {
				if _, err := io.WriteString(w, part); err != nil {
					return
				}
			}
		}
	}
	hijacked := func(answer string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				return
			}
			defer conn.Close()
			for {
				if _, err := io.WriteString(conn, answer); err != nil {
					return
				}
			}
		}
	}
	other, _ := fakeCertificate(t)
	for _, tt := range []struct {
		name   string
		pod    func(*fakePod)
		target func(*Target)
		err    string
	}{
		{"another certificate", func(f *fakePod) { f.certificate = other }, nil, "GET /v1/events: the pod shows another certificate (SHA-256 "},
		{"no certificate to compare with", nil, func(t *Target) { t.Certificate = nil }, "the Secret has no certificate by which to know the pod"},
		{"no PEM", nil, func(t *Target) { t.Certificate = []byte("x") }, "the Secret has no certificate by which to know the pod"},
		{"another token", func(f *fakePod) { f.token = "other" }, nil, "GET /v1/events: 401 Unauthorized: the bearer token is missing; or wrong"},
		{"an address that is none", nil, func(t *Target) { t.Address = "192.0.2.1:9091/%zz" }, "the pod's address: "},
		{"no event stream", func(f *fakePod) {
			f.events = func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "text/html")
				_, _ = io.WriteString(w, "<html>")
			}
		}, nil, `the pod answered with "text/html" instead of an event stream`},
		{"a status that is no JSON", func(f *fakePod) { f.events = raw("event: status\ndata: {garbage\n\n") }, nil, "the pod sent a status that cannot be read: "},
		{"a status of another kind", func(f *fakePod) { f.events = raw("event: status\ndata: {}\n\n") }, nil, "the pod sent a status without a boot id"},
		{"a status that unfolds", func(f *fakePod) {
			f.events = raw(`event: status` + "\n" + `data: {"bootID":"1","streams":[{}` + strings.Repeat(",{}", maxPodCommas+1) + "]}\n\n")
		}, nil, "the pod sent a status of 16386 parts, more than 16384"},
		{"an event without an end", func(f *fakePod) { f.events = endless("data: and so on") }, nil, "read events: the pod sent an event longer than 1048576 bytes"},
		{"an event of lines without an end", func(f *fakePod) { f.events = endless("data: and\n") }, nil, "read events: the pod sent an event longer than 1048576 bytes"},
		{"a header without an end", func(f *fakePod) { f.events = hijacked("HTTP/1.1 200 OK\r\nA: b\r\n") }, nil, "GET /v1/events: read the answer: "},
		{"one header line without an end", func(f *fakePod) { f.events = hijacked("HTTP/1.1 200 OK and on") }, nil, "GET /v1/events: read the answer: "},
		{"no HTTP", func(f *fakePod) { f.events = hijacked("SSH-2.0-OpenSSH_9.2\r\n") }, nil, "GET /v1/events: read the answer: "},
		{"no answer", func(f *fakePod) {
			f.events = func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
		}, nil, "GET /v1/events: no answer in time"},
		{"a redirect", func(f *fakePod) {
			f.events = func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "https://192.0.2.7/", http.StatusFound)
			}
		}, nil, "GET /v1/events: 302 Found"},
		{"an end at once", func(f *fakePod) { f.events = func(http.ResponseWriter, *http.Request) {} }, nil, "the pod closed the event stream"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				network, pod := &pipes{}, newFakePod(t)
				if tt.pod != nil {
					tt.pod(pod)
				}
				pod.serve(t, network.listen("192.0.2.1:9091"))
				p := New(Config{})
				p.dial = network.dial
				target := pod.target(sundayPrimary)
				if tt.target != nil {
					tt.target(&target)
				}
				p.Follow(sunday, []Target{target})
				ctx, stop := context.WithCancel(t.Context())
				ended := make(chan error)
				go func() { ended <- p.Run(ctx) }()
				time.Sleep(8 * time.Second)
				s := p.State(sundayPrimary)
				if s.Connected || !strings.HasPrefix(s.Err, tt.err) {
					t.Errorf("got connected %v, %q, want %q", s.Connected, s.Err, tt.err)
				}
				if strings.Contains(s.Err, fakeToken) || strings.Contains(s.Err, "\n") || len(s.Err) > 2*oneline.MaxLength {
					t.Errorf("not fit to be shown: %q", s.Err)
				}
				stop()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestASilentPodIsLostAfterTenSeconds(t *testing.T) {
	inBubble(t, func(t *testing.T, f *followed) {
		f.connect()
		for range 5 {
			time.Sleep(9 * time.Second)
			f.pod.out <- ":\n" // as the media server does
		}
		synctest.Wait()
		if !f.State(sundayPrimary).Connected {
			t.Error("comments are signs of life")
		}
		time.Sleep(10*time.Second - time.Millisecond)
		synctest.Wait()
		if !f.State(sundayPrimary).Connected {
			t.Error("lost too early")
		}
		time.Sleep(time.Millisecond)
		f.wantHints(1, "silence")
		if s := f.State(sundayPrimary); s.Connected || s.Err != "the pod was silent for 10s" {
			t.Errorf("got %+v", s)
		}
	})
}

func TestDrippingBytesAreNoSignOfLife(t *testing.T) {
	inBubble(t, func(t *testing.T, f *followed) {
		f.connect()
		for range 3 {
			time.Sleep(4 * time.Second)
			select {
			case f.pod.out <- ":":
			case <-time.After(time.Second):
			}
		}
		synctest.Wait()
		if s := f.State(sundayPrimary); s.Err != "the pod was silent for 10s" {
			t.Errorf("got %+v", s)
		}
	})
}

// connects returns the times at which Streams tried to connect in the first minute.
func connects(t *testing.T, dial func() (net.Conn, error)) []time.Duration {
	var at []time.Duration
	synctest.Test(t, func(t *testing.T) {
		p, pod := New(Config{}), newFakePod(t)
		began := time.Now()
		p.dial = func(context.Context, string, string) (net.Conn, error) {
			at = append(at, time.Since(began))
			return dial()
		}
		p.Follow(sunday, []Target{pod.target(sundayPrimary)})
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		if err := p.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	return at
}

func TestAPodIsAskedAgainLessAndLessOften(t *testing.T) {
	refuse := func() (net.Conn, error) { return nil, errors.New("connection refused") }
	at := connects(t, refuse)
	for i := 1; i < len(at); i++ {
		gap := at[i] - at[i-1]
		longest := min(250*time.Millisecond<<i, 5*time.Second)
		if gap < longest/2 || gap > longest {
			t.Errorf("attempt %d came after %v, want %v to %v", i, gap, longest/2, longest)
		}
	}
	if len(at) < 14 || len(at) > 30 {
		t.Errorf("%d attempts in a minute", len(at))
	}
	if slices.Equal(at, connects(t, refuse)) {
		t.Error("two pods are asked at the very same times")
	}
}

func TestAPodThatConnectsAndFailsIsNotAskedFaster(t *testing.T) {
	inBubble(t, func(t *testing.T, f *followed) {
		f.pod.events = func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, statusEvent(playing("Primary")))
		}
		f.Follow(sunday, []Target{f.pod.target(sundayPrimary)})
		time.Sleep(time.Minute)
		if got := f.pod.opened(); got < 14 || got > 30 {
			t.Errorf("%d streams were opened in a minute", got)
		}
	})
}

func TestAStreamThatHeldIsOpenedAgainSoon(t *testing.T) {
	inBubble(t, func(t *testing.T, f *followed) {
		target := f.pod.target(sundayPrimary)
		f.pod.change("not yet", accept)
		f.Follow(sunday, []Target{target})
		time.Sleep(time.Minute) // by now the delay is up to 5 s
		f.pod.change(fakeToken, accept)
		time.Sleep(5 * time.Second)
		f.pod.send(playing("Primary"))
		time.Sleep(6 * time.Second)
		f.pod.hangUp <- struct{}{}
		time.Sleep(500 * time.Millisecond)
		if got := f.pod.opened(); got != 2 {
			t.Errorf("%d streams were opened, want 2", got)
		}
	})
}

func TestAPodThatSendsTooMuchIsReadSlowly(t *testing.T) {
	for name, part := range map[string]string{
		"statuses":    statusEvent(playing("Primary")),
		"comments":    ":\n",
		"empty lines": "\n",
		"long lines":  ":" + strings.Repeat("x", 100_000) + "\n",
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, f *followed) {
				sent := 0
				f.pod.events = func(w http.ResponseWriter, _ *http.Request) {
					_, _ = io.WriteString(w, statusEvent(playing("Primary")))
					for {
						n, err := io.WriteString(w, part)
						sent += n
						if err != nil {
							return
						}
					}
				}
				f.Follow(sunday, []Target{f.pod.target(sundayPrimary)})
				time.Sleep(20 * time.Second)
				if !f.State(sundayPrimary).Connected {
					t.Errorf("lost: %+v", f.State(sundayPrimary))
				}
				f.stop()
				synctest.Wait()
				if most := paceBurst + 20*paceRate + 64<<10; sent > most {
					t.Errorf("%d bytes were read in 20 s, more than %d", sent, most)
				}
			})
		})
	}
}

func TestTheServersOwnPaceIsNotHeldBack(t *testing.T) {
	now := time.Unix(0, 0)
	pace := newPacer(now)
	for range 10_000 {
		// This is the load of a status of 64 pairs, ten times a second.
		if wait := pace.charge(90<<10, true, now); wait > 0 {
			t.Fatalf("waits for %v after %v", wait, now.Sub(time.Unix(0, 0)))
		}
		now = now.Add(100 * time.Millisecond)
	}
}

func TestEventsAreReadAsTheyAreSent(t *testing.T) {
	type event struct{ Name, Data string }
	for _, tt := range []struct {
		name, text string
		want       []event
	}{
		{"one event", "event: status\ndata: {}\n\n", []event{{"status", "{}"}}},
		{"lines end in CRLF", "event: status\r\ndata: {}\r\n\r\n", []event{{"status", "{}"}}},
		{"no blank after the colon", "event:status\ndata:{}\n\n", []event{{"status", "{}"}}},
		{"only one blank is left out", "data:  x\n\n", []event{{"", " x"}}},
		{"data of several lines", "data: {\nevent: status\ndata: }\n\n", []event{{"status", "{\n}"}}},
		{"fields that nobody knows", "id: 1\nretry: 5\nfoo\n: bar\nevent: status\ndata: 1\n\n", []event{{"status", "1"}}},
		{"comments stand alone", ":\n: two\nevent: status\ndata: 1\n\n", []event{{}, {}, {"status", "1"}}},
		{"a comment within", "event: status\n:\ndata: 1\n\n", []event{{"status", "1"}}},
		{"an empty line is nothing", "\ndata: 1\n\n", []event{{}, {"", "1"}}},
		{"what has no end is left out", "event: status\ndata: 1\n", nil},
		{"longer than the buffers", "data: " + strings.Repeat("x", 100_000) + "\n\ndata: y\n\n", []event{{"", strings.Repeat("x", 100_000)}, {"", "y"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newEventReader(strings.NewReader(tt.text), func() error { return nil })
			var got []event
			for {
				e, err := r.next()
				if err != nil {
					if !errors.Is(err, io.EOF) {
						t.Errorf("got %v", err)
					}
					break
				}
				got = append(got, event{e.name, string(e.data)})
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzPodEvents(f *testing.F) {
	f.Add("event: status\ndata: {\"bootID\":\"1\"}\n\n")
	f.Add(":\n\r\n\ndata\ndata:\n\n")
	f.Add(statusEvent(playing("Primary")))
	f.Fuzz(func(t *testing.T, text string) {
		r := newEventReader(strings.NewReader(text), func() error { return nil })
		read := 0
		for {
			e, err := r.next()
			if err != nil {
				return
			}
			if e.size == 0 && len(e.data) > 0 || len(e.data) > e.size {
				t.Fatalf("%d bytes of data from %d bytes", len(e.data), e.size)
			}
			if read += max(1, e.size); read > len(text) {
				t.Fatalf("read %d bytes of %d", read, len(text))
			}
			if s, err := decodeStatus(e.data); err == nil {
				sameForPair("sunday", s, s)
			}
		}
	})
}

func TestRunLeavesNothingBehind(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	pod := newFakePod(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Run("real sockets", func(t *testing.T) {
		pod.serve(t, l)
		p := New(Config{})
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- p.Run(ctx) }()
		target, nobody := pod.target(sundayPrimary), pod.target(Key{Namespace: "live", Pair: "sunday", UID: "uid-2"})
		target.Address, nobody.Address = l.Addr().String(), "127.0.0.1:1"
		p.Follow(sunday, []Target{target, nobody})
		pod.send(playing("Primary"))
		if got := <-p.hints.Delivered(); got.Object != sunday || !p.State(sundayPrimary).Connected {
			t.Errorf("hint at %v, state %+v", got.Object, p.State(sundayPrimary))
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
