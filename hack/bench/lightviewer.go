package main

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/ice/v4"
	"github.com/pion/rtp"
	"github.com/pion/srtp/v3"
	"github.com/pion/stun/v3"
	"github.com/pion/transport/v4/packetio"
)

const (
	// lightConnectLimit bounds how long a light viewer may take from its offer to its SRTP keys.
	lightConnectLimit = 20 * time.Second
	// checkInterval is the time between two connectivity checks until one is answered.
	checkInterval = 100 * time.Millisecond
	// consentInterval is the shortest time between two checks for consent (RFC 7675). The longest
	// is twice that.
	consentInterval = 2 * time.Second
)

// A lightViewer is a WHEP viewer that costs little: it reads RTP headers, and sends no reports. A
// lightReader reads its socket. A viewer that samples also decrypts, and measures the delay of pictures.
type lightViewer struct {
	from    netip.Addr
	samples bool

	socket      lightSocket
	own, theirs iceCredentials
	server      netip.AddrPort
	print       string           // the server's fingerprint
	handshake   *packetio.Buffer // DTLS packets that came
	silent      atomic.Bool      // the DTLS connection has ended, and is not to say so
	checked     chan struct{}    // closed when the server has answered a check
	checkedOnce sync.Once
	consentDue  time.Time // is the reader's

	// These are guarded by the reader's mutex.
	tally  rtpTally
	keys   *srtp.Context // nil: none, or the viewer does not sample
	finder clockFinder
	plain  []byte          // of the last packet
	delays []time.Duration // of the pictures since the last report
	change legChange
	broken int64 // packets that could not be decrypted
}

// join opens the viewer's session. The reader then has the viewer.
func (v *lightViewer) join(ctx context.Context, url string, reader *lightReader, certificate tls.Certificate) (err error) {
	ctx, cancel := context.WithTimeout(ctx, lightConnectLimit)
	defer cancel()
	if v.socket, err = openLightSocket(v.from, v.samples); err != nil {
		return err
	}
	v.own, v.handshake, v.checked = newICECredentials(), packetio.NewBuffer(), make(chan struct{})
	text, err := v.post(ctx, url, lightOffer(v.socket.local, v.own, fingerprintOf(certificate.Certificate[0])))
	if err != nil {
		return err
	}
	answer, err := parseLightAnswer(text)
	if err != nil {
		return err
	}
	v.theirs, v.server, v.print = answer.iceCredentials, answer.server, answer.fingerprint
	v.tally.video, v.tally.audio = answer.video, answer.audio
	if err := v.socket.connect(v.server); err != nil {
		return err
	}
	if err := reader.add(v); err != nil {
		return err
	}
	if err := v.check(ctx); err != nil {
		return err
	}
	keys, err := v.exchangeKeys(ctx, certificate)
	if err != nil {
		return err
	}
	reader.begin(v, keys)
	return nil
}

// post sends the offer, again and again while the server has no such stream.
func (v *lightViewer) post(ctx context.Context, url, offer string) (string, error) {
	for {
		answer, err := postOffer(ctx, url, v.from, offer)
		if !errors.Is(err, errNotYet) {
			return answer, err
		}
		select {
		case <-ctx.Done():
			return "", err
		case <-time.After(retryPause):
		}
	}
}

// check sends connectivity checks until one is answered (RFC 8445 section 7.2).
func (v *lightViewer) check(ctx context.Context) error {
	ticker := time.NewTicker(checkInterval)
	defer ticker.Stop()
	for {
		v.sendCheck()
		select {
		case <-v.checked:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("no answer to connectivity checks: %w", ctx.Err())
		case <-ticker.C:
		}
	}
}

// sendCheck sends a binding request, which nominates the pair of the two addresses.
func (v *lightViewer) sendCheck() {
	const priority = 110<<24 | 65535<<8 | 255 // of a peer-reflexive candidate
	m, err := stun.Build(stun.BindingRequest, stun.TransactionID, stun.NewUsername(v.theirs.ufrag+":"+v.own.ufrag), ice.UseCandidate(),
		ice.AttrControlling(1), ice.PriorityAttr(priority), stun.NewShortTermIntegrity(v.theirs.password), stun.Fingerprint)
	if err == nil {
		v.socket.send(m.Raw)
	}
}

// renew sends a check for consent if one is due.
func (v *lightViewer) renew(now time.Time) {
	if now.Before(v.consentDue) {
		return
	}
	v.consentDue = now.Add(consentInterval + rand.N(consentInterval)) //nolint:gosec // nobody gains by guessing it
	v.sendCheck()
}

// receive takes one datagram. arrival is in ns since 1970.
func (v *lightViewer) receive(b []byte, arrival int64) {
	switch {
	case len(b) < 2:
	case b[0] < 4: // the ranges of RFC 7983
		v.receiveSTUN(b)
	case b[0] >= 20 && b[0] < 64:
		_, _ = v.handshake.Write(b) // nobody reads after the handshake
	case b[0] >= 128 && b[0] < 192:
		h, ok := parseRTPHeader(b)
		if !ok {
			return
		}
		v.tally.add(h, len(b))
		if v.keys != nil {
			v.sample(h, b, arrival)
		}
	}
}

