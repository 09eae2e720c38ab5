package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/chromedp/chromedp"
)

const (
	// recordBefore and recordAfter are how long the recording is before the encoder that is on is
	// killed, and after that.
	recordBefore = 2 * time.Second
	recordAfter  = 3 * time.Second
	// settled is how long the page plays before the recording begins, so that its first messages have gone.
	settled = 6 * time.Second
)

// A screenshot is the page at a time.
type screenshot struct {
	at  time.Time
	png []byte
}

// record shows the pair in Chromium, calls kill, and writes what the page showed into file, an animated
// GIF image.
func record(ctx context.Context, file string, kill func()) error {
	allocator, release := chromedp.NewExecAllocator(ctx, append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.Flag("no-sandbox", true),
		chromedp.Flag("autoplay-policy", "no-user-gesture-required"))...)
	defer release()
	tab, end := chromedp.NewContext(allocator)
	defer end()
	if err := chromedp.Do(tab, chromedp.EmulateViewport(640, 360), chromedp.Navigate(playURL+"&badge=true"), chromedp.Sleep(settled)); err != nil {
		return fmt.Errorf("open the player: %w", err)
	}
	playing, err := chromedp.Run(tab, chromedp.Evaluate[bool](
		`[...document.querySelectorAll("video")].some(v => v.videoWidth > 0)`))
	if err != nil {
		return fmt.Errorf("look at the player: %w", err)
	}
	if !playing {
		return errors.New("the player shows no picture")
	}
	var shots []screenshot
	killed := false
	for begun := time.Now(); time.Since(begun) < recordBefore+recordAfter; {
		if !killed && time.Since(begun) > recordBefore {
			kill()
			killed = true
		}
		at := time.Now()
		png, err := chromedp.Run(tab, chromedp.CaptureScreenshot())
		if err != nil {
			return fmt.Errorf("record the page: %w", err)
		}
		shots = append(shots, screenshot{at, png})
	}
	return animate(ctx, file, shots)
}

// animate writes the screenshots into an animated GIF image, each shown as long as the page showed it.
func animate(ctx context.Context, file string, shots []screenshot) error {
	folder, err := os.MkdirTemp("", "streampair-recording-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	var list strings.Builder
	for i, shot := range shots {
		name := filepath.Join(folder, fmt.Sprintf("%04d.png", i))
		if err := os.WriteFile(name, shot.png, 0o600); err != nil {
			return err
		}
		if i > 0 {
			fmt.Fprintf(&list, "duration %.3f\n", shot.at.Sub(shots[i-1].at).Seconds())
		}
		fmt.Fprintf(&list, "file '%s'\n", name)
	}
	names := filepath.Join(folder, "list.txt")
	if err := os.WriteFile(names, []byte(list.String()), 0o600); err != nil {
		return err
	}
	ffmpeg := exec.CommandContext(ctx, "ffmpeg", "-hide_banner", "-loglevel", "error", "-y",
		"-f", "concat", "-safe", "0", "-i", names, "-filter_complex", "fps=15,split[a][b];[a]palettegen[p];[b][p]paletteuse", file)
	if out, err := ffmpeg.CombinedOutput(); err != nil {
		return fmt.Errorf("ffmpeg: %w: %s", err, out)
	}
	fmt.Printf("%d pictures of the page recorded into %s\n", len(shots), file)
	return nil
}
