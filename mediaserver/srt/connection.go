package srt

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/datarhei/gosrt/circular"
	"github.com/datarhei/gosrt/packet"

	"github.com/streampair/streampair/mediaserver/admission"
	"github.com/streampair/streampair/mediaserver/feed"
	"github.com/streampair/streampair/mediaserver/stream"
)

const (
	// tick is how often a connection acknowledges (section 4.8.1).
	tick = 10 * time.Millisecond
	// keepAlive is how often a connection that sends nothing else says that it is there (section 4.9).
	keepAlive = time.Second
	// noteEvery is how often the figures are kept for others.
	noteEvery = time.Second
	// lightEvery is after how many packets there is an acknowledgement between two ticks.
	lightEvery = 64
	// maxGaps bounds the gaps of a loss report, which must fit into a datagram.
	maxGaps = 128
	// packetsOfTransportStream is how many packets of a transport stream a packet has at most.
	packetsOfTransportStream = 7
)

// A connection is one caller, who publishes. Its goroutine does all of its work but the reading of
// the socket.
type connection struct {
	server      *Server
	remote      netip.AddrPort
	peer        peer
	socket      uint32 // ours
	place       *admission.Place
	publication *stream.Publication
	media       *feed.TransportStream
	began       time.Time
	answer      []byte // the handshake's, which is sent again if it was lost
	keys        *keys  // nil: the caller does not encrypt

	inbox chan []byte
	// ended is closed when somebody else ends the connection, for the reason why.
	ended chan struct{}
	why   stream.EndReason
	once  sync.Once

	// For the connection's goroutine:
	window    *window
	roundTrip roundTrip
	heard     time.Duration // when the last datagram came
	delivered time.Duration // when a PES packet last came
	packets   int           // PES packets so far
	said      time.Duration // when anything was last sent
	light     int           // packets since the last acknowledgement
	ack       struct {
		front    sequence // of the last acknowledgement
		number   uint32
		at       time.Duration
		answered bool
	}
	rate     arrivalRate
	noted    time.Duration // when the figures were last kept
	shutting bool          // the caller has ended the connection, and the window is being emptied

	stats atomic.Pointer[Stats]
}

// Stats are figures of a connection, for metrics and the status.
type Stats struct {
	RoundTrip time.Duration
	// Latency is the time from the sender to the publication. Buffered is how much of it is waiting.
	Latency, Buffered time.Duration
	// Packets so far: arrived in all, arrived because they were asked for again, and given up.
	Received, Retransmitted, Lost uint64
}

// now returns the time since the connection began.
func (c *connection) now() time.Duration { return time.Since(c.began) }

// stop ends the connection from another goroutine.
func (c *connection) stop(why stream.EndReason) {
	c.once.Do(func() {
		c.why = why
		close(c.ended)
	})
}

// push hands a datagram over. It is dropped if the connection does not keep up.
func (c *connection) push(datagram []byte) bool {
	select {
	case c.inbox <- datagram:
		return true
	default:
		return false
	}
}

// run serves the connection until it ends. It returns why.
func (c *connection) run() (reason stream.EndReason, err error) {
	timer := time.NewTimer(tick)
	defer timer.Stop()
	c.heard, c.delivered = c.now(), c.now()
	nextTick := c.now() + tick
	for {
		select {
		case <-c.ended:
			c.send(packet.CTRLTYPE_SHUTDOWN, 0, 0, &packet.CIFShutdown{})
			return c.why, nil
		case datagram := <-c.inbox:
			c.datagram(datagram)
		case <-timer.C:
		}
		now := c.now()
		if now >= nextTick {
			c.tick(now)
			nextTick = now + tick
		}
		if err := c.deliver(now); err != nil {
			c.send(packet.CTRLTYPE_SHUTDOWN, 0, 0, &packet.CIFShutdown{})
			return stream.EndError, err
		}
		due, waits := c.window.nextDue()
		switch {
		case c.shutting && !waits:
			c.media.Flush()
			return stream.EndUnpublished, nil
		case now-c.heard > c.server.cfg.Limits.PeerTimeout && !c.shutting, now-c.delivered > c.server.cfg.Limits.IdleTimeout:
			c.send(packet.CTRLTYPE_SHUTDOWN, 0, 0, &packet.CIFShutdown{})
			return stream.EndTimeout, nil
		}
		wait := nextTick - now
		if waits {
			wait = min(wait, due-now)
		}
		timer.Reset(max(wait, time.Millisecond))
	}
}