// sample decrypts a packet, and measures the delay of the picture that the packet ends.
func (v *lightViewer) sample(h rtpHeader, b []byte, arrival int64) {
	var header rtp.Header
	plain, err := v.keys.DecryptRTP(v.plain[:0], b, &header)
	if err != nil {
		v.broken++
		return
	}
	v.plain = plain
	if h.payloadType != v.tally.video {
		return
	}
	payload := plain[header.MarshalSize():]
	if header.Padding && len(payload) > 0 {
		payload = payload[:max(0, len(payload)-int(payload[len(payload)-1]))]
	}
	if p, ok := v.finder.add(h.timestamp, h.marker, payload); ok {
		v.delays = append(v.delays, time.Duration(arrival-p.ns))
		v.change.add(p, arrival)
	}
}

// receiveSTUN answers a binding request of a server that is a full agent, and notes the answers.
func (v *lightViewer) receiveSTUN(b []byte) {
	m := &stun.Message{Raw: slices.Clone(b)}
	if m.Decode() != nil {
		return
	}
	switch m.Type {
	case stun.BindingSuccess:
		v.checkedOnce.Do(func() { close(v.checked) })
	case stun.BindingRequest:
		integrity := stun.NewShortTermIntegrity(v.own.password)
		if integrity.Check(m) != nil {
			return
		}
		answer, err := stun.Build(m, stun.BindingSuccess, &stun.XORMappedAddress{IP: v.server.Addr().AsSlice(), Port: int(v.server.Port())}, integrity, stun.Fingerprint)
		if err == nil {
			v.socket.send(answer.Raw)
		}
	}
}

// exchangeKeys does the DTLS handshake, and returns the context that decrypts what the server sends.
// The connection then ends without a word, so that the server keeps its own.
func (v *lightViewer) exchangeKeys(ctx context.Context, certificate tls.Certificate) (*srtp.Context, error) {
	conn, err := dtls.ClientWithOptions(lightWire{v}, net.UDPAddrFromAddrPort(v.server),
		dtls.WithCertificates(certificate),
		dtls.WithSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80),
		dtls.WithInsecureSkipVerify(true), // verify checks the fingerprint instead
		dtls.WithVerifyPeerCertificate(v.verify))
	if err != nil {
		return nil, fmt.Errorf("DTLS: %w", err)
	}
	defer func() {
		v.silent.Store(true)
		_ = conn.Close() // which closes v.handshake
	}()
	if err := conn.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("DTLS: %w", err)
	}
	profile := srtp.ProtectionProfileAeadAes128Gcm
	if selected, _ := conn.SelectedSRTPProtectionProfile(); selected == dtls.SRTP_AES128_CM_HMAC_SHA1_80 {
		profile = srtp.ProtectionProfileAes128CmHmacSha1_80
	}
	state, ok := conn.ConnectionState()
	if !ok {
		return nil, errors.New("DTLS has no state")
	}
	config := &srtp.Config{Profile: profile}
	if err := config.ExtractSessionKeysFromDTLS(&state, true); err != nil {
		return nil, err
	}
	return srtp.CreateContext(config.Keys.RemoteMasterKey, config.Keys.RemoteMasterSalt, profile)
}

func (v *lightViewer) verify(raw [][]byte, _ [][]*x509.Certificate) error {
	if len(raw) == 0 || fingerprintOf(raw[0]) != v.print {
		return errors.New("the server's certificate is not the one in its answer")
	}
	return nil
}

// fingerprintOf returns the SHA-256 fingerprint of a certificate (RFC 8122 section 5).
func fingerprintOf(certificate []byte) string {
	sum := sha256.Sum256(certificate)
	return strings.ReplaceAll(strings.ToUpper(fmt.Sprintf("% x", sum[:])), " ", ":")
}

// A lightWire is what DTLS sends and receives by.
type lightWire struct{ v *lightViewer }

func (w lightWire) ReadFrom(b []byte) (int, net.Addr, error) {
	n, err := w.v.handshake.Read(b)
	return n, net.UDPAddrFromAddrPort(w.v.server), err
}

func (w lightWire) WriteTo(b []byte, _ net.Addr) (int, error) {
	if !w.v.silent.Load() {
		w.v.socket.send(b)
	}
	return len(b), nil
}

func (w lightWire) Close() error                      { return w.v.handshake.Close() }
func (w lightWire) LocalAddr() net.Addr               { return net.UDPAddrFromAddrPort(w.v.socket.local) }
func (w lightWire) SetDeadline(t time.Time) error     { return w.SetReadDeadline(t) }
func (w lightWire) SetReadDeadline(t time.Time) error { return w.v.handshake.SetReadDeadline(t) }
func (w lightWire) SetWriteDeadline(time.Time) error  { return nil }
