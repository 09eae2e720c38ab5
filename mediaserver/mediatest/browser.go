package mediatest

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"time"

	"github.com/chromedp/chromedp"
)

// browserStopLimit is how long a test waits for Chromium to close by itself. After
// that Chromium is killed.
const browserStopLimit = 10 * time.Second

// chromiumOptions returns the flags with which Debian's Chromium decodes and encodes H.264
// over WebRTC. It then needs no screen, sandbox, GPU, camera or person.
//
// chromedp's default list is not used, because the media tests need a browser that behaves like a
// viewer's. The default list turns off the throttling of background tabs, for example.
func chromiumOptions(path string) []chromedp.ExecAllocatorOption {
	return []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path),
		chromedp.Flag("headless", "new"),
		chromedp.Flag("no-sandbox", true),
		chromedp.Flag("disable-gpu", true),
		chromedp.Flag("disable-quic", true),
		chromedp.Flag("no-first-run", true),
		chromedp.Flag("no-default-browser-check", true),
		chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-default-apps", true),
		chromedp.Flag("disable-extensions", true),
		chromedp.Flag("disable-sync", true),
		chromedp.Flag("disable-breakpad", true),
		chromedp.Flag("disable-dev-shm-usage", true),
		chromedp.Flag("password-store", "basic"),
		chromedp.Flag("force-color-profile", "srgb"),
		chromedp.Flag("autoplay-policy", "no-user-gesture-required"),
		chromedp.Flag("use-fake-device-for-media-stream", true),
		chromedp.Flag("use-fake-ui-for-media-stream", true),
		chromedp.WindowSize(1280, 800),
	}
}

// Browser starts a headless Chromium for the test, with an empty profile and a fake camera and
// microphone. It returns the chromedp context of the first tab; see Tab for more. Options replace
// defaults, for example chromedp.Flag("autoplay-policy", "document-user-activation-required").
//
// The browser and its profile are removed when the test ends. An exception that a page of the first
// tab does not catch fails the test.
func Browser(t TB, options ...chromedp.ExecAllocatorOption) context.Context {
	t.Helper()
	SkipInShort(t)
	path, err := chromiumPath()
	if err != nil {
		t.Fatal("this test needs Chromium: install it (Debian: apt-get install chromium)")
	}
	allocator, release := chromedp.NewExecAllocator(context.Background(), append(chromiumOptions(path), options...)...)
	// Release waits for the process, so no Chromium outlives its test.
	t.Cleanup(release)
	ctx, _ := openTab(t, allocator)
	return ctx
}

// Tab opens one more tab in the browser of ctx. It is closed when the test ends.
func Tab(t TB, ctx context.Context) context.Context {
	t.Helper()
	tab, _ := openTab(t, ctx)
	return tab
}

// Profile opens a tab in the browser of ctx that has a profile of its own: no cookies, no cache and no
// connections of other tabs. Call closeTab to close it earlier than the test ends.
func Profile(t TB, ctx context.Context) (tab context.Context, closeTab func()) {
	t.Helper()
	return openTab(t, ctx, chromedp.WithNewBrowserContext())
}

func openTab(t TB, parent context.Context, options ...chromedp.ContextOption) (tab context.Context, closeTab func()) {
	t.Helper()
	ctx, cancel := chromedp.NewContext(parent, options...)
	if err := chromedp.Do(ctx); err != nil { // starts the browser or the tab
		cancel()
		t.Fatalf("start Chromium: %v", err)
	}

	// t must not be used after the test has ended, so the test waits for the reader.
	var reader sync.WaitGroup
	messages := chromedp.Console(ctx)
	reader.Go(func() {
		for m, err := range messages {
			if err != nil {
				return
			}
			if m.IsException() {
				t.Errorf("the page did not catch an exception: %s", m)
				continue
			}
			t.Logf("console: %s", m)
		}
	})
	closeTab = sync.OnceFunc(func() {
		limited, stop := context.WithTimeout(ctx, browserStopLimit)
		_ = chromedp.Cancel(limited) // on an error it has already closed, or cancel kills it
		stop()
		cancel()
		reader.Wait()
	})
	t.Cleanup(closeTab)
	return ctx, closeTab
}

// Eval returns the value of a JavaScript expression in the page. It awaits a promise.
func Eval[T any](t TB, ctx context.Context, expression string) T {
	t.Helper()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		t.Fatalf("evaluate %s: %v", expression, err)
	}
	return v
}

// Await waits until a JavaScript expression is true in the page. After limit it fails the
// test, and shows the value of the expression diagnosis ("" for none).
func Await(t TB, ctx context.Context, limit time.Duration, expression, diagnosis string) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		ok, err := chromedp.Run(ctx, chromedp.Evaluate[bool]("!!("+expression+")"))
		if err == nil && ok {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("waiting for %s: the browser has gone: %v", expression, ctx.Err())
		}
		if time.Now().After(deadline) {
			seen := ""
			if diagnosis != "" {
				seen, _ = chromedp.Run(ctx, chromedp.Evaluate[string]("JSON.stringify("+diagnosis+")"))
			}
			t.Fatalf("not true within %s: %s (%v) %s", limit, expression, err, seen)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// Open navigates the tab to url and waits for its load event.
func Open(t TB, ctx context.Context, url string) {
	t.Helper()
	if err := chromedp.Do(ctx, chromedp.Navigate(url)); err != nil {
		t.Fatalf("open %s: %v", url, err)
	}
}

// Screenshot keeps a picture of the tab in the folder $PLAYER_SCREENSHOTS, if that is set.
func Screenshot(t TB, ctx context.Context, name string) {
	t.Helper()
	folder := os.Getenv("PLAYER_SCREENSHOTS")
	if folder == "" {
		return
	}
	png, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		t.Fatalf("screenshot: %v", err)
	}
	if err := os.WriteFile(filepath.Join(folder, name+".png"), png, 0o600); err != nil {
		t.Fatalf("screenshot: %v", err)
	}
}

func chromiumPath() (string, error) {
	var err error
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		var path string
		if path, err = exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", err
}
