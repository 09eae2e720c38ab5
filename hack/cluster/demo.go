package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/streampair/streampair/hack/cluster/kubernetes"
)

const demoHelp = `
  Watch:    http://%s/live/play.html?name=primary&backupStreamId=backup&playOrder=webrtc
            from this machine: media comes through a TCP port here, as UDP cannot be forwarded

  In another terminal, take away what you like, and watch:
            bin/cluster exec -- kubectl get pods,streampairs -o wide
            bin/cluster exec -- kubectl delete pod -l media.streampair.dev/role=primary
            bin/cluster exec -- kubectl drain node1 --ignore-daemonsets --delete-emptydir-data
            bin/cluster exec -- sh -c 'curl -d "{\"node\":\"node1\"}" --unix-socket $STREAMPAIR_CLUSTER http://cluster/crash'
            (and restart; or partition and heal)

  Ctrl-C ends it.

`

// demo creates the sample pair, publishes both legs,
// and lets this host watch through the listener.
func demo(ctx context.Context, c *kubernetes.Cluster, l net.Listener) error {
	viewers := c.Viewers()
	kubectl := func(args ...string) (string, error) {
		program := filepath.Join(c.Root(), ".cache/kube/kubectl")
		return viewers.Output(ctx, nil, program, append([]string{"--kubeconfig", c.Kubeconfig()}, args...)...)
	}
	if _, err := kubectl("apply", "-f", filepath.Join(c.Root(), "config/samples/streampair.yaml")); err != nil {
		return err
	}
	if _, err := kubectl("wait", "streampair/demo", "--for=condition=Ready", "--timeout=2m"); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for leg, look := range map[string][2]string{"primary": {"0x1d4ed8", "440"}, "backup": {"0xb45309", "587"}} {
		group.Go(func() error { return encode(ctx, c, leg, look[0], look[1]) })
	}
	group.Go(func() error {
		if _, err := kubectl("wait", "streampair/demo", "--for=condition=OnAir", "--timeout=2m"); err != nil {
			return err
		}
		playback, err := kubectl("get", "service", "demo-play", "-o",
			"jsonpath={.spec.clusterIP}:{.spec.ports[?(@.name==\"http\")].port}")
		if err != nil {
			return err
		}
		g := newGateway(viewers.Dial)
		defer g.Close()
		server := &http.Server{
			Handler:           g.handler(playback),
			ReadHeaderTimeout: 10 * time.Second,
			ErrorLog:          log.New(io.Discard, "", 0),
		}
		defer context.AfterFunc(ctx, func() { _ = server.Close() })()
		fmt.Printf(demoHelp, l.Addr())
		if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	if err := group.Wait(); ctx.Err() == nil || !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// encode publishes a picture with the leg's name and a running clock, and a tone,
// until ctx ends. An encoder that loses its pod connects again, as real encoders do.
func encode(ctx context.Context, c *kubernetes.Cluster, leg, colour, hertz string) error {
	program, err := exec.LookPath("ffmpeg")
	if err != nil {
		return err
	}
	const text = "drawtext=fontcolor=white:x=(w-tw)/2:"
	filter := fmt.Sprintf("%sfontsize=70:y=90:text='%s',%sfontsize=60:y=210:text='%%{localtime\\:%%X}'", text, leg, text)
	for ctx.Err() == nil {
		cmd := exec.CommandContext(ctx, program, "-hide_banner", "-loglevel", "error", "-nostdin", "-re",
			"-f", "lavfi", "-i", "color=c="+colour+":s=640x360:r=30",
			"-f", "lavfi", "-i", "sine=frequency="+hertz+":beep_factor=3:sample_rate=48000",
			"-vf", filter, "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p",
			"-b:v", "1500k", "-g", "60", "-c:a", "aac", "-b:a", "128k", "-ac", "2",
			"-f", "flv", "-rw_timeout", "5000000", "rtmp://demo-"+leg+"-rtmp/live/"+leg)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		var failure strings.Builder
		cmd.Stderr = &failure
		err := c.Viewers().Run(cmd)
		if ctx.Err() != nil {
			break
		}
		fmt.Printf("%s  the %s encoder has ended (%v) and starts again: %s\n", time.Now().Format("15:04:05"), leg, err, lastLine(failure.String()))
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
	return nil
}

func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndex(text, "\n")+1:]
}
