package server

import (
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

func TestTheRelaysTokenOpensNothingElse(t *testing.T) {
	name := filepath.Join(t.TempDir(), "token")
	write := func(token string) {
		t.Helper()
		if err := os.WriteFile(name, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var none tokenFile
	if none.is("") || none.isRelays("") || none.relayToken() != "" || none.isRelays(forRelay("")) {
		t.Error("a server without a token takes one")
	}
	synctest.Test(t, func(t *testing.T) {
		here, peer := tokenFile{name: name}, tokenFile{name: name}
		write(firstCluster)
		for _, f := range []*tokenFile{&here, &peer} {
			if err := f.load(); err != nil {
				t.Fatal(err)
			}
		}
		if !here.is(firstCluster) || !here.isRelays(peer.relayToken()) {
			t.Error("the token is refused")
		}
		if here.is(peer.relayToken()) || here.isRelays(firstCluster) {
			t.Error("one token opens both")
		}

		write(secondCluster)
		if err := here.load(); err != nil {
			t.Fatal(err)
		}
		if here.is(firstCluster) || !here.is(secondCluster) {
			t.Error("the replaced token still opens the command port")
		}
		if !peer.isRelays(here.relayToken()) || !here.isRelays(here.relayToken()) {
			t.Error("a peer that lags behind is shown what it cannot know")
		}
		time.Sleep(tokenOverlap - time.Second)
		if here.relayToken() != forRelay(secondCluster) {
			t.Error("the replaced token is shown for ever")
		}
		if !here.isRelays(peer.relayToken()) {
			t.Error("a peer that lags behind is refused")
		}
		if err := here.load(); err != nil { // again, without a change
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if here.isRelays(peer.relayToken()) {
			t.Error("the replaced token is taken for ever")
		}
		write("short")
		if err := here.load(); err == nil || !here.is(secondCluster) {
			t.Errorf("a wrong file: %v", err)
		}
	})
}
