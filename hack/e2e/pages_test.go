package e2e_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/streampair/streampair/controllers/objects"
	"github.com/streampair/streampair/hack/e2e/audience"
	"github.com/streampair/streampair/hack/e2e/measure"
)

// playsPagesOfEither opens the page of each pod, and makes it play from the other pod. A
// Service in front of both pods routes each connection of a browser to either of them.
func (s *faultRun) playsPagesOfEither() {
	s.t.Helper()
	_, path, _ := strings.Cut(s.pair(s.t, pairName).Status.PlaybackURL, "/live/")
	for _, role := range objects.Roles() {
		from, to := s.pods[role], s.pods[objects.OtherRole(role)]
		what := "mixed versions: page of the " + string(role) + "'s pod, media of the other"
		s.do(what, func() error { return nil })
		pages, front := splitFront(from, to)
		s.must(s.page.Open(front.URL + "/live/" + path))
		s.eventually(what, func() bool { return s.page.State().Phase == "playing" && s.page.Leg() >= 0 })
		if n := pages.Load(); n < 2 {
			s.t.Errorf("%s: only %d files of the page came from its pod", what, n)
		}
		if at := audience.ServedBy(s.page.State().Session); at != sessionLetter(objects.OtherRole(role)) {
			s.t.Errorf("%s: the session %s is not at that pod", what, s.page.State().Session)
		}
		s.opened[s.page], s.fault = s.page.Opened(), time.Now()
		s.observe(aftermath)
		s.figure(what, "browser", measure.Goal{}, s.page)
		s.page.Close()
		front.CloseClientConnections() // event streams have no end of their own
		front.Close()
	}
}

// splitFront returns a server in front of two pods. It takes the page and its
// files from one pod, and all else from the other. pages counts the page's files.
func splitFront(page, rest *corev1.Pod) (pages *atomic.Int32, front *httptest.Server) {
	pages = &atomic.Int32{}
	to := func(pod *corev1.Pod) http.Handler {
		target, err := url.Parse(base(pod))
		if err != nil {
			panic(err) // base always returns a valid URL
		}
		return &httputil.ReverseProxy{
			Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = r.In.Host },
			FlushInterval: -1, // events are passed on as they arrive
		}
	}
	toPage, toRest := to(page), to(rest)
	return pages, httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ".html") || strings.Contains(r.URL.Path, "/assets/") {
			pages.Add(1)
			toPage.ServeHTTP(w, r)
			return
		}
		toRest.ServeHTTP(w, r)
	}))
}