// datagram takes a datagram of the caller, at least headerSize long.
func (c *connection) datagram(b []byte) {
	now := c.now()
	c.heard = now
	if b[0]&0x80 == 0 {
		c.data(b, now)
		return
	}
	if c.shutting {
		return
	}
	var ok bool
	switch packet.CtrlType(binary.BigEndian.Uint16(b) &^ 0x8000) {
	case packet.CTRLTYPE_SHUTDOWN:
		c.shutting, ok = true, true
	case packet.CTRLTYPE_ACKACK:
		number := binary.BigEndian.Uint32(b[4:])
		c.roundTrip.answered(number, now)
		c.ack.answered = c.ack.answered || number == c.ack.number
		ok = true
	case packet.CRTLTYPE_DROPREQ:
		ok = c.dropRequest(b[headerSize:], now)
	case packet.CTRLTYPE_USER:
		ok = c.keyRequest(b, now)
	case packet.CTRLTYPE_HANDSHAKE: // the answer to the conclusion was lost
		c.write(c.answer)
		ok = true
	case packet.CTRLTYPE_KEEPALIVE, packet.CTRLTYPE_ACK, packet.CTRLTYPE_NAK, packet.CTRLTYPE_WARN, packet.CRTLTYPE_PEERERROR:
		ok = true // nothing is sent that they could be about
	}
	if !ok {
		c.server.dropped(ReasonControl)
	}
}

// data takes a data packet (section 3.1).
func (c *connection) data(b []byte, now time.Duration) {
	s := sequence(binary.BigEndian.Uint32(b))
	flags := b[4]
	key := packet.PacketEncryption(flags >> 3 & 3)
	payload := b[headerSize:]
	if (key != packet.UnencryptedPacket) != (c.keys != nil) {
		c.server.dropped(ReasonEncryption)
		return
	}
	if c.keys != nil {
		if err := c.keys.decrypt(payload, key, s); err != nil {
			c.server.dropped(ReasonEncryption)
			return
		}
	}
	if !c.publication.Hold(c.window.bytes + len(payload) + c.media.Held()) {
		c.server.dropped(ReasonMemory)
		return
	}
	c.window.counts.arrived++
	c.rate.add(len(b), now)
	const retransmitted = 4
	if flags&retransmitted != 0 {
		c.window.counts.retransmitted++
	}
	before := c.window.counts.tooFar
	if lost := c.window.add(s, binary.BigEndian.Uint32(b[8:]), payload, now); lost > 0 {
		c.ask([]gap{{s.plus(-lost), s.plus(-1)}})
	}
	if c.window.counts.tooFar > before {
		c.server.dropped(ReasonWindow)
	}
	if c.light++; c.light >= lightEvery {
		c.light = 0
		c.send(packet.CTRLTYPE_ACK, 0, 0, &packet.CIFACK{IsLite: true, LastACKPacketSequenceNumber: number(c.window.front)})
	}
}

// dropRequest takes the caller's word that it no longer has some packets (section 3.2.9).
func (c *connection) dropRequest(body []byte, now time.Duration) (ok bool) {
	if len(body) < 8 {
		return false
	}
	c.window.giveUp(gap{
		sequence(binary.BigEndian.Uint32(body) & sequenceMask), sequence(binary.BigEndian.Uint32(body[4:]) & sequenceMask),
	}, now)
	return true
}

// keyRequest takes new keys (section 6.1.6), and answers with the same message.
func (c *connection) keyRequest(b []byte, now time.Duration) (ok bool) {
	if packet.CtrlSubType(binary.BigEndian.Uint16(b[2:])) != packet.EXTTYPE_KMREQ || c.keys == nil {
		return false
	}
	if err := c.keys.refresh(b[headerSize:], now); err != nil {
		return false
	}
	answer := bytes.Clone(b)
	binary.BigEndian.PutUint16(answer[2:], packet.EXTTYPE_KMRSP.Value())
	c.stamp(answer)
	c.write(answer)
	return true
}

// deliver passes on what is due.
func (c *connection) deliver(now time.Duration) error {
	for {
		payload, lost := c.window.deliver(now)
		if payload == nil {
			return nil
		}
		if lost > 0 {
			c.media.Lost(lost * packetsOfTransportStream)
		}
		if err := c.media.Write(payload); err != nil {
			return err
		}
		if n := c.media.Packets(); n > c.packets {
			if c.packets == 0 {
				c.place.Hold()
			}
			c.packets, c.delivered = n, now
		}
	}
}

// tick acknowledges, asks again for what is missing, and says that the server is there.
func (c *connection) tick(now time.Duration) {
	if !c.shutting {
		c.acknowledge(now)
		c.ask(c.window.ask(now, c.roundTrip.askAgain(c.window.latency), maxGaps))
		if now-c.said >= keepAlive {
			c.send(packet.CTRLTYPE_KEEPALIVE, 0, 0, nil)
		}
	}
	if now-c.noted >= noteEvery {
		c.noted = now
		c.note(now)
	}
}

