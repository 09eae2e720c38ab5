package measure

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/streampair/streampair/hack/eventually"
)

func TestReportsOfPeersCountWhereNothingIsMeasured(t *testing.T) {
	r, now := NewReports(), time.Now()
	all, stopAll := r.Follow(watchedKey, true)
	defer stopAll()
	own, stopOwn := r.Follow(watchedKey, false)
	defer stopOwn()
	got := func(c <-chan Report) (publications []int64) {
		for {
			select {
			case report := <-c:
				publications = append(publications, report.Publication)
			default:
				return publications
			}
		}
	}
	r.Told(watchedKey, Report{Publication: 1}, now)
	r.Measured(watchedKey, Report{Publication: 2}, now)
	r.Told(watchedKey, Report{Publication: 3}, now.Add(localFor-1))
	if latest := r.Latest(watchedKey); !latest.Local || latest.Publication != 2 {
		t.Errorf("the latest is %+v", latest)
	}
	r.Told(watchedKey, Report{Publication: 4}, now.Add(localFor))
	if diff := cmp.Diff([][]int64{{1, 2, 4}, {2}}, [][]int64{got(all), got(own)}); diff != "" {
		t.Errorf("who follows peers too, and who does not (-want +got):\n%s", diff)
	}
	for range 2 * queued { // nobody reads, and nobody waits
		r.Measured(watchedKey, Report{Publication: 5}, now)
	}
	if n := len(got(all)); n != queued {
		t.Errorf("%d reports wait, want %d", n, queued)
	}
	stopAll()
	stopOwn()
	if len(r.streams) != 0 {
		t.Errorf("%d streams are kept that nobody follows", len(r.streams))
	}
}

// What one server measures arrives at the other one, with times on the other one's media clock.
func TestReportsTravel(t *testing.T) {
	here, there := NewReports(), NewReports()
	epochHere := time.Now().Add(-time.Hour)
	epochThere := epochHere.Add(20 * time.Minute)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		here.Serve(w, req, watchedKey, epochHere, nil)
	}))
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	read := make(chan error, 1)
	reports, stop := there.Follow(watchedKey, true)
	defer stop()
	go func() { read <- there.Read(ctx, res.Body, watchedKey, epochThere) }()

	now := time.Since(epochHere)
	sent := Report{
		Publication: 7, Sound: []SoundBlock{{At: now, Peak: -20, RMS: -23}}, Unwatched: UnwatchedFull,
		Picture: &PictureSample{At: now, Dark: 0.5}, Rates: &Rates{From: now - time.Second, To: now, FrameRate: 25},
	}
	here.Measured(watchedKey, sent, time.Now())
	if diff := cmp.Diff(sent.onClock(-20*time.Minute), <-reports); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	here.Close()
	eventually.True(t, "the end of the answer", func() bool {
		select {
		case err := <-read:
			t.Log("the answer has ended:", err)
			return true
		default:
			return false
		}
	})
}

func TestAFaultyPeerSpoilsNothing(t *testing.T) {
	r := NewReports()
	reports, stop := r.Follow(watchedKey, true)
	defer stop()
	for name, line := range map[string]string{
		"no publication":         `{}`,
		"another century":        `{"publication":1,"sound":[{"at":9000000000000000000,"print":"` + strings.Repeat("A", 107) + `"}]}`,
		"a picture of 1970":      `{"publication":1,"picture":{"at":0}}`,
		"a reason that is none":  `{"publication":1,"unwatched":"` + strings.Repeat("x", 1000) + `"}`,
		"too much sound at once": `{"publication":1,"sound":[` + strings.Repeat(`{},`, maxBlocks) + `{}]}`,
	} {
		if err := r.Read(t.Context(), strings.NewReader(line+"\n"), watchedKey, time.Now()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		select {
		case report := <-reports:
			t.Errorf("%s is taken: %+v", name, report)
		default:
		}
	}
	for name, line := range map[string]string{"no JSON": "}", "a line without an end": strings.Repeat("x", 2*maxLine)} {
		if err := r.Read(t.Context(), strings.NewReader(line), watchedKey, time.Now()); err == nil || err == io.EOF {
			t.Errorf("%s: %v", name, err)
		}
	}
}
