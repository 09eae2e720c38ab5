package gather

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/streampair/streampair/mediaserver/feed"
	"github.com/streampair/streampair/mediaserver/ffmpeg"
	"github.com/streampair/streampair/mediaserver/flv"
	"github.com/streampair/streampair/mediaserver/stream"
)

const (
	// maxTag bounds a tag, as a media server sends it, in bytes.
	maxTag = 8<<20 + 64<<10
	// maxRefusal bounds how much of a refusal is read, in bytes.
	maxRefusal = 300
	// ffmpegMemory is how much memory ffmpeg may have, in bytes.
	ffmpegMemory = 512 << 20
	readBuffer   = 32 << 10
)

// read writes a source's media to a publication until the context or the stream ends.
func (g *gatherer) read(ctx context.Context, source Source, p *stream.Publication) error {
	if source.ByFFmpeg {
		return g.readByFFmpeg(ctx, source, p)
	}
	body, err := g.open(ctx, source.URL, source.Token)
	if err != nil {
		return err
	}
	defer body.Close()
	tags, to := flv.NewReader(body, maxTag), feed.New(p)
	for {
		tag, err := tags.Next()
		if err != nil {
			return err
		}
		switch tag.Type {
		case flv.VideoTag:
			err = to.Video(tag.Timestamp, tag.Body)
		case flv.AudioTag:
			err = to.Audio(tag.Timestamp, tag.Body)
		}
		if err != nil {
			return err
		}
	}
}

// open opens a URL. Its error has no token.
func (g *gatherer) open(ctx context.Context, from, token string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, http.NoBody)
	if err != nil {
		return nil, errors.New("the URL cannot be used")
	}
	client := g.client
	if token != "" {
		client = g.secretClient
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := client.Do(req)
	var untrusted *tls.CertificateVerificationError
	if errors.As(err, &untrusted) {
		return nil, errUntrusted
	}
	if err != nil {
		var failed *url.Error
		if errors.As(err, &failed) {
			err = failed.Err // without the URL
		}
		return nil, err
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(resp.Body, maxRefusal)) // what came says enough
	return nil, fmt.Errorf("the server answers %s: %s", resp.Status, strings.ToValidUTF8(strings.Join(strings.Fields(string(text)), " "), "?"))
}

// readByFFmpeg has ffmpeg open a source.
func (g *gatherer) readByFFmpeg(ctx context.Context, source Source, p *stream.Publication) error {
	if g.cfg.FFmpegPath == "" {
		return errNoFFmpeg
	}
	args := []string{"-hide_banner", "-nostdin", "-loglevel", "error"}
	if source.isFile() {
		args = append(args, "-re")
	}
	args = append(args, "-i", source.URL, "-map", "0:v:0?", "-map", "0:a:0?", "-c", "copy",
		"-f", "mpegts", "-muxdelay", "0", "-muxpreload", "0", "-flush_packets", "1", "pipe:1")
	to := feed.NewTransportStream(p)
	process, err := ffmpeg.Start(ffmpeg.Command{Path: g.cfg.FFmpegPath, Args: args, MemoryBytes: ffmpegMemory}, ffmpeg.IO{
		Feed: func(p *ffmpeg.Process, _ io.Writer) { <-p.Quit },
		Read: func(_ *ffmpeg.Process, stdout io.Reader) error {
			defer to.Flush()
			return copyTo(to, stdout)
		},
	}, g.recovery)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, process.Stop)()
	<-process.Done
	return withoutSecrets(process.Err, source.URL)
}

// withoutSecrets returns an error whose text has neither the query nor the user of a URL: both may have
// tokens.
func withoutSecrets(err error, from string) error {
	u, parseErr := url.Parse(from)
	if err == nil || parseErr != nil {
		return err
	}
	text := err.Error()
	for _, secret := range []string{u.RawQuery, u.User.String()} {
		if secret != "" {
			text = strings.ReplaceAll(text, secret, "…")
		}
	}
	return errors.New(text)
}

// copyTo writes a transport stream until its end.
func copyTo(to *feed.TransportStream, from io.Reader) error {
	buffer := make([]byte, readBuffer)
	for {
		n, err := from.Read(buffer)
		if fatal := to.Write(buffer[:n]); fatal != nil {
			return fatal
		}
		if err != nil {
			return err
		}
	}
}
