package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

const (
	// dialsPerSecond is how fast the connections that are held are opened.
	dialsPerSecond = 1000
	// http2Connections times http2Streams are more event streams than a server has places for.
	http2Connections = 17
	http2Streams     = 250
	// lingering is how many RTMP connections are opened at a time, again and again.
	lingering = 64
	// pairsAsked is more than the number of pairs that a server makes on demand.
	pairsAsked = 100
)

// idle opens n connections from one address and holds them without sending anything.
func idle(address func(target) string, n int) func(context.Context, target, *tally) {
	return func(ctx context.Context, t target, came *tally) {
		var held []net.Conn
		for i := range n {
			if i%(dialsPerSecond/50) == 0 && !pause(ctx, 20*time.Millisecond) {
				break
			}
			conn, err := dialer().DialContext(ctx, "tcp", address(t))
			if err != nil {
				came.add("not connected")
				continue
			}
			held = append(held, conn)
		}
		<-ctx.Done()
		for _, conn := range held {
			came.add(stateOf(conn))
			_ = conn.Close()
		}
	}
}

// stateOf returns whether the other side has ended
// a connection, after reading what it has sent.
func stateOf(conn net.Conn) string {
	_ = conn.SetReadDeadline(time.Now().Add(time.Millisecond))
	if _, err := io.Copy(io.Discard, io.LimitReader(conn, 64<<10)); errors.Is(err, os.ErrDeadlineExceeded) {
		return "still open at the end"
	}
	return "ended"
}

// eventStreams follows events over a few HTTP/2 connections with many streams each.
func eventStreams(ctx context.Context, t target, came *tally) {
	inParallel(http2Connections, func(int) {
		client := insecureClient(dialer().DialContext)
		client.Timeout = 0
		transport := client.Transport.(*http.Transport)
		transport.ForceAttemptHTTP2, transport.MaxConnsPerHost = true, 1
		defer transport.CloseIdleConnections()
		inParallel(http2Streams, func(int) {
			follow(ctx, client, "https://"+t.https+"/live/events/primary?backupStreamId=backup", came)
		})
	})
}

// pairsOnDemand follows the events of pairs that nobody publishes.
func pairsOnDemand(ctx context.Context, t target, came *tally) {
	client := insecureClient(dialer().DialContext)
	client.Timeout = 0
	defer client.CloseIdleConnections()
	inParallel(pairsAsked, func(i int) {
		follow(ctx, client, t.url(fmt.Sprintf("events/stranger-%d", i)), came)
	})
}

// follow reads events until ctx ends, requests them
// again when they end, and counts the answers.
func follow(ctx context.Context, client *http.Client, url string, came *tally) {
	for ctx.Err() == nil {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			came.add(err.Error())
			return
		}
		answer, err := client.Do(request)
		if err != nil {
			if ctx.Err() == nil {
				came.add("no answer")
			}
		} else {
			came.add(fmt.Sprint(answer.StatusCode))
			_, _ = io.Copy(io.Discard, answer.Body)
			_ = answer.Body.Close()
		}
		pause(ctx, time.Second)
	}
}

// lingerRTMP connects by RTMP, sends something that
// is refused, and does not close the connection.
func lingerRTMP(ctx context.Context, t target, came *tally) {
	// The opening is a handshake (Adobe's RTMP specification
	// 1.0, section 5.2) and an invalid command.
	opening := append(append([]byte{3}, make([]byte, 2*1536)...), 3, 0, 0, 0, 0, 0, 3, 20, 0, 0, 0, 0, 0xff, 0xff, 0xff)
	var mu sync.Mutex
	var held []net.Conn
	inParallel(lingering, func(int) {
		for pause(ctx, 100*time.Millisecond) {
			conn, err := dialer().DialContext(ctx, "tcp", t.rtmp)
			if err != nil {
				came.add("not connected")
				continue
			}
			_, _ = conn.Write(opening)
			mu.Lock()
			held = append(held, conn)
			if len(held) > 4096 { // so that this process does not hold too many
				_ = held[0].Close()
				held = held[1:]
			}
			mu.Unlock()
		}
	})
	for _, conn := range held {
		came.add(stateOf(conn))
		_ = conn.Close()
	}
}
