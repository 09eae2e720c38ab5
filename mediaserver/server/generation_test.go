package server

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	api "github.com/streampair/streampair/api/control"
	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/config"
)

const monday, tuesday = "2026-11-23T20:00:00Z", "2026-11-24T20:00:00Z"

func version(t *testing.T, uid, generation, created string) config.Version {
	t.Helper()
	v := config.Version{UID: types.UID(uid)}
	if _, err := fmt.Sscan(generation, &v.Generation); err != nil {
		t.Fatal(err)
	}
	if created != "" {
		var err error
		if v.Created, err = time.Parse(time.RFC3339, created); err != nil {
			t.Fatal(err)
		}
	}
	return v
}

func TestAFileNeverGoesBack(t *testing.T) {
	none := config.Version{}
	a := func(generation string) config.Version { return version(t, "a", generation, monday) }
	b := func(generation string) config.Version { return version(t, "b", generation, tuesday) }
	old := func(generation string) config.Version { return version(t, "", generation, "") } // of an earlier operator
	for _, tt := range []struct {
		name                    string
		file, inForce, replaced config.Version
		past                    bool
	}{
		{"a newer generation", a("8"), a("7"), none, false},
		{"an older generation", a("6"), a("7"), none, true},
		{"the one in force", a("7"), a("7"), none, false},
		{"one of a person, without generation", old("0"), a("7"), none, false},
		{"a pair that was made later", b("1"), a("7"), none, false},
		{"a pair that was made before", a("9"), b("1"), none, true},
		{"a pair of which nobody knows when it was made", version(t, "c", "9", ""), b("1"), none, true},
		{"what a command replaced", a("9"), a("4"), a("9"), true},
		{"something before what a command replaced", a("8"), a("4"), a("9"), true},
		{"the one in force, while the kubelet has not caught up", a("4"), a("4"), a("9"), false},
		{"something after what a command replaced", a("10"), a("4"), a("9"), false},
		{"what a command replaced, of an operator before", old("7"), b("1"), old("7"), true},
		{"something newer of an operator that was rolled back", old("3"), b("2"), none, false},
		{"something older of an operator that was rolled back", old("1"), b("2"), none, true},
		{"something newer, in force is one of an operator before", a("8"), old("7"), none, false},
		{"something older, in force is one of an operator before", a("6"), old("7"), none, true},
	} {
		if got := isOlderFile(tt.file, tt.inForce, tt.replaced); got != tt.past {
			t.Errorf("%s: past %v, want %v", tt.name, got, tt.past)
		}
	}
}

func TestWhatACommandReplacedIsRemembered(t *testing.T) {
	none := config.Version{}
	a := func(generation string) config.Version { return version(t, "a", generation, monday) }
	b := func(generation string) config.Version { return version(t, "b", generation, tuesday) }
	for _, tt := range []struct {
		name                   string
		now, was, before, want config.Version
	}{
		{"the next generation", a("8"), a("7"), none, none},
		{"the next generation, while an older file may come", a("5"), a("4"), a("9"), a("9")},
		{"a lower generation", a("4"), a("9"), none, a("9")},
		{"a lower generation again", a("3"), a("5"), a("9"), a("9")},
		{"another pair", b("1"), a("7"), none, a("7")},
		{"another pair of a higher generation", b("9"), a("7"), none, a("7")},
		{"the first manifest with a generation", a("1"), none, none, none},
	} {
		if got := barredVersion(tt.now, tt.was, tt.before); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// manifestOf returns the manifest of a pair with a UID.
func manifestOf(uid, created string, generation int, spec string) string {
	return strings.Replace(pairOf(generation, spec), "  namespace: live\n",
		fmt.Sprintf("  namespace: live\n  uid: %s\n  creationTimestamp: %q\n", uid, created), 1)
}

func TestTheOperatorPutsALowerGenerationInForce(t *testing.T) {
	t.Parallel()
	const sticky, prefer = "  failover: {mode: Sticky}\n", "  failover: {mode: PreferPrimary}\n"
	for name, tt := range map[string]struct{ uid, created string }{
		"another pair of that name":           {"b", tuesday},
		"the same pair, as etcd was restored": {"a", monday},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := startPod(t, manifestOf("a", monday, 7, sticky))
			inForce := func(uid string, generation int64) func() bool {
				return func() bool {
					st := p.tells(firstCluster)
					return st.ConfigUID == uid && st.ConfigGeneration == generation
				}
			}
			eventually.True(t, "the file's is in force", inForce("a", 7))
			put := func(replaces, manifest string) int {
				headers := http.Header{}
				if replaces != "" {
					headers.Set(api.HeaderReplaces, replaces)
				}
				code, _ := p.commandWith("PUT", "/v1/config", firstCluster, manifest, headers)
				return code
			}
			lower := manifestOf(tt.uid, tt.created, 4, prefer)
			if code := put("", lower); code != http.StatusConflict {
				t.Errorf("a lower generation that names nothing: %d", code)
			}
			for _, other := range []string{"6", "8/a", "7/b"} {
				if code := put(other, lower); code != http.StatusConflict {
					t.Errorf("a lower generation in place of %s, which is not in force: %d", other, code)
				}
			}
			if !inForce("a", 7)() {
				t.Fatal("a refused manifest is in force")
			}
			if code := put("7/a", lower); code != http.StatusNoContent {
				t.Fatalf("a lower generation in place of the one in force: %d", code)
			}
			eventually.True(t, "the lower one is in force", inForce(tt.uid, 4))

			// The kubelet lags. It brings what was replaced, and what came before that.
			for generation := range 2 {
				p.config.replace(map[string]string{"pair.yaml": manifestOf("a", monday, 6+generation, fmt.Sprintf("%s  paused: false # %d\n", sticky, generation))})
				time.Sleep(5 * watchInterval)
				if !inForce(tt.uid, 4)() {
					t.Errorf("a file of generation %d went back", 6+generation)
				}
			}
			p.config.replace(map[string]string{"pair.yaml": lower})
			time.Sleep(5 * watchInterval)
			if !inForce(tt.uid, 4)() {
				t.Error("the file that has caught up changed something")
			}
			p.config.replace(map[string]string{"pair.yaml": manifestOf(tt.uid, tt.created, 5, sticky)})
			eventually.True(t, "files go on from there", inForce(tt.uid, 5))
			if code := put("", manifestOf(tt.uid, tt.created, 6, sticky)); code != http.StatusNoContent {
				t.Errorf("the next generation: %d", code)
			}
		})
	}
}
