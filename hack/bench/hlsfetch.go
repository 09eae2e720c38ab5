package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// fetchLimit is above the longest time that a server holds a request: three target durations of 10 s.
const fetchLimit = 40 * time.Second

// A fetcher is a connection of one player, by HTTP/1.1. It is lean, so that thousands fit beside the
// server that is measured. One goroutine uses it.
type fetcher struct {
	from    netip.Addr // the player's own address
	host    string     // host:port of the server
	cookies []*http.Cookie
	conn    net.Conn // nil: none
	forget  func() bool
	in      *bufio.Reader
	out     []byte
	body    bytes.Buffer
	packed  gzip.Reader
}

// playerAddress returns the loopback address of the player with that number.
func playerAddress(n int) netip.Addr {
	return netip.AddrFrom4([4]byte{127, byte(1 + n/62500), byte(n / 250 % 250), byte(1 + n%250)})
}

// An answer is what a server has answered. Text is valid until the next request.
type answer struct {
	status int
	header http.Header
	text   []byte
}

// fetch sends a request for a path and its query, and reads the answer's header.
func (f *fetcher) fetch(ctx context.Context, target string) (*http.Response, error) {
	if f.conn == nil {
		dialer := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(f.from, 0))}
		conn, err := dialer.DialContext(ctx, "tcp", f.host)
		if err != nil {
			return nil, err
		}
		f.conn, f.in = conn, bufio.NewReader(conn)
		f.forget = context.AfterFunc(ctx, func() { _ = conn.Close() })
	}
	_ = f.conn.SetDeadline(time.Now().Add(fetchLimit))
	f.out = fmt.Appendf(f.out[:0], "GET %s HTTP/1.1\r\nHost: %s\r\nAccept-Encoding: gzip\r\n", target, f.host)
	for i, c := range f.cookies {
		f.out = append(f.out, []string{"Cookie: ", "; "}[min(i, 1)]...)
		f.out = append(f.out, c.Name+"="+c.Value...)
	}
	if len(f.cookies) > 0 {
		f.out = append(f.out, "\r\n"...)
	}
	if _, err := f.conn.Write(append(f.out, "\r\n"...)); err != nil {
		return nil, err
	}
	response, err := http.ReadResponse(f.in, nil)
	if err != nil {
		return nil, err
	}
	for _, c := range response.Cookies() {
		f.cookies = slices.DeleteFunc(f.cookies, func(old *http.Cookie) bool { return old.Name == c.Name })
		f.cookies = append(f.cookies, c)
	}
	return response, nil
}

// close ends the connection.
func (f *fetcher) close() {
	if f.conn != nil {
		f.forget()
		_ = f.conn.Close()
		f.conn = nil
	}
}

// get fetches a text. It follows redirects within the folder.
func (f *fetcher) get(ctx context.Context, target string) (answer, error) {
	for range 3 {
		response, err := f.fetch(ctx, target)
		if err != nil {
			f.close()
			return answer{}, err
		}
		f.body.Reset()
		_, err = f.body.ReadFrom(response.Body)
		_ = response.Body.Close()
		if response.Close || err != nil {
			f.close()
		}
		if location := response.Header.Get("Location"); location != "" && err == nil {
			target = beside(target, location)
			continue
		}
		a := answer{response.StatusCode, response.Header, f.body.Bytes()}
		if err == nil && response.Header.Get("Content-Encoding") == "gzip" {
			a.text, err = f.unpack(a.text)
		}
		return a, err
	}
	return answer{}, fmt.Errorf("%s: too many redirects", target)
}

func (f *fetcher) unpack(packed []byte) ([]byte, error) {
	if err := f.packed.Reset(bytes.NewReader(packed)); err != nil {
		return nil, err
	}
	return io.ReadAll(&f.packed)
}

// media fetches a part, drops it, and returns its size in bytes.
func (f *fetcher) media(ctx context.Context, target string) (int64, error) {
	response, err := f.fetch(ctx, target)
	if err != nil {
		f.close()
		return 0, err
	}
	n, err := io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	if response.Close || err != nil {
		f.close()
	}
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", target, response.Status)
	}
	return n, err
}

// beside returns where a reference in the playlist at a path leads. Both may have a query.
func beside(path, reference string) string {
	if strings.HasPrefix(reference, "/") {
		return reference
	}
	path, _, _ = strings.Cut(path, "?")
	return path[:strings.LastIndexByte(path, '/')+1] + reference
}
