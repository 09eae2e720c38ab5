package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/streampair/streampair/hack/e2e/audience"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

// mainPair is the pair that viewers watch. Strangers may publish to the other pair.
const mainPair = "main"

const publishToken = "publish-token-of-the-attack"

// manifest declares both pairs.
const manifest = `apiVersion: media.streampair.dev/v1alpha1
kind: StreamPair
metadata: {name: main}
spec:
  primary: {streamID: primary}
  backup: {streamID: backup}
  publish: {auth: Token, tokenSecretRef: {name: keys}}
---
apiVersion: v1
kind: Secret
metadata: {name: keys}
stringData: {publishToken: ` + publishToken + `}
---
apiVersion: media.streampair.dev/v1alpha1
kind: StreamPair
metadata: {name: open}
spec:
  primary: {streamID: open-a}
  backup: {streamID: open-b}
  publish: {auth: None}
`

// openManifest has no tokens, so anybody may publish any stream.
const openManifest = `apiVersion: media.streampair.dev/v1alpha1
kind: StreamPair
metadata: {name: main}
spec:
  primary: {streamID: primary}
  backup: {streamID: backup}
  publish: {auth: None}
`

// A loadedPair is one server with both legs of the pair, or two
// servers with one leg each, and encoders and viewers.
type loadedPair struct {
	servers  []*server
	encoders []*audience.Encoder // the primary's and the backup's
	viewers  []*audience.Watcher

	folder  string
	stop    context.CancelFunc
	running sync.WaitGroup
}

// newLoadedPair returns servers at which both legs are whole and all viewers watch.
// start starts the servers, and gets a folder for their files. end ends all of them.
func newLoadedPair(ctx context.Context, viewersPerServer int, start func(ctx context.Context, folder string) ([]*server, error)) (_ *loadedPair, err error) {
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	s := &loadedPair{stop: stop}
	defer func() {
		if err != nil {
			s.end()
		}
	}()
	if s.folder, err = os.MkdirTemp("", "streampair-attack"); err != nil {
		return nil, err
	}
	if s.servers, err = start(ctx, s.folder); err != nil {
		return nil, err
	}
	if err := s.publish(ctx, life); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	err = until(ctx, "both legs are whole at each server", func() bool {
		for _, one := range s.servers {
			if !isWhole(one.pair(ctx, mainPair)) {
				return false
			}
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	return s, s.watch(ctx, viewersPerServer)
}

// publish publishes each leg to its server with an encoder, until life ends.
func (s *loadedPair) publish(ctx, life context.Context) error {
	for i, id := range []string{"primary", "backup"} {
		file, err := mediatest.Programme{Leg: i}.File(ctx)
		if err != nil {
			return err
		}
		server := s.servers[i%len(s.servers)]
		encoder := audience.NewEncoder(audience.EncoderConfig{
			File: file, URL: fmt.Sprintf("rtmp://%s/live/%s?token=%s", server.addresses.RTMP, id, publishToken),
		})
		s.encoders = append(s.encoders, encoder)
		s.running.Go(func() { _ = encoder.Run(life) })
	}
	return nil
}

// watch opens the viewers.
func (s *loadedPair) watch(ctx context.Context, perServer int) error {
	for i, one := range s.servers {
		base := "http://" + one.addresses.HTTP
		var others []string
		if len(s.servers) > 1 {
			others = append(others, "http://"+s.servers[1-i].addresses.HTTP)
		}
		for range perServer {
			viewer, err := audience.Watch(ctx, audience.WatcherConfig{
				Base: base, Others: others, App: "live", StreamID: "primary", BackupStreamID: "backup",
			})
			if err != nil {
				return fmt.Errorf("open a viewer: %w", err)
			}
			s.viewers = append(s.viewers, viewer)
		}
	}
	return nil
}

func (s *loadedPair) end() {
	for _, v := range s.viewers {
		v.Close()
	}
	s.stop()
	s.running.Wait()
	for _, one := range s.servers {
		one.stop()
	}
	_ = os.RemoveAll(s.folder)
}

// longestGap returns the longest time without a new
// picture that any viewer had from begin to end.
func (s *loadedPair) longestGap(begin, end time.Time) time.Duration {
	longest := time.Duration(0)
	for _, v := range s.viewers {
		longest = max(longest, v.Pictures().LongestGap(begin, end).Length)
	}
	return longest
}

// standalone returns a function that starts one server with both legs.
func standalone(binary, manifest string) func(context.Context, string) ([]*server, error) {
	return func(ctx context.Context, folder string) ([]*server, error) {
		file := filepath.Join(folder, "pair.yaml")
		if err := os.WriteFile(file, []byte(manifest), 0o600); err != nil {
			return nil, err
		}
		s, err := startServer(ctx, serverConfig{
			binary: binary, name: "streampair-attack", args: []string{"--pair", file, "--http-address", "127.0.0.1:0"},
		})
		if err != nil {
			return nil, err
		}
		return []*server{s}, nil
	}
}
