package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/pion/webrtc/v4"
)

const (
	// Each of offerWorkers workers sends offersPerSecond offers.
	offersPerSecond = 4
	offerWorkers    = 4
)

// viewerOffer returns the offer of a viewer made of pion.
func viewerOffer() (string, error) {
	pc, err := newViewerPeer(webrtc.NetworkTypeUDP4)
	if err != nil {
		return "", err
	}
	defer func() { _ = pc.Close() }()
	offer, err := pc.CreateOffer(nil)
	return offer.SDP, err
}

// plainOffers returns an offer as viewers make it.
func plainOffers(offer string) []string { return []string{offer} }

// manyFormats returns offers of a few kilobytes that a parser multiplies.
// A section lists one format many times, and has many lines of feedback.
func manyFormats(offer string) []string {
	var offers []string
	for _, size := range []struct{ formats, feedback int }{{500, 200}, {2000, 500}, {6000, 1500}, {14000, 2000}} {
		offers = append(offers, inSection(offer, "audio",
			"m=audio 9 UDP/TLS/RTP/SAVPF 1"+strings.Repeat(" 1", size.formats),
			"a=rtpmap:1 opus/48000/2\r\n"+strings.Repeat("a=rtcp-fb:1 x\r\n", size.feedback)))
	}
	return offers
}

// allOffers returns offers with one kind of excess each, and texts that are not offers.
func allOffers(offer string) []string {
	repeated := func(line string, n int) string {
		var text strings.Builder
		for i := range n {
			fmt.Fprintf(&text, line+"\r\n", i)
		}
		return text.String()
	}
	var formats, maps strings.Builder
	for payloadType := range 128 {
		fmt.Fprintf(&formats, " %d", payloadType)
		fmt.Fprintf(&maps, "a=rtpmap:%d opus/48000/2\r\n%s", payloadType, strings.Repeat(fmt.Sprintf("a=rtcp-fb:%d x\r\n", payloadType), 15))
	}
	all := manyFormats(offer)
	return append(all,
		inSection(offer, "audio", "m=audio 9 UDP/TLS/RTP/SAVPF"+formats.String(), maps.String()),
		inSection(offer, "video", "", repeated("a=ssrc:%d cname:x", 2500)),
		inSection(offer, "video", "", repeated("a=extmap:%d urn:x", 2500)),
		inSection(offer, "video", "", repeated("a=rid:%d send", 2500)+"a=simulcast:send "+strings.Repeat("1;", 9000)+"1\r\n"),
		inSection(offer, "video", "", repeated("a=candidate:1 1 udp %d 127.0.0.66 9 typ host", 1000)),
		inSection(offer, "video", "", repeated("a=candidate:1 1 udp 1 host-%d.invalid 9 typ host", 1000)),
		inSection(offer, "video", "", repeated("a=x-%d", 5000)),
		inSection(offer, "video", "", "a=fmtp:96 "+strings.Repeat("x=1;", 14000)+"\r\n"),
		strings.Replace(offer, "a=group:BUNDLE", "a=group:BUNDLE"+strings.Repeat(" 0", 14000), 1),
		offer+strings.Repeat("m=video 9 UDP/TLS/RTP/SAVPF 96\r\nc=IN IP4 0.0.0.0\r\na=recvonly\r\n", 900),
		strings.ReplaceAll(offer, "\r\n", "\n"),
		offer[:len(offer)/2], "", "v=0", strings.Repeat("\x00", 60_000), strings.Repeat("m=", 30_000),
	)
}

