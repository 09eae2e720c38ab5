package server

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/streampair/streampair/hack/eventually"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

// Clients of others publish the two legs by WHIP, with tokens and from pages of another origin. They
// play the pair by WHEP, through the loss of a leg. They are whip-whep, and Eyevinn's WHIP client and
// player.
func TestClientsOfOthersPublishAndPlay(t *testing.T) {
	s := startServer(t, strings.Replace(sticky, "publish: {auth: None}", "playback: {auth: Token}\n  publish: {auth: Token}", 1))
	eventually.True(t, "the manifest is in force", func() bool { return len(s.Manifest().Pairs) == 1 })
	keys := s.Manifest().Pairs[0].Keys
	browser := mediatest.Browser(t)
	open := func(tab context.Context) context.Context {
		mediatest.Open(t, tab, mediatest.ClientsPage(t))
		return tab
	}
	call := func(tab context.Context, function, client, url, token string) {
		t.Helper()
		mediatest.Eval[bool](t, tab, fmt.Sprintf("%s(%q, %q, %q)", function, client, url, token))
	}
	clients := []string{"whip-whep", "eyevinn"}
	publishers := open(browser)
	for leg, client := range clients {
		call(publishers, "publish", client, s.url("whip/"+legIDs[leg]), keys.PublishToken)
		s.onAir("primary", true, leg == 1)
	}

	viewers := open(mediatest.Tab(t, browser))
	plays := func(when string) {
		t.Helper()
		for _, client := range clients {
			began := mediatest.Eval[float64](t, viewers, position(client))
			mediatest.Await(t, viewers, patience, fmt.Sprintf("%s > %f", position(client), began+2), position(client))
			if width := mediatest.Eval[int](t, viewers, fmt.Sprintf("document.getElementById(%q).videoWidth", client)); width == 0 {
				t.Errorf("%s: %s has no picture", when, client)
			}
		}
	}
	for _, client := range clients {
		call(viewers, "play", client, s.url("whep/primary", "backupStreamId", "backup"), keys.PlayToken)
	}
	plays("at first")
	events := func() []string { return mediatest.Eval[[]string](t, viewers, "events") }
	eventually.True(t, "events of WHEP", func() bool {
		return slices.Contains(events(), "active {}") && slices.Contains(events(), `viewercount {"viewercount":2}`)
	})

	call(publishers, "stop", clients[0], "", "")
	s.onAir("backup", false, true)
	plays("after the switch")
	for _, client := range clients {
		call(viewers, "stop", client, "", "")
	}
	call(publishers, "stop", clients[1], "", "")
	eventually.True(t, "all sessions have ended", func() bool {
		st := s.status()
		return st.Viewers == 0 && publishing(st) == 0
	})
}

// position returns how many seconds of pictures a client has shown, as an expression.
func position(client string) string {
	return fmt.Sprintf("document.getElementById(%q).getVideoPlaybackQuality().totalVideoFrames / 30", client)
}
