package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// Payload types in the offer of a light viewer.
const (
	offeredVideo = 102
	offeredAudio = 111
)

// iceCredentials are those of one side (RFC 8839 section 5.4).
type iceCredentials struct{ ufrag, password string }

func newICECredentials() iceCredentials { return iceCredentials{rand.Text()[:8], rand.Text()} }

// lightOffer returns an offer to receive H.264 and Opus at an address. fingerprint is that of the
// viewer's certificate. The viewer is the DTLS client.
func lightOffer(at netip.AddrPort, own iceCredentials, fingerprint string) string {
	transport := fmt.Sprintf("c=IN IP4 0.0.0.0\r\na=setup:active\r\na=ice-ufrag:%s\r\na=ice-pwd:%s\r\na=fingerprint:sha-256 %s\r\n"+
		"a=rtcp-mux\r\na=rtcp-rsize\r\na=recvonly\r\n", own.ufrag, own.password, fingerprint)
	var b strings.Builder
	fmt.Fprintf(&b, "v=0\r\no=- %d 1 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n", time.Now().UnixNano())
	fmt.Fprintf(&b, "m=video 9 UDP/TLS/RTP/SAVPF %d\r\n%sa=mid:0\r\n", offeredVideo, transport)
	fmt.Fprintf(&b, "a=rtpmap:%[1]d H264/90000\r\na=fmtp:%[1]d level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f\r\n"+
		"a=rtcp-fb:%[1]d nack\r\na=rtcp-fb:%[1]d nack pli\r\n", offeredVideo)
	fmt.Fprintf(&b, "a=candidate:1 1 udp 2130706431 %s %d typ host\r\na=end-of-candidates\r\n", at.Addr(), at.Port())
	// MediaMTX refuses an offer without PCMU, as all browsers have it, if its stream has no sound.
	fmt.Fprintf(&b, "m=audio 9 UDP/TLS/RTP/SAVPF %d 0\r\n%sa=mid:1\r\na=rtpmap:0 PCMU/8000\r\n", offeredAudio, transport)
	fmt.Fprintf(&b, "a=rtpmap:%[1]d opus/48000/2\r\na=fmtp:%[1]d minptime=10;useinbandfec=1\r\n", offeredAudio)
	return b.String()
}

// A lightAnswer is what a light viewer needs of the server's answer.
type lightAnswer struct {
	iceCredentials
	fingerprint  string         // SHA-256, upper case with colons
	server       netip.AddrPort // where media comes from
	video, audio uint8          // payload types
}

// parseLightAnswer reads an answer. It takes the UDP host candidate on 127.0.0.1, or else the first
// one of UDP.
func parseLightAnswer(sdp string) (a lightAnswer, err error) {
	for line := range strings.Lines(sdp) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch name {
		case "a=ice-ufrag":
			a.ufrag = value
		case "a=ice-pwd":
			a.password = value
		case "a=fingerprint":
			if hash, print, _ := strings.Cut(value, " "); strings.EqualFold(hash, "sha-256") {
				a.fingerprint = strings.ToUpper(print)
			}
		case "a=candidate":
			a.addCandidate(strings.Fields(value))
		}
		if fields := strings.Fields(line); len(fields) > 3 {
			payloadType, _ := strconv.ParseUint(fields[3], 10, 7) // 0 is what no stream has
			switch fields[0] {
			case "m=video":
				a.video = uint8(payloadType)
			case "m=audio":
				a.audio = uint8(payloadType)
			}
		}
	}
	if a.ufrag == "" || a.password == "" || a.fingerprint == "" || !a.server.IsValid() || a.video == 0 {
		return a, fmt.Errorf("an answer without ICE, a fingerprint, a UDP candidate or video:\n%s", sdp)
	}
	return a, nil
}

// addCandidate reads the fields of a candidate (RFC 8839 section 5.1).
func (a *lightAnswer) addCandidate(fields []string) {
	if len(fields) < 8 || fields[1] != "1" || !strings.EqualFold(fields[2], "udp") {
		return
	}
	ip, err := netip.ParseAddr(fields[4])
	port, portErr := strconv.ParseUint(fields[5], 10, 16)
	if err != nil || portErr != nil || !ip.Is4() {
		return
	}
	if loopback := netip.AddrFrom4([4]byte{127, 0, 0, 1}); !a.server.IsValid() || ip == loopback && a.server.Addr() != loopback {
		a.server = netip.AddrPortFrom(ip, uint16(port))
	}
}

// errNotYet says that the server has no such stream yet.
var errNotYet = errors.New("no such stream yet")

// postOffer sends an offer by WHEP from an address, and returns the answer.
func postOffer(ctx context.Context, url string, from netip.Addr, offer string) (string, error) {
	dialer := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))}
	client := http.Client{Transport: &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true}}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader([]byte(offer)))
	if err != nil {
		return "", err
	}
	request.Header.Set("Content-Type", "application/sdp")
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	switch {
	case err != nil:
		return "", err
	case response.StatusCode == http.StatusNotFound:
		return "", fmt.Errorf("%w: %s", errNotYet, body)
	case response.StatusCode != http.StatusCreated:
		return "", fmt.Errorf("%s: %s", response.Status, body)
	}
	return string(body), nil
}