// acknowledge says which packets have arrived (section 3.2.4). It says so again if there is no answer.
func (c *connection) acknowledge(now time.Duration) {
	front := c.window.front
	repeat := !c.ack.answered && now-c.ack.at >= c.roundTrip.mean+4*c.roundTrip.deviation
	if front == c.ack.front && (c.ack.number == 0 || !repeat) {
		return
	}
	c.ack.front, c.ack.number, c.ack.at, c.ack.answered = front, c.roundTrip.acknowledge(now), now, false
	c.light = 0
	packets, bytes := c.rate.perSecond(now)
	c.send(packet.CTRLTYPE_ACK, 0, c.ack.number, &packet.CIFACK{
		LastACKPacketSequenceNumber: number(front),
		RTT:                         uint32(c.roundTrip.mean.Microseconds()), RTTVar: uint32(c.roundTrip.deviation.Microseconds()),
		AvailableBufferSize:   uint32(maxWindow - c.window.length()),
		PacketsReceivingRate:  uint32(packets),
		EstimatedLinkCapacity: uint32(2 * packets), // it is not measured: a live sender does not go by it
		ReceivingRate:         uint32(bytes),
	})
}

// ask sends a loss report (section 3.2.5).
func (c *connection) ask(gaps []gap) {
	if len(gaps) == 0 || c.shutting {
		return
	}
	var report packet.CIFNAK
	for _, g := range gaps {
		report.LostPacketSequenceNumber = append(report.LostPacketSequenceNumber, number(g.first), number(g.last))
	}
	c.send(packet.CTRLTYPE_NAK, 0, 0, &report)
}

func number(s sequence) circular.Number { return circular.New(uint32(s), packet.MAX_SEQUENCENUMBER) }

// note keeps figures for other goroutines.
func (c *connection) note(now time.Duration) {
	s := Stats{
		RoundTrip: c.roundTrip.mean, Latency: c.window.latency,
		Received: c.window.counts.arrived, Retransmitted: c.window.counts.retransmitted, Lost: c.window.counts.lost,
	}
	if due, ok := c.window.nextDue(); ok {
		s.Buffered = max(0, c.window.latency-max(0, due-now))
	}
	c.count(*c.stats.Swap(&s), s)
}

// count adds to the metrics what came after the figures before.
func (c *connection) count(before, s Stats) {
	m, key := c.server.cfg.Metrics, c.publication.Stream().Key()
	for what, n := range map[string]uint64{
		"received": s.Received - before.Received, "retransmitted": s.Retransmitted - before.Retransmitted, "lost": s.Lost - before.Lost,
	} {
		m.SRTPackets.WithLabelValues(key.App, key.ID, what).Add(float64(n))
	}
	m.SRTRoundTripSeconds.WithLabelValues(key.App, key.ID).Set(s.RoundTrip.Seconds())
	m.SRTBufferSeconds.WithLabelValues(key.App, key.ID).Set(s.Buffered.Seconds())
}

// send sends a control message. body may be nil.
func (c *connection) send(kind packet.CtrlType, sub packet.CtrlSubType, specific uint32, body packet.CIF) {
	b := controlMessage(kind, sub, specific, c.peer.socket, body)
	c.stamp(b)
	c.write(b)
}

// stamp sets the time of a control message.
func (c *connection) stamp(b []byte) {
	binary.BigEndian.PutUint32(b[8:], uint32(c.now().Microseconds()))
	binary.BigEndian.PutUint32(b[12:], c.peer.socket)
}

func (c *connection) write(b []byte) {
	c.said = c.now()
	c.server.write(b, c.remote)
}

// controlMessage returns a control message (section 3.2) with the time 0.
func controlMessage(kind packet.CtrlType, sub packet.CtrlSubType, specific, socket uint32, body packet.CIF) []byte {
	p := packet.NewPacket(nil)
	defer p.Decommission()
	header := p.Header()
	header.IsControlPacket, header.ControlType, header.SubType = true, kind, sub
	header.TypeSpecific, header.DestinationSocketId = specific, socket
	if body != nil {
		_ = p.MarshalCIF(body) // it fails for data packets alone
	}
	var b bytes.Buffer
	_ = p.Marshal(&b) // a Buffer takes everything
	return b.Bytes()
}

// An arrivalRate measures how much arrives in a second. The zero value is ready.
type arrivalRate struct {
	began          time.Duration
	packets, bytes int
	last           struct{ packets, bytes int } // in the second before began
}

func (r *arrivalRate) add(bytes int, now time.Duration) {
	r.turn(now)
	r.packets++
	r.bytes += bytes
}

func (r *arrivalRate) turn(now time.Duration) {
	if now-r.began >= time.Second {
		r.last.packets, r.last.bytes = r.packets, r.bytes
		r.began, r.packets, r.bytes = now, 0, 0
	}
}

func (r *arrivalRate) perSecond(now time.Duration) (packets, bytes int) {
	r.turn(now)
	return r.last.packets, r.last.bytes
}
