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

	"github.com/streampair/streampair/controllers"
	"github.com/streampair/streampair/hack/e2e/audience"
)

// playsPagesOfEither opens the page of each pod, and has it play from the other: a Service in
// front of both leads each connection of a browser where it likes.
func (s *scene) playsPagesOfEither() {
	s.t.Helper()
	_, path, _ := strings.Cut(s.pair(s.t, pairName).Status.PlaybackURL, "/live/")
	for _, role := range controllers.Roles() {
		from, to := s.pods[role], s.pods[controllers.OtherRole(role)]
		what := "mixed versions: page of the " + string(role) + "'s pod, media of the other"
		s.do(what, func() error { return nil })
		pages, front := splitFront(from, to)
		s.must(s.page.Open(front.URL + "/live/" + path))
		s.eventually(what, func() bool { return s.page.State().Phase == "playing" && s.page.Leg() >= 0 })
		if n := pages.Load(); n < 2 {
			s.t.Errorf("%s: only %d files of the page came from its pod", what, n)
		}
		if at := audience.ServedBy(s.page.State().Session); at != letter(controllers.OtherRole(role)) {
			s.t.Errorf("%s: the session %s is not at that pod", what, s.page.State().Session)
		}
		s.opened[s.page], s.fault = s.page.Opened(), time.Now()
		s.observe(aftermath)
		s.figure(what, "browser", goal{}, s.page)
		s.page.Close()
		front.CloseClientConnections() // event streams have no end
		front.Close()
	}
}

// splitFront is a server in front of two pods, which has the page with its files from one
// and all else from the other. It counts the page's files.
func splitFront(page, rest *corev1.Pod) (pages *atomic.Int32, front *httptest.Server) {
	pages = &atomic.Int32{}
	to := func(pod *corev1.Pod) http.Handler {
		target, err := url.Parse(base(pod))
		if err != nil {
			panic(err) // an address and a port
		}
		return &httputil.ReverseProxy{
			Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(target); r.Out.Host = r.In.Host },
			FlushInterval: -1, // events are sent on as they come
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
