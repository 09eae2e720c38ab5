package player_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/streampair/streampair/mediaserver/mediatest"
)

var (
	docsFence   = regexp.MustCompile("(?ms)^```([a-z]+)\n(.*?)^```")
	docsHeading = regexp.MustCompile(`(?m)^#+ (.*)$`)
)

// A snippet is a block of docs/players.md.
type snippet struct {
	heading, language, text string
}

// snippets returns the blocks of the page that have a language.
func snippets(t *testing.T) (found []snippet) {
	t.Helper()
	page, err := os.ReadFile("../../docs/players.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, at := range docsFence.FindAllSubmatchIndex(page, -1) {
		headings := docsHeading.FindAllSubmatch(page[:at[0]], -1)
		found = append(found, snippet{string(headings[len(headings)-1][1]), string(page[at[2]:at[3]]), string(page[at[4]:at[5]])})
	}
	return found
}

// packed builds the npm package and returns its folder.
func packed(t *testing.T) string {
	t.Helper()
	folder := filepath.Join(t.TempDir(), "streampair-player")
	run(t, "node", "build.mjs", "--package", folder, "v1.2.3")
	run(t, "npm", "pack", "--silent", "--pack-destination", t.TempDir(), folder)
	return folder
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
}

// bundled bundles a script of a site that uses React, and the packages in those folders.
func bundled(t *testing.T, name, content string, packages ...string) string {
	t.Helper()
	source, out := filepath.Join(t.TempDir(), name), filepath.Join(t.TempDir(), "bundle.js")
	if err := os.WriteFile(source, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	modules, err := filepath.Abs("node_modules")
	if err != nil {
		t.Fatal(err)
	}
	bundle := exec.CommandContext(t.Context(), "node_modules/.bin/esbuild", source, "--bundle", "--jsx=automatic", "--outfile="+out,
		`--define:process.env.NODE_ENV="development"`, "--log-level=warning")
	bundle.Env = append(os.Environ(), "NODE_PATH="+strings.Join(append(packages, modules), ":"))
	if log, err := bundle.CombinedOutput(); err != nil {
		t.Fatalf("bundle %s: %v: %s", name, err, log)
	}
	script, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	return string(script)
}

// TestTheSnippetsOfTheDocumentationWork runs each block of docs/players.md that has a language, in the
// page's order.
func TestTheSnippetsOfTheDocumentationWork(t *testing.T) {
	browser := mediatest.Browser(t)
	const host, asElement, asFrame = "https://live.example.com", "In another page, as an element", "In another page, as a frame"
	var all []string
	blocks := map[string]string{}
	for _, s := range snippets(t) {
		key := s.heading + " " + s.language
		for n := 2; blocks[key] != ""; n++ {
			key = fmt.Sprintf("%s %s %d", s.heading, s.language, n)
		}
		blocks[key] = strings.ReplaceAll(s.text, host, "SERVER")
		all = append(all, key)
	}
	tests := []struct {
		key  string
		runs func(t *testing.T, d *fakeServer, text string)
	}{
		{asElement + " html", func(t *testing.T, d *fakeServer, text string) {
			if lines := strings.Count(text, "\n"); lines > 5 {
				t.Errorf("%d lines", lines)
			}
			newSite(t, browser, origin(d), "", text).await(`plays("red")`)
		}},
		{asElement + " html 2", func(t *testing.T, d *fakeServer, text string) {
			claims := base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"exp":%d}`, time.Now().Add(20*time.Second).Unix()))
			s := newSite(t, browser, origin(d), "", logging+strings.ReplaceAll(text, "TOKEN", "e30."+claims+".c2ln"))
			s.await(`plays("red", show) && show.token === "renewed"`)
			d.switchTo("Backup", "backup", "PrimaryInputLost")
			s.await(`logged.includes("now on Backup PrimaryInputLost")`)
		}},
		{asElement + " css", func(t *testing.T, d *fakeServer, text string) {
			s := newSite(t, browser, origin(d), "", "<style>"+text+"</style>"+loading+strings.Replace(element, "autoplay", "autoplay badge", 1))
			s.await(`plays("red") && one.clientWidth === 960 && one.clientHeight === 720 && getComputedStyle(part("badge")).fontSize === "20px"`)
			s.await(`getComputedStyle(part("badge").firstChild).backgroundColor === "rgb(228, 0, 43)" && getComputedStyle(one).borderRadius === "12px"`)
			s.screenshot("element-styled")
		}},
		{asElement + " http", func(t *testing.T, d *fakeServer, text string) {
			_, policy, _ := strings.Cut(strings.TrimSpace(text), ": ")
			policy = strings.Replace(policy, "script-src", "default-src 'none'; script-src 'self'", 1)
			newSite(t, browser, origin(d), policy, loading+element).await(`plays("red") && violations.length === 0`)
		}},
		{asElement + " sh", func(t *testing.T, d *fakeServer, text string) {
			out, err := exec.CommandContext(t.Context(), "bash", "-c", strings.ReplaceAll(text, "SERVER", origin(d))).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			told := regexp.MustCompile(`(?s)Content-Location: assets/player-(\w+)\.js.*Repr-Digest: sha-256=:(\S+):`).FindSubmatch(out)
			if told == nil {
				t.Fatalf("the command prints %q", out)
			}
			script := strings.NewReplacer("HASH", string(told[1]), "DIGEST", string(told[2])).Replace(blocks[asElement+" html 3"])
			newSite(t, browser, origin(d), "", script+element).await(`plays("red")`)
		}},
		{asElement + " html 3", func(*testing.T, *fakeServer, string) {}}, // by the one before
		{asElement + " jsx", func(t *testing.T, d *fakeServer, text string) {
			page := text + `
				import { createRoot } from "react-dom/client";
				createRoot(document.getElementById("root")).render(<Show token="from-react" onLeg={(leg) => (window.leg = leg)} />);`
			script := bundled(t, "site.jsx", strings.ReplaceAll(page, "SERVER", origin(d)), filepath.Dir(packed(t)))
			s := newSite(t, browser, origin(d), "", `<div id="root"></div>`)
			s.eval(script + "\n;\"react\"")
			s.await(`plays("red")`)
			d.switchTo("Backup", "backup", "PrimaryInputLost")
			s.await(`plays("blue") && window.leg === "Backup"`)
			if got := get(d, func() string { return d.tokens[0] }); got != "Bearer from-react" {
				t.Errorf("authorization %q", got)
			}
		}},
		{asElement + " ts", func(t *testing.T, _ *fakeServer, text string) {
			folder := t.TempDir()
			site := filepath.Join(folder, "site.ts")
			if err := os.WriteFile(site, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			run(t, "mkdir", "-p", filepath.Join(folder, "node_modules"))
			run(t, "cp", "-r", packed(t), filepath.Join(folder, "node_modules"))
			run(t, "node_modules/.bin/tsc", "--ignoreConfig", "--noEmit", "--strict", "--module", "esnext", "--moduleResolution", "bundler", "--target", "es2021", "--lib", "es2021,dom", "--types", "", site)
		}},
		{asFrame + " html", func(t *testing.T, d *fakeServer, text string) {
			s := newSite(t, browser, origin(d), "", logging+text)
			s.await(`logged.includes("now on Primary")`)
			d.switchTo("Backup", "backup", "PrimaryInputLost")
			s.await(`logged.includes("now on Backup")`)
		}},
	}
	var tested []string
	for _, test := range tests {
		tested = append(tested, test.key)
		t.Run(test.key, func(t *testing.T) { test.runs(t, newFakeServer(t), blocks[test.key]) })
	}
	if !slices.Equal(all, tested) {
		t.Errorf("docs/players.md has the snippets\n%q, and\n%q are tested", all, tested)
	}
}

// logging keeps what the scripts after it log.
const logging = `<script>window.logged = []; console.log = (...words) => logged.push(words.join(" "));</script>`

// renewedToken answers for the site's own server that gives viewers tokens.
func renewedToken(w http.ResponseWriter, _ *http.Request) {
	_, _ = w.Write([]byte("renewed"))
}
