// Package server assembles the media server. It opens the ports, connects the packages with
// each other, and ends everything in order. It decides nothing about media. Start with New.
package server
