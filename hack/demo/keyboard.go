package main

import (
	"bufio"
	"context"
	"os"

	"golang.org/x/sys/unix"
)

// keyboard returns the keys pressed, one by one, if there is a terminal; restore gives
// the terminal back as it was. Without a terminal no key ever comes.
func keyboard(ctx context.Context) (keys <-chan byte, restore func()) {
	fd := int(os.Stdin.Fd())
	before, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, func() {}
	}
	single := *before
	single.Lflag &^= unix.ICANON | unix.ECHO // no waiting for Enter
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, &single); err != nil {
		return nil, func() {}
	}
	pressed := make(chan byte)
	go func() {
		in := bufio.NewReader(os.Stdin)
		for {
			key, err := in.ReadByte()
			if err != nil {
				return
			}
			select {
			case pressed <- key:
			case <-ctx.Done():
				return
			}
		}
	}()
	return pressed, func() { _ = unix.IoctlSetTermios(fd, unix.TCSETS, before) }
}
