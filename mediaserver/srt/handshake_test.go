package srt

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"
	"time"

	"github.com/datarhei/gosrt/circular"
	"github.com/datarhei/gosrt/crypto"
	"github.com/datarhei/gosrt/packet"

	"github.com/streampair/streampair/mediaserver/stream"
)

func TestStreamIDs(t *testing.T) {
	primary := stream.Key{App: "live", ID: "primary"}
	for _, test := range []struct {
		text string
		want target
		err  error
	}{
		{"#!::m=publish,r=live/primary,s=TOKEN", target{primary, "TOKEN"}, nil},
		{"#!::r=live/primary,m=publish", target{primary, ""}, nil},
		{"#!::h=host,t=stream,u=me,r=/live/primary,m=publish,s=a=b", target{primary, "a=b"}, nil},
		{"%23!::m=publish%2Cr=live%2Fprimary,s=a%3Db", target{primary, "a=b"}, nil},
		{"publish:live/primary:TOKEN", target{primary, "TOKEN"}, nil},
		{"publish:live/primary", target{primary, ""}, nil},
		{"publish:/live/primary/", target{primary, ""}, nil},
		{"#!::r=live/primary,s=TOKEN", target{}, errMode}, // the default is to request
		{"#!::m=request,r=live/primary", target{}, errMode},
		{"read:live/primary", target{}, errMode},
		{"", target{}, errStreamID},
		{"live/primary", target{}, errStreamID},
		{"#!::m=other,r=live/primary", target{}, errStreamID},
		{"publish:primary", target{}, stream.ErrInvalidStreamID},
		{"publish:live/primary/more", target{}, stream.ErrInvalidStreamID},
		{"publish:live/../etc", target{}, stream.ErrInvalidStreamID},
	} {
		got, err := parseStreamID(test.text)
		if !errors.Is(err, test.err) || err == nil && got != test.want {
			t.Errorf("%q: %+v, %v", test.text, got, err)
		}
	}
}

// conclusionOf returns a caller's handshake as a datagram.
func conclusionOf(change func(*packet.CIFHandshake)) []byte {
	h := &packet.CIFHandshake{
		IsRequest: true, Version: protocolVersion, HandshakeType: packet.HSTYPE_CONCLUSION,
		InitialPacketSequenceNumber: circular.New(77, packet.MAX_SEQUENCENUMBER), MaxTransmissionUnitSize: 1500, MaxFlowWindowSize: 8192,
		SRTSocketId: 5, SynCookie: 6, HasHS: true, HasSID: true, StreamId: "publish:live/primary:TOKEN",
		SRTHS: &packet.CIFHandshakeExtension{SRTVersion: 0x010401, RecvTSBPDDelay: 120, SendTSBPDDelay: 120,
			SRTFlags: packet.CIFHandshakeExtensionFlags{TSBPDSND: true, TSBPDRCV: true, CRYPT: true, TLPKTDROP: true, PERIODICNAK: true, REXMITFLG: true}},
	}
	if change != nil {
		change(h)
	}
	return controlMessage(packet.CTRLTYPE_HANDSHAKE, 0, 0, 0, h)
}

func TestHandshakesAreChecked(t *testing.T) {
	h, err := parseHandshake(conclusionOf(nil))
	if err != nil || h.StreamId != "publish:live/primary:TOKEN" || h.check() != nil {
		t.Fatalf("%+v, %v", h, err)
	}
	for name, test := range map[string]struct {
		change func(*packet.CIFHandshake)
		want   Reason
	}{
		"version 4":      {func(h *packet.CIFHandshake) { h.Version = 4 }, ReasonVersion},
		"an old library": {func(h *packet.CIFHandshake) { h.SRTHS.SRTVersion = 0x010200 }, ReasonVersion},
		"no extension":   {func(h *packet.CIFHandshake) { h.HasHS = false }, ReasonVersion},
		"MTU 43":         {func(h *packet.CIFHandshake) { h.MaxTransmissionUnitSize = 43 }, ReasonHandshake},
		"MTU 1501":       {func(h *packet.CIFHandshake) { h.MaxTransmissionUnitSize = 1501 }, ReasonHandshake},
		"stream mode":    {func(h *packet.CIFHandshake) { h.SRTHS.SRTFlags.STREAM = true }, ReasonMode},
		"file mode":      {func(h *packet.CIFHandshake) { h.HasCongestionCtl, h.CongestionCtl = true, "file" }, ReasonMode},
	} {
		h, err := parseHandshake(conclusionOf(test.change))
		if err != nil {
			t.Fatal(err)
		}
		if r := h.check(); r == nil || r.reason != test.want || r.code < 1000 || r.description == "" {
			t.Errorf("%s: %+v", name, r)
		}
	}
	const fec = "\x00\x07\x00\x01cef," // "fec," in words of four bytes, the last first
	if h, err := parseHandshake(append(conclusionOf(nil), fec...)); err != nil || h.check() == nil || h.check().reason != ReasonMode {
		t.Errorf("FEC: %+v, %v", h.check(), err)
	}
	l := Limits{}.withDefaults()
	for asked, want := range map[uint16]time.Duration{0: l.MinLatency, 500: 500 * time.Millisecond, 65535: l.MaxLatency} {
		if got := latencyOf(asked, l); got != want {
			t.Errorf("latency of %d ms: %v", asked, got)
		}
	}
}

