package server

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"
)

// watchInterval is how often files are looked at. They are few and small, so reading them
// is cheap, and nothing can be missed: a kubelet replaces them by renaming a symbolic
// link two folders above, editors by renaming or in place, each of which a watcher of
// inotify events has to know of.
const watchInterval = 500 * time.Millisecond

// maxWatched bounds what is read of a file to see that it changed.
const maxWatched = 2 << 20

// A watched set of files that belong together.
type watched struct {
	// names returns the files as they are now to be watched.
	names func() []string
	// changed is called when what they hold has changed and has stayed so for one
	// interval: a file that is being written is left alone.
	changed func()

	seen, acted [sha256.Size]byte
}

// watch looks at the sets until ctx ends. At first it takes all of them for changed: they
// were read some time ago.
func watch(ctx context.Context, sets []*watched) error {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for {
		for _, w := range sets {
			w.look()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (w *watched) look() {
	now := fingerprint(w.names())
	settled := now == w.seen
	w.seen = now
	if settled && now != w.acted {
		w.acted = now
		w.changed()
	}
}

// fingerprint is a hash of what the files hold, or why they cannot be read.
func fingerprint(names []string) [sha256.Size]byte {
	h := sha256.New()
	for _, name := range names {
		fmt.Fprintf(h, "%q", name)
		f, err := os.Open(name)
		if err != nil {
			fmt.Fprintf(h, "missing %v", errors.Is(err, fs.ErrNotExist))
			continue
		}
		n, err := io.Copy(h, io.LimitReader(f, maxWatched))
		_ = f.Close()
		fmt.Fprintf(h, "%d %v", n, err == nil)
	}
	return [sha256.Size]byte(h.Sum(nil))
}
