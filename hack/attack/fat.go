package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"github.com/streampair/streampair/mediaserver/flv"
	"github.com/streampair/streampair/mediaserver/mediatest"
)

// A fat programme is one GOP that lasts fatDuration. Its pictures
// have fatPicture bytes each, and come every fatInterval.
const (
	fatDuration = 10 * time.Second
	fatPicture  = 200 << 10
	fatInterval = 100 * time.Millisecond
)

// publishFat publishes n streams by RTMP. Their GOPs take as much memory as a cache may.
func publishFat(n int, undeclared bool) func(context.Context, target, *tally) {
	return func(ctx context.Context, t target, came *tally) {
		tape, err := fatTape()
		if err != nil {
			came.add(err.Error())
			return
		}
		inParallel(n, func(i int) {
			id := t.openIDs[i%len(t.openIDs)]
			if undeclared {
				id = fmt.Sprintf("stranger-%d", i)
			}
			for pause(ctx, time.Duration(i)*50*time.Millisecond) {
				r, err := mediatest.Replay(ctx, "rtmp://"+t.rtmp+"/live/"+id, tape, mediatest.ReplayOptions{})
				if err != nil {
					came.add("refused")
					pause(ctx, time.Second)
					continue
				}
				if err := r.Err(); err != nil && ctx.Err() == nil {
					came.add("ended")
				} else {
					came.add("published to the end")
				}
			}
		})
	}
}

// fatTape returns the programme: an IDR, and pictures of random bytes that refer to it.
func fatTape() (*mediatest.Tape, error) {
	dir, err := os.MkdirTemp("", "streampair-attack")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	path := filepath.Join(dir, "fat.flv")
	file, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	w, err := flv.NewWriter(file, true, false)
	if err != nil {
		return nil, err
	}
	if err := w.WriteVideoConfig(0, spsBytes, ppsBytes); err != nil {
		return nil, err
	}
	random := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // the same pictures each time
	picture := randomBytes(random, fatPicture)
	for at := time.Duration(0); at < fatDuration; at += fatInterval {
		picture[0] = 0x41 // a slice of a reference picture, ITU-T H.264 section 7.4.1
		if at == 0 {
			picture[0] = 0x65
		}
		if err := w.WriteVideo(at, at, at == 0, [][]byte{picture}); err != nil {
			return nil, err
		}
	}
	return mediatest.Load(path, fatDuration)
}
