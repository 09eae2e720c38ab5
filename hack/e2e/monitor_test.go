package e2e_test

import (
	"context"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

var roomURL = regexp.MustCompile(`^(http://127\.0\.0\.1:\S+/\?key=\S+)$`)

// A person who only reaches the API server sees both legs, and takes one of them on air.
func TestTheControlRoomOfThePlugin(t *testing.T) {
	s := here(t)
	url := s.plugin(t, 1, roomURL, "monitor", pairName, "--operator", s.operator.String())[0]
	base, _, _ := strings.Cut(url, "/?key=")
	for _, path := range []string{"/", "/room/state", "/room/pairs/" + pairName + "/Primary/picture"} {
		answer, err := http.Get(base + path)
		s.must(t, err)
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s without the key: %s", path, answer.Status)
		}
	}

	browser := mediatest.Browser(t)
	mediatest.Open(t, browser, url)
	await := func(expression string) {
		t.Helper()
		mediatest.Await(t, browser, patience, expression, `document.body.innerText`)
	}
	await(`document.querySelectorAll('.leg[data-health="good"]').length === 2`)
	await(`[...document.querySelectorAll(".loudness")].every(e => e.textContent.endsWith("LUFS")) && [...document.querySelectorAll(".leg .figures")].every(e => e.textContent.includes("30 fps"))`)
	if s.cluster != nil { // whose images have no ffmpeg: see TestTheImageWithFFmpeg
		await(`[...document.querySelectorAll(".note")].filter(n => n.textContent.includes("no ffmpeg")).length === 2`)
	}
	mediatest.Screenshot(t, browser, "control-room-plugin")
	if text := mediatest.Eval[string](t, browser, `document.querySelector(".alarms").innerText`); strings.Contains(text, "perator") {
		t.Errorf("an operator acts, and the page says %q", text)
	}

	s.must(t, s.page.Open(s.pair(t, pairName).Status.PlaybackURL))
	defer s.page.Close()
	s.eventually(t, "a viewer's picture", func() bool { return s.page.State().Phase == "playing" && s.page.Leg() >= 0 })
	for _, leg := range []v1alpha1.Role{v1alpha1.RoleBackup, v1alpha1.RolePrimary} {
		began := time.Now()
		mediatest.Eval[bool](t, browser, `(document.querySelector('[data-take="`+string(leg)+`"]').click(), true)`)
		await(`document.querySelector(".answer").textContent.startsWith("` + string(leg) + `: accepted")`)
		accepted := time.Since(began)
		s.eventually(t, "the leg on a viewer's screen", func() bool { return s.page.Leg() == legNumber(leg) })
		t.Logf("%s: accepted after %v, on a viewer's screen after %v, with a key frame every second", leg, accepted.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
		await(`document.querySelector(".headline").textContent === "` + string(leg) + ` on air"`)
	}
	mediatest.Eval[bool](t, browser, `(document.querySelector('[data-take="Auto"]').click(), true)`)
	s.eventually(t, "the pin is gone", func() bool { return s.pair(t, pairName).Spec.Failover.Select == v1alpha1.SelectAuto })
}

func TestTheControlRoomWarnsWhereNoOperatorActs(t *testing.T) {
	s := here(t)
	url := s.plugin(t, 1, roomURL, "monitor", "--operator", options.namespace+"/nobody")[0]
	browser := mediatest.Browser(t)
	mediatest.Open(t, browser, url)
	mediatest.Await(t, browser, patience, `document.querySelector(".alarms")?.innerText.includes("The Lease `+options.namespace+`/nobody is missing")`, `document.body.innerText`)
}

// The chart's role lets a person look. The API server refuses the Take.
func TestWhoMayForwardPortsLooksAndDoesNotTake(t *testing.T) {
	s := here(t)
	const person = "lookout"
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: options.namespace, Name: person},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: s.operator.Name + "-monitor"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: person}},
	}
	s.make(t, binding)
	t.Cleanup(func() { s.must(t, s.kube.Delete(context.Background(), binding)) })
	url := s.plugin(t, 1, roomURL, "monitor", "--as", person)[0]
	browser := mediatest.Browser(t)
	mediatest.Open(t, browser, url)
	mediatest.Await(t, browser, patience, `document.querySelectorAll('.leg[data-health="good"]').length >= 2`, `document.body.innerText`)
	mediatest.Eval[bool](t, browser, `(document.querySelector('[data-take="Backup"]').click(), true)`)
	mediatest.Await(t, browser, patience, `document.querySelector(".answer").textContent.startsWith("you may not patch")`, `document.body.innerText`)
	if got := s.pair(t, pairName).Spec.Failover.Select; got != v1alpha1.SelectAuto {
		t.Errorf("select is %s", got)
	}
}
