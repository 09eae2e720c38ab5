package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/streampair/streampair/api/v1alpha1"
	"github.com/streampair/streampair/controllers/objects"
)

// play serves the player on this machine. The media also passes
// through the API server, by ICE-TCP, because nothing forwards UDP.
func (p *plugin) play(ctx context.Context, pair *v1alpha1.StreamPair) error {
	pair.Default()
	if pair.Spec.Playback.Auth != v1alpha1.PlaybackNone {
		fmt.Fprintln(p.errOut, "# this pair asks viewers for a token: add &token=… to the URL")
	}
	role := v1alpha1.RolePrimary
	if a := pair.Status.ActiveStream; a != nil {
		role = a.Role
	}
	pod, err := p.readyPod(ctx, pair, role)
	if err != nil {
		role = objects.OtherRole(role)
		var other error
		if pod, other = p.readyPod(ctx, pair, role); other != nil {
			return errors.Join(err, other)
		}
	}
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(p.port)))
	if err != nil {
		return err
	}
	defer l.Close()
	ports := []string{fmt.Sprintf("0:%d", objects.PortHTTP), fmt.Sprintf("0:%d", objects.PortWebRTC)}
	return p.forward(ctx, pod, ports, func(local []uint16) error {
		fmt.Fprintf(p.out, "http://%s%s\n", l.Addr(), objects.PlayPath(pair))
		fmt.Fprintf(p.errOut, "# from pod %s, until Ctrl-C\n", pod.Name)
		return serve(ctx, l, newPlayProxy(localURL("http", local[0]), local[1]))
	})
}

// serve serves until ctx ends.
func serve(ctx context.Context, l net.Listener, h http.Handler) error {
	s := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10, ErrorLog: log.New(io.Discard, "", 0)}
	defer context.AfterFunc(ctx, func() { _ = s.Close() })()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// newPlayProxy returns a proxy to a media server. iceTCP is the local port that leads to the
// server's ICE-TCP port. The proxy puts that port into the answers of WHEP and WHIP sessions.
func newPlayProxy(server *url.URL, iceTCP uint16) http.Handler {
	return &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(server)
			r.Out.Host = r.In.Host // the player makes its URLs of this host
			r.SetXForwarded()
		},
		FlushInterval: -1, // events
		ModifyResponse: func(r *http.Response) error {
			if !strings.HasPrefix(r.Header.Get("Content-Type"), "application/sdp") {
				return nil
			}
			sdp, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
			if err != nil {
				return err
			}
			sdp = withCandidate(sdp, iceTCP)
			r.Body = io.NopCloser(bytes.NewReader(sdp))
			r.ContentLength = int64(len(sdp))
			r.Header.Set("Content-Length", strconv.Itoa(len(sdp)))
			return nil
		},
		ErrorLog: log.New(io.Discard, "", 0),
	}
}

// withCandidate puts a passive TCP candidate (RFC 6544 section 4.5) for this machine
// into the first media section of an SDP answer. It replaces the candidates there, which
// are addresses inside the cluster. The other sections are bundled with the first one.
func withCandidate(sdp []byte, port uint16) []byte {
	candidate := fmt.Sprintf("a=candidate:1 1 tcp 1671430143 127.0.0.1 %d typ host tcptype passive", port)
	var out []string
	placed, media := false, false
	for line := range strings.Lines(string(sdp)) {
		line = strings.TrimRight(line, "\r\n")
		switch {
		case strings.HasPrefix(line, "a=candidate:"):
			continue
		case line == "a=end-of-candidates", strings.HasPrefix(line, "m=") && media:
			if !placed {
				out, placed = append(out, candidate), true
			}
		}
		media = media || strings.HasPrefix(line, "m=")
		out = append(out, line)
	}
	if !placed && media {
		out = append(out, candidate)
	}
	return []byte(strings.Join(out, "\r\n") + "\r\n")
}

// publish forwards the RTMP ports of both legs to this machine.
func (p *plugin) publish(ctx context.Context, pair *v1alpha1.StreamPair) error {
	pair.Default()
	query, err := p.publishQuery(ctx, pair)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for i, role := range objects.Roles() {
		pod, err := p.readyPod(ctx, pair, role)
		if err != nil {
			return err
		}
		local := 0
		if p.port != 0 {
			local = p.port + i
		}
		group.Go(func() error {
			return p.forward(ctx, pod, []string{fmt.Sprintf("%d:%d", local, objects.PortRTMP)}, func(local []uint16) error {
				u := localURL("rtmp", local[0])
				u.Path = "/" + pair.Spec.App + "/" + legStreamID(pair, role)
				writeKeys(p.out, role, u.String(), query)
				fmt.Fprintf(p.out, "  to pod %s, until Ctrl-C\n\n", pod.Name)
				<-ctx.Done()
				return nil
			})
		})
	}
	if pair.Spec.Exposure.SRT != nil {
		fmt.Fprintln(p.errOut, "# kubectl forwards no UDP, so SRT is not forwarded; its URLs: kubectl streampair keys", pair.Name)
	}
	return group.Wait()
}

func legStreamID(pair *v1alpha1.StreamPair, role v1alpha1.Role) string {
	if role == v1alpha1.RoleBackup {
		return pair.Spec.Backup.StreamID
	}
	return pair.Spec.Primary.StreamID
}

// writeKeys prints an RTMP URL for ffmpeg, and the two parts of it that OBS asks for.
func writeKeys(w io.Writer, role v1alpha1.Role, rtmp, query string) {
	cut := strings.LastIndexByte(rtmp, '/')
	fmt.Fprintf(w, "%s\n  ffmpeg       %s%s\n  OBS server   %s\n  OBS key      %s%s\n", role, rtmp, query, rtmp[:cut], rtmp[cut+1:], query)
}
