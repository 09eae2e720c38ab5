package qoe

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/streampair/streampair/mediaserver/jwks"
	"github.com/streampair/streampair/mediaserver/metrics"
	"github.com/streampair/streampair/mediaserver/stream"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		want       Report
		wrong      string
	}{
		{name: "WebRTC", body: `bsd=(1200),com.streampair-lost=3,com.streampair-received=900,e=t,ltc=180,sf=o,sid="x",sn=4,sta=p,ts=1700000000000,v=2`,
			want: Report{Stalled: 1200 * time.Millisecond, Latencies: []time.Duration{180 * time.Millisecond}, Lost: 3, Received: 900}},
		{name: "HLS, two lines", body: "cid=\"a\",e=ps,msd=950,sf=h,sta=p,ts=1,v=2\ne=ps,sf=h,sta=r,ts=2,v=2\n",
			want: Report{HLS: true, Stalls: 1, Joins: []time.Duration{950 * time.Millisecond}}},
		{name: "a list for video and audio", body: `bsd=(300;v 200;a),e=t`, want: Report{Stalled: 300 * time.Millisecond}},
		{name: "figures that cannot be", body: `bsd=-1,com.streampair-lost=9999999,e=t,ltc=99999999999,msd="soon"`, want: Report{}},
		{name: "nothing of interest", body: `e=t`, want: Report{}},
		{name: "no dictionary", body: "{\"stalls\": 3}", wrong: "line 1 is not a dictionary"},
		{name: "empty", body: " \n\n", wrong: "empty"},
		{name: "too many lines", body: strings.Repeat("e=t\n", maxLines+1), wrong: "more than 64 lines"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Parse([]byte(tt.body))
			if tt.wrong != "" {
				if err == nil || !strings.Contains(err.Error(), tt.wrong) {
					t.Errorf("%v, want %q", err, tt.wrong)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("bsd=(1200),e=t,ltc=180,sf=h,sid=\"x\"\ne=ps,sta=r"))
	f.Fuzz(func(t *testing.T, body []byte) {
		r, err := Parse(body)
		if err == nil && (r.Stalls < 0 || r.Stalls > maxLines || r.Stalled < 0 || r.Stalled > maxLines*maxStalled || r.Lost < 0 || r.Received < 0 || r.Lost > maxLines*maxPackets) {
			t.Errorf("%+v", r)
		}
	})
}

func newTestHandler(t *testing.T) (*metrics.Metrics, func(r *http.Request) *httptest.ResponseRecorder) {
	t.Helper()
	m := metrics.New(prometheus.NewRegistry())
	mux := http.NewServeMux()
	NewHandler(Config{
		Authorize: func(_, streamID, _, token string) error {
			switch {
			case streamID == "unknown":
				return stream.ErrUndeclared
			case token == "early":
				return jwks.ErrUnavailable
			case token != "secret":
				return errors.New("the token is missing or wrong")
			}
			return nil
		},
		Pair: func(_, streamID, _ string) (string, string, bool) {
			return "sunday", "Backup", streamID == "primary"
		},
		Metrics: m,
	}).Register(mux)
	return m, func(r *http.Request) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		return w
	}
}

func request(method, query, contentType, body string) *http.Request {
	r := httptest.NewRequest(method, "/live/qoe?"+query, strings.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	return r
}

func TestReportsAreCounted(t *testing.T) {
	m, do := newTestHandler(t)
	const query = "name=primary&backupStreamId=backup&token=secret"
	for i, body := range []string{"e=ps,sta=r\nbsd=500,e=t,ltc=200,msd=300,com.streampair-lost=2,com.streampair-received=98", "e=ps,sf=h,sta=r"} {
		if w := do(request(http.MethodPost, query, ContentType, body)); w.Code != http.StatusNoContent {
			t.Errorf("report %d: %d %s", i, w.Code, w.Body)
		}
	}
	for what, got := range map[string][2]float64{
		"reports by WebRTC": {testutil.ToFloat64(m.ViewerReports.WithLabelValues("sunday", "Backup", "webrtc")), 1},
		"reports by HLS":    {testutil.ToFloat64(m.ViewerReports.WithLabelValues("sunday", "Backup", "hls")), 1},
		"stalls":            {testutil.ToFloat64(m.ViewerStalls.WithLabelValues("sunday", "Backup", "webrtc")), 1},
		"stalled seconds":   {testutil.ToFloat64(m.ViewerStalledSeconds.WithLabelValues("sunday", "Backup", "webrtc")), 0.5},
		"lost packets":      {testutil.ToFloat64(m.ViewerPacketsLost.WithLabelValues("sunday", "Backup")), 2},
		"received packets":  {testutil.ToFloat64(m.ViewerPacketsReceived.WithLabelValues("sunday", "Backup")), 98},
	} {
		if got[0] != got[1] {
			t.Errorf("%s: %v, want %v", what, got[0], got[1])
		}
	}
	if n := testutil.CollectAndCount(m.ViewerJoinSeconds) + testutil.CollectAndCount(m.ViewerLatencySeconds); n != 2 {
		t.Errorf("%d histograms", n)
	}
	m.ForgetPair("sunday")
	if n := testutil.CollectAndCount(m.ViewerReports) + testutil.CollectAndCount(m.ViewerLatencySeconds); n != 0 {
		t.Errorf("%d series are left of a pair that is gone", n)
	}
}

func TestWhatIsRefused(t *testing.T) {
	m, do := newTestHandler(t)
	const query = "name=primary&backupStreamId=backup&token=secret"
	for name, tt := range map[string]struct {
		r    *http.Request
		want int
	}{
		"a preflight":              {request(http.MethodOptions, query, "", ""), 200},
		"GET":                      {request(http.MethodGet, query, "", ""), 405},
		"keys that are not there":  {request(http.MethodPost, "name=primary&token=early", ContentType, "e=t"), 503},
		"no token":                 {request(http.MethodPost, "name=primary", ContentType, "e=t"), 401},
		"an unknown stream":        {request(http.MethodPost, "name=unknown", ContentType, "e=t"), 404},
		"another type":             {request(http.MethodPost, query, "application/json", "{}"), 415},
		"no report":                {request(http.MethodPost, query, ContentType, "{}"), 400},
		"a huge report":            {request(http.MethodPost, query, ContentType, strings.Repeat("e=t\n", MaxBytes)), 413},
		"a pair that nobody plays": {request(http.MethodPost, "name=other&token=secret", ContentType, "e=t"), 204},
	} {
		if w := do(tt.r); w.Code != tt.want {
			t.Errorf("%s: %d %s, want %d", name, w.Code, w.Body, tt.want)
		}
	}
	if n := testutil.CollectAndCount(m.ViewerReports); n != 0 {
		t.Errorf("%d series", n)
	}
}

func TestANetworkMaySendSoManyReports(t *testing.T) {
	_, do := newTestHandler(t)
	codes := make(map[string]map[int]int)
	for i := range 2 * networkBurst {
		for _, address := range []string{"192.0.2.1", "198.51.100.7"} {
			if address == "198.51.100.7" && i > 0 {
				continue
			}
			r := request(http.MethodPost, "name=primary&token=secret", ContentType, "e=t")
			r.RemoteAddr = fmt.Sprintf("%s:%d", address, 1024+i)
			if codes[address] == nil {
				codes[address] = make(map[int]int)
			}
			codes[address][do(r).Code]++
		}
	}
	if got := codes["192.0.2.1"]; got[http.StatusTooManyRequests] == 0 || got[http.StatusNoContent] < networkBurst {
		t.Errorf("one network: %v", got)
	}
	if got := codes["198.51.100.7"]; got[http.StatusNoContent] != 1 {
		t.Errorf("another network: %v", got)
	}
}

func TestShare(t *testing.T) {
	for viewers, want := range map[int]float64{0: 1, 200: 1, 400: 0.5, 20_000: 0.01} {
		if got := Share(viewers); got != want {
			t.Errorf("%d viewers: %v, want %v", viewers, got, want)
		}
	}
}