// inSection puts lines into the first section of a kind, in place of its
// formats. If mediaLine is not empty, it replaces the section's first line.
func inSection(offer, kind, mediaLine, lines string) string {
	before, section, found := strings.Cut(offer, "m="+kind)
	if !found {
		return offer
	}
	section, after, more := strings.Cut(section, "\r\nm=")
	if more {
		after = "m=" + after
	}
	first, rest, _ := strings.Cut(section, "\r\n")
	kept := "m=" + kind + first + "\r\n"
	if mediaLine != "" {
		kept = mediaLine + "\r\n"
	}
	var text strings.Builder
	text.WriteString(before + kept)
	for line := range strings.Lines(rest + "\r\n") {
		isFormat := strings.HasPrefix(line, "a=rtpmap:") || strings.HasPrefix(line, "a=fmtp:") || strings.HasPrefix(line, "a=rtcp-fb:")
		if mediaLine == "" || !isFormat {
			text.WriteString(line)
		}
	}
	return text.String() + lines + after
}

// sendOffers posts the offers to play and to publish, with several workers.
func sendOffers(make func(offer string) []string) func(context.Context, target, *tally) {
	return func(ctx context.Context, t target, came *tally) {
		offer, err := viewerOffer()
		if err != nil {
			came.add(err.Error())
			return
		}
		offers := make(offer)
		client := insecureClient(dialer().DialContext)
		defer client.CloseIdleConnections()
		inParallel(offerWorkers, func(worker int) {
			for n := worker; ctx.Err() == nil; n++ {
				path := "whep/primary?backupStreamId=backup"
				if n%3 == 2 {
					path = "whip/" + t.openIDs[0]
				}
				request(ctx, client, came, http.MethodPost, t.url(path), "application/sdp", offers[n%len(offers)])
				pause(ctx, time.Second/offersPerSecond)
			}
		})
	}
}

// sendFragments opens sessions, and sends SDP fragments to them.
func sendFragments(ctx context.Context, t target, came *tally) {
	offer, err := viewerOffer()
	if err != nil {
		came.add(err.Error())
		return
	}
	client := insecureClient(dialer().DialContext)
	defer client.CloseIdleConnections()
	candidate := "a=candidate:1 1 udp 1 127.0.0.66 9 typ host\r\n"
	fragments := []string{
		"", "a=ice-ufrag:xxxx\r\na=ice-pwd:yyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n", strings.Repeat(candidate, 100), strings.Repeat("a=candidate:", 2000),
		"m=audio 9 RTP/AVP 0\r\na=mid:0\r\n" + strings.Replace(candidate, "127.0.0.66", "stranger.invalid", 1),
		"m=audio 9 RTP/AVP 0\r\na=mid:0\r\n" + strings.Replace(candidate, "127.0.0.66", "00000000-0000-0000-0000-000000000000.local", 1),
		strings.Repeat("m=audio 9 RTP/AVP 0\r\na=mid:0\r\n", 800),
	}
	for n := 0; ctx.Err() == nil; n++ {
		opened, err := do(ctx, client, http.MethodPost, t.url("whep/primary?backupStreamId=backup"), "application/sdp", offer)
		if err != nil || opened.location == nil {
			came.add(opened.String())
			pause(ctx, time.Second)
			continue
		}
		for _, fragment := range fragments {
			request(ctx, client, came, http.MethodPatch, opened.location.String(), "application/trickle-ice-sdpfrag", fragment)
		}
		pause(ctx, time.Second/offersPerSecond)
	}
}

// An answer has the needed parts of an HTTP response.
type answer struct {
	status   int      // 0: there was no response
	location *url.URL // of the opened session; nil: no session was opened
}

// String returns the status as text.
func (a answer) String() string {
	if a.status == 0 {
		return "no answer"
	}
	return fmt.Sprint(a.status)
}

func do(ctx context.Context, client *http.Client, method, to, contentType, body string) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, to, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	request.Header.Set("If-Match", "*")
	response, err := client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = response.Body.Close() }()
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 1<<20))
	location, _ := response.Location() // the only error is that there is none
	return answer{response.StatusCode, location}, nil
}

// request sends a request and counts the status of its answer.
func request(ctx context.Context, client *http.Client, came *tally, method, url, contentType, body string) {
	got, _ := do(ctx, client, method, url, contentType, body) // String of the answer shows the error
	if ctx.Err() == nil {
		came.add(got.String())
	}
}
