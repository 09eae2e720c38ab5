// Package control is the media server's face towards those who run and watch it:
// probes and metrics, status and commands, and the events that players follow. It reads
// and relays; what is true and what may be changed is decided by its Backend.
package control
