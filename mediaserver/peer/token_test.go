package peer

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

const firstCluster, secondCluster = "cluster-token-number-one", "cluster-token-number-two"

func TestTheRelaysTokenOpensNothingElse(t *testing.T) {
	name := filepath.Join(t.TempDir(), "token")
	write := func(token string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var none ClusterToken
	if none.Is("") || none.isRelayToken("") || none.relayToken() != "" || none.isRelayToken(DeriveRelayToken("")) {
		t.Error("a server without a token takes one")
	}
	synctest.Test(t, func(t *testing.T) {
		here, peer := ClusterToken{}, ClusterToken{}
		write(firstCluster)
		for _, f := range []*ClusterToken{&here, &peer} {
			if err := f.Load(name); err != nil {
				t.Fatal(err)
			}
		}
		if !here.Is(firstCluster) || !here.isRelayToken(peer.relayToken()) {
			t.Error("the token is refused")
		}
		if here.Is(peer.relayToken()) || here.isRelayToken(firstCluster) {
			t.Error("one token opens both")
		}

		write(secondCluster)
		if err := here.Load(name); err != nil {
			t.Fatal(err)
		}
		if here.Is(firstCluster) || !here.Is(secondCluster) {
			t.Error("the replaced token still opens the command port")
		}
		if !peer.isRelayToken(here.relayToken()) || !here.isRelayToken(here.relayToken()) {
			t.Error("a peer that lags behind is shown what it cannot know")
		}
		time.Sleep(tokenOverlap - time.Second)
		if here.relayToken() != DeriveRelayToken(secondCluster) {
			t.Error("the replaced token is shown for ever")
		}
		if !here.isRelayToken(peer.relayToken()) {
			t.Error("a peer that lags behind is refused")
		}
		if err := here.Load(name); err != nil { // again, without a change
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if here.isRelayToken(peer.relayToken()) {
			t.Error("the replaced token is taken for ever")
		}
		write("short")
		if err := here.Load(name); err == nil || !here.Is(secondCluster) {
			t.Errorf("a wrong file: %v", err)
		}
	})
}
