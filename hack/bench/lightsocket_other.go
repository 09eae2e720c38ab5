//go:build !linux

package main

import (
	"errors"
	"net/netip"
	"time"
)

var errOnlyLinux = errors.New("viewers that cost little need Linux")

type lightSocket struct{ local netip.AddrPort }

func openLightSocket(netip.Addr, bool) (lightSocket, error) { return lightSocket{}, errOnlyLinux }

func (lightSocket) connect(netip.AddrPort) error { return errOnlyLinux }
func (lightSocket) send([]byte)                  {}

type lightPoller struct{}

func newLightPoller() (*lightPoller, error) { return nil, errOnlyLinux }

func (*lightPoller) watch(lightSocket, int) error          { return errOnlyLinux }
func (*lightPoller) wait(time.Duration, func(int)) error   { return errOnlyLinux }
func (*lightPoller) read(lightSocket, func([]byte, int64)) {}
