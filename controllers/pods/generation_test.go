package pods

import (
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/streampair/streampair/api/control"
)

func TestAManifestIsSentWithWhatItReplaces(t *testing.T) {
	inBubble(t, func(t *testing.T, f *followed) {
		f.connect()
		var headers []string
		f.pod.change(fakeToken, func(w http.ResponseWriter, r *http.Request) {
			headers = append(headers, r.Header.Get(control.HeaderReplaces))
			w.WriteHeader(http.StatusNoContent)
		})
		four := ManifestVersion{"a", 4}
		put := func(options ...ConfigOption) {
			t.Helper()
			if err := f.PutConfig(t.Context(), sundayPrimary, []byte("a"), options...); err != nil {
				t.Fatal(err)
			}
		}
		reports := func(v ManifestVersion) {
			s := playing("Primary")
			s.ConfigUID, s.ConfigGeneration = string(v.UID), v.Generation
			f.pod.send(s)
			synctest.Wait()
		}
		put(OfVersion(four), Replacing(ManifestVersion{"a", 9}))
		put(OfVersion(four), Replacing(ManifestVersion{"a", 9})) // no status has arrived yet
		reports(four)
		put(OfVersion(four))
		reports(ManifestVersion{"a", 9}) // a file restored the old manifest
		put(OfVersion(four), Replacing(ManifestVersion{"a", 9}))
		reports(ManifestVersion{"", 4}) // a version that reports no UID
		put(OfVersion(four))
		f.pod.mu.Lock()
		defer f.pod.mu.Unlock()
		if diff := cmp.Diff([]string{"9/a", "9/a"}, headers); diff != "" {
			t.Errorf("headers (-want +got):\n%s", diff)
		}
	})
}
