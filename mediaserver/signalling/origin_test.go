package signalling

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAnIDTellsWhereItsSessionIs(t *testing.T) {
	seen := map[string]bool{}
	for _, role := range []string{"s", "p", "b"} {
		want := Origin{Role: role, BootID: NewBootID()}
		id := want.NewID()
		got, ok := OriginOf(id)
		if diff := cmp.Diff(want, got); diff != "" || !ok {
			t.Errorf("%s: %v %s", id, ok, diff)
		}
		for _, secret := range []string{id[9:], want.BootID} {
			if seen[secret] {
				t.Errorf("%s comes twice", secret)
			}
			seen[secret] = true
		}
	}
}

func TestAnEventsIDFindsASessionAndIsNotItsID(t *testing.T) {
	own := Origin{Role: "p", BootID: NewBootID()}
	id, other := own.NewID(), own.NewID()
	name := EventsID(id)
	if got, ok := OriginOf(name); got != own || !ok {
		t.Errorf("%s is of %+v, %t: servers could not forward it", name, got, ok)
	}
	if name == id || name != EventsID(id) || name == EventsID(other) || strings.Contains(name, id[9:17]) {
		t.Errorf("the events of %s are called %s", id, name)
	}
	if name := EventsID("no id"); name != "" {
		t.Errorf("what is no session has events called %s", name)
	}
}

func TestOtherIDsAreOfNoServer(t *testing.T) {
	id := Origin{Role: "p", BootID: "0123abcd"}.NewID()
	for _, other := range []string{
		"", "p", id[1:], id[:40], id + "0", "x" + id[1:], "P" + id[1:], "p0123ABCD" + id[9:], id[:40] + "g", "p/../../x" + id[9:],
	} {
		if o, ok := OriginOf(other); ok {
			t.Errorf("%q: %+v", other, o)
		}
	}
}

func TestALogDoesNotShowAnID(t *testing.T) {
	id := Origin{Role: "p", BootID: "0123abcd"}.NewID()
	name := LogName(id)
	if !strings.HasPrefix(id, name) || len(id)-len(name) < 96/4 {
		t.Errorf("%s is shown as %s", id, name)
	}
	if other := (Origin{Role: "p", BootID: "0123abcd"}).NewID(); LogName(other) == name {
		t.Error("two sessions have one name")
	}
	if LogName("p0") != "p0" {
		t.Error("a short id")
	}
}
