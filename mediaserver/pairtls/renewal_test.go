package pairtls

import (
	"net/netip"
	"testing"
)

// A server that starts soon after a renewal knows only the new certificate. The other server must
// show it the new certificate at once, in either direction, and not only when the old one's time
// has passed.
func TestAServerThatStartsAfterARenewalIsMetWithTheNewCertificate(t *testing.T) {
	before, after := newCertificate(t), newCertificate(t)
	renewed := func() *Identity {
		i := newIdentityOf(before)
		i.Set(after, after.Leaf)
		return i
	}
	anyone := func(netip.Addr) bool { return true }
	t.Run("it is asked", func(t *testing.T) {
		if err := connect(listen(t, newIdentityOf(after), anyone), renewed().ClientConfig("Primary")); err != nil {
			t.Error(err)
		}
	})
	t.Run("it asks again", func(t *testing.T) {
		known := renewed()
		p, started := listen(t, known, anyone), newIdentityOf(after)
		// Both servers connect to each other. What a server learns in one direction counts in the
		// other.
		if err := connect(listen(t, started, anyone), known.ClientConfig("Primary")); err != nil {
			t.Fatal(err)
		}
		if err := connect(p, started.ClientConfig("Primary")); err != nil {
			t.Error(err)
		}
	})
	t.Run("one that knows the old certificate alone is still met with that", func(t *testing.T) {
		if err := connect(listen(t, newIdentityOf(before), anyone), renewed().ClientConfig("Primary")); err != nil {
			t.Error(err)
		}
	})
}
