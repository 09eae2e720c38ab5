package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pion/webrtc/v4"
)

const (
	stalledPlayers = 200
	stalledViewers = 60
	vanishing      = 20
	// receiveBuffer is the receive buffer of clients that do not
	// read, in bytes. What does not fit stays with the server.
	receiveBuffer = 4096
)

// dialNarrow connects with a small receive buffer.
func dialNarrow(ctx context.Context, address string) (*net.TCPConn, error) {
	conn, err := dialer().DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	tcp := conn.(*net.TCPConn)
	return tcp, tcp.SetReadBuffer(receiveBuffer)
}

// stallFLV requests the stream as HTTP-FLV, and reads nothing.
func stallFLV(ctx context.Context, t target, came *tally) {
	inParallel(stalledPlayers, func(i int) {
		pause(ctx, time.Duration(i)*10*time.Millisecond)
		for ctx.Err() == nil {
			conn, err := dialNarrow(ctx, t.http)
			if err != nil {
				came.add("not connected")
				pause(ctx, time.Second)
				continue
			}
			_, _ = io.WriteString(conn, "GET /live/primary.flv HTTP/1.1\r\nHost: stranger\r\n\r\n")
			came.add(awaitEnd(ctx, conn))
			_ = conn.Close()
			pause(ctx, time.Second)
		}
	})
}

// awaitEnd waits until the other side has ended the
// connection, without reading, and returns when that was.
func awaitEnd(ctx context.Context, conn *net.TCPConn) string {
	begun := time.Now()
	for pause(ctx, 200*time.Millisecond) {
		// The other side does not expect these bytes. After a reset the write fails.
		if _, err := conn.Write([]byte("\r\n")); err != nil {
			return fmt.Sprintf("ended within %d s", int(time.Since(begun).Seconds()/10+1)*10)
		}
	}
	return "still open at the end"
}

// stallICETCP opens WHEP sessions over ICE-TCP that answer consent but read no media.
// The viewers are made of pion. A relay between them and the server stops reading.
func stallICETCP(ctx context.Context, t target, came *tally) {
	var stalled atomic.Bool
	proxy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		came.add(err.Error())
		return
	}
	defer func() { _ = proxy.Close() }()
	go serveStalling(ctx, proxy, t.webrtc, &stalled)
	_, from, _ := net.SplitHostPort(t.webrtc)
	_, to, _ := net.SplitHostPort(proxy.Addr().String())

	inParallel(stalledViewers, func(i int) {
		pause(ctx, time.Duration(i)*20*time.Millisecond)
		pc, err := newViewerPeer(webrtc.NetworkTypeTCP4)
		if err != nil {
			came.add(err.Error())
			return
		}
		defer func() { _ = pc.GracefulClose() }()
		err = negotiate(ctx, pc, t.url("whep/primary?backupStreamId=backup"), func(answer string) string {
			return strings.ReplaceAll(answer, " "+from+" typ", " "+to+" typ")
		})
		if err != nil {
			came.add(err.Error())
			return
		}
		pause(ctx, 3*time.Second)
		stalled.Store(true)
		<-ctx.Done()
		came.add(pc.ConnectionState().String())
	})
}

// serveStalling forwards bytes in both directions until stalled
// is set. From then on it forwards nothing from the server.
func serveStalling(ctx context.Context, l net.Listener, server string, stalled *atomic.Bool) {
	for {
		client, err := l.Accept()
		if err != nil {
			return
		}
		conn, err := dialNarrow(ctx, server)
		if err != nil {
			_ = client.Close()
			continue
		}
		context.AfterFunc(ctx, func() {
			_ = client.Close()
			_ = conn.Close()
		})
		go func() { _, _ = io.Copy(conn, client) }()
		go func() {
			buffer := make([]byte, receiveBuffer)
			for {
				if stalled.Load() {
					if !pause(ctx, 100*time.Millisecond) {
						return
					}
					continue
				}
				n, err := conn.Read(buffer)
				if err != nil {
					return
				}
				_, _ = client.Write(buffer[:n])
			}
		}()
	}
}

// vanish opens WHEP sessions, and abandons them without closing.
func vanish(ctx context.Context, t target, came *tally) {
	inParallel(vanishing, func(int) {
		for ctx.Err() == nil {
			pc, err := newViewerPeer(webrtc.NetworkTypeUDP4)
			if err != nil {
				came.add(err.Error())
				return
			}
			if err := connect(ctx, pc, t.url("whep/primary?backupStreamId=backup")); err != nil {
				came.add(err.Error())
			} else {
				came.add("connected")
				pause(ctx, 2*time.Second)
			}
			_ = pc.GracefulClose()
		}
	})
}