// The library panics at some of these.
func TestHandshakesThatAreCutOff(t *testing.T) {
	whole := conclusionOf(nil)
	for n := headerSize; n < len(whole); n++ {
		if h, err := parseHandshake(whole[:n]); err == nil && h.check() == nil && h.StreamId != "" {
			t.Errorf("%d of %d bytes are a whole handshake", n, len(whole))
		}
	}
}

func FuzzHandshake(f *testing.F) {
	f.Add(conclusionOf(nil))
	f.Add(conclusionOf(func(h *packet.CIFHandshake) { h.HandshakeType = packet.HSTYPE_INDUCTION }))
	f.Add(conclusionOf(nil)[:65])
	f.Add(make([]byte, headerSize))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < headerSize {
			return
		}
		h, err := parseHandshake(b)
		if err != nil {
			return
		}
		_, _ = parseStreamID(h.StreamId)
		refused := h.check()
		if h.SRTKM != nil {
			_, _ = newKeys(h.SRTKM, []string{"a passphrase"})
		}
		if refused != nil {
			h.answerRefusal(refused.code)
		} else {
			h.answerConclusion(1, time.Second)
		}
		if answer := controlMessage(packet.CTRLTYPE_HANDSHAKE, 0, 0, 1, &h.CIFHandshake); len(answer) > maxDatagram {
			t.Fatalf("an answer of %d bytes", len(answer))
		}
	})
}

func TestKeys(t *testing.T) {
	senders, err := crypto.New(16)
	if err != nil {
		t.Fatal(err)
	}
	message := func(key packet.PacketEncryption) *packet.CIFKeyMaterialExtension {
		km := &packet.CIFKeyMaterialExtension{}
		if err := senders.MarshalKM(km, passphrase, key); err != nil {
			t.Fatal(err)
		}
		return km
	}
	bytesOf := func(km *packet.CIFKeyMaterialExtension) []byte {
		var b bytes.Buffer
		if err := km.Marshal(&b); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	reads := func(k *keys, key packet.PacketEncryption) bool {
		b := []byte("the payload")
		if err := senders.EncryptOrDecryptPayload(b, key, 9); err != nil {
			t.Fatal(err)
		}
		return k.decrypt(b, key, 9) == nil && string(b) == "the payload"
	}
	even := message(packet.EvenKeyEncrypted)
	if _, err := newKeys(even, []string{"another passphrase"}); !errors.Is(err, errPassphrase) {
		t.Errorf("a wrong passphrase: %v", err)
	}
	k, err := newKeys(even, []string{"another passphrase", passphrase})
	if err != nil || !reads(k, packet.EvenKeyEncrypted) || reads(k, packet.OddKeyEncrypted) {
		t.Fatalf("the first key: %v", err)
	}
	// A new key comes beside the one in use.
	if err := senders.GenerateSEK(packet.OddKeyEncrypted); err != nil {
		t.Fatal(err)
	}
	odd := bytesOf(message(packet.OddKeyEncrypted))
	for _, repeat := range []time.Duration{0, time.Millisecond} {
		if err := k.refresh(odd, time.Minute+repeat); err != nil {
			t.Fatal(err)
		}
	}
	if !reads(k, packet.EvenKeyEncrypted) || !reads(k, packet.OddKeyEncrypted) {
		t.Error("a new key did not come beside the one in use")
	}
	// Nonsense changes nothing.
	broken := bytes.Clone(odd)
	broken[len(broken)-1] ^= 1
	binary.BigEndian.PutUint64(broken[16:], 0) // the salt
	for _, b := range [][]byte{nil, {1, 2, 3, 4}, broken, odd[:20]} {
		if err := k.refresh(b, time.Hour); err == nil {
			t.Errorf("%d bytes are taken as a key", len(b))
		}
		k.taken = 0
	}
	if !reads(k, packet.EvenKeyEncrypted) || !reads(k, packet.OddKeyEncrypted) {
		t.Error("nonsense has changed the keys")
	}
	gcm := message(packet.EvenKeyEncrypted)
	gcm.Cipher = 3
	if _, err := newKeys(gcm, []string{passphrase}); !errors.Is(err, errCipher) {
		t.Errorf("another cipher: %v", err)
	}
}
