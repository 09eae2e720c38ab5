package mediatest_test

import (
	"testing"
	"time"

	"github.com/streampair/streampair/mediaserver/mediatest"
)

func TestBrowserRunsScriptsAndHasACamera(t *testing.T) {
	ctx := mediatest.Browser(t)
	if got := mediatest.Eval[int](t, ctx, `Promise.resolve(6*7)`); got != 42 {
		t.Errorf("6*7 = %d in the page", got)
	}
	mediatest.Await(t, ctx, 30*time.Second, `document.readyState === "complete"`, `document.readyState`)
	second := mediatest.Tab(t, ctx)
	if got := mediatest.Eval[string](t, second, `typeof RTCPeerConnection`); got != "function" {
		t.Errorf("RTCPeerConnection is %q", got)
	}
}
