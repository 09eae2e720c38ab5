package docs_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/streampair/streampair/mediaserver/config"
)

// pages are all pages of the repository that people read, with their text.
func pages(t *testing.T) map[string]string {
	t.Helper()
	texts := make(map[string]string)
	for _, pattern := range []string{"../*.md", "*.md", "runbooks/*.md", "../api/*.md", "../charts/*/*.md", "../mediaserver/*/*.md"} {
		names, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			texts[name] = read(t, name)
		}
	}
	if len(texts) < 20 {
		t.Fatalf("only %d pages found", len(texts))
	}
	return texts
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var (
	fence   = regexp.MustCompile("(?ms)^ *```([a-z]*)\n(.*?)^ *```")
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
	notSlug = regexp.MustCompile(`[^\p{L}\p{N}_ -]`)
)

// anchors are the names by which the headings of a page can be linked to, as GitHub makes them.
func anchors(text string) (names []string) {
	for _, h := range heading.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
		names = append(names, strings.ReplaceAll(notSlug.ReplaceAllString(strings.ToLower(h[1]), ""), " ", "-"))
	}
	return names
}

func TestLinksLeadSomewhere(t *testing.T) {
	texts := pages(t)
	for page, text := range texts {
		for _, match := range link.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
			target := match[1]
			if strings.Contains(target, "://") {
				continue
			}
			name, anchor, _ := strings.Cut(target, "#")
			file := page
			if name != "" {
				file = filepath.Join(filepath.Dir(page), name)
			}
			if _, err := os.Stat(file); err != nil {
				t.Errorf("%s: the link %s leads nowhere", page, target)
				continue
			}
			if anchor != "" && !slices.Contains(anchors(read(t, file)), anchor) {
				t.Errorf("%s: %s has no heading for the link %s", page, file, target)
			}
		}
	}
}

func TestPagesAreShort(t *testing.T) {
	for page, text := range pages(t) {
		limit := 300
		switch filepath.Base(page) {
		case "REFERENCE.md", "CHANGELOG.md":
			continue // the one is generated, the other grows
		case "README.md":
			limit = 150
		}
		if lines := strings.Count(text, "\n"); lines > limit {
			t.Errorf("%s has %d lines; %d at most", page, lines, limit)
		}
	}
}

// TestCommandsExist: commands of the pages parse, and name targets, subcommands, flags and values that
// there are.
func TestCommandsExist(t *testing.T) {
	targets := words(`(?m)^([a-z0-9-]+):.*##`, read(t, "../Makefile"))
	subcommands := words(`(?m)^  kubectl streampair ([a-z]+) `, read(t, "../controllers/cmd/kubectl-streampair/main.go"))
	flags := append(words(`--?([a-z][a-z0-9-]+)`, config.Usage()),
		words(`"([a-z][a-z0-9-]+)"`, read(t, "../controllers/cmd/streampair-operator/options.go"))...)
	for _, check := range []string{"check.go", "preflight.go"} {
		flags = append(flags, words(`(?m)^  --([a-z]+) `, read(t, "../mediaserver/cmd/streampair-mediaserver/"+check))...)
	}
	flags = append(flags, "help", "set", "set-string") // the last two are Helm's
	for what, found := range map[string][]string{"targets": targets, "subcommands": subcommands, "flags": flags} {
		if len(found) < 5 {
			t.Fatalf("%s: only %v found", what, found)
		}
	}
	var values map[string]any
	if err := yaml.Unmarshal([]byte(read(t, "../charts/streampair/values.yaml")), &values); err != nil {
		t.Fatal(err)
	}
	// Flags of ours are given in backquotes; those of other programs stand in whole commands.
	ownFlag := regexp.MustCompile("`--([a-z][a-z0-9-]+)[ =`]")
	set := regexp.MustCompile(`--set(?:-string)? '?([A-Za-z.\\]+)`)
	for page, text := range pages(t) {
		if strings.HasSuffix(page, "REFERENCE.md") || strings.HasSuffix(page, "CHANGELOG.md") {
			continue
		}
		check := func(what string, known, used []string) {
			for _, word := range used {
				if !slices.Contains(known, word) {
					t.Errorf("%s: there is no %s %s", page, what, word)
				}
			}
		}
		check("target of make", targets, words("(?:`|(?m:^))make ([a-z0-9-]+)", text))
		check("subcommand of kubectl streampair", subcommands, words(`kubectl streampair ([a-z]+)`, text))
		check("flag", flags, words(ownFlag.String(), text))
		for _, key := range words(set.String(), text) {
			if !hasValue(values, strings.Split(strings.ReplaceAll(key, `\.`, "\x00"), ".")) {
				t.Errorf("%s: the chart has no value %s", page, key)
			}
		}
		for _, block := range fence.FindAllStringSubmatch(text, -1) {
			if block[1] != "sh" || testing.Short() { // which starts no program
				continue
			}
			shell := exec.CommandContext(t.Context(), "bash", "-n")
			shell.Stdin = strings.NewReader(block[2])
			if out, err := shell.CombinedOutput(); err != nil {
				t.Errorf("%s: %v: %s in\n%s", page, err, out, block[2])
			}
		}
	}
}

// words are what the group of a pattern matches.
func words(pattern, text string) (found []string) {
	for _, match := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		found = append(found, match[1])
	}
	return found
}

// hasValue reports whether a chart has a value of this path; a map that is empty takes any key.
func hasValue(values map[string]any, path []string) bool {
	value, is := values[path[0]]
	below, isMap := value.(map[string]any)
	switch {
	case !is:
		return false
	case len(path) == 1 || isMap && len(below) == 0:
		return true
	}
	return isMap && hasValue(below, path[1:])
}

// TestEachAlertHasARunbook: the alert leads to its page, and there is no page without an alert.
func TestEachAlertHasARunbook(t *testing.T) {
	var rules struct {
		Spec struct {
			Groups []struct {
				Rules []struct {
					Alert       string
					Annotations map[string]string
				}
			}
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, "../config/prometheus/rules.yaml")), &rules); err != nil {
		t.Fatal(err)
	}
	index := words(`\| \[(\w+)\]`, read(t, "runbooks/README.md"))
	var alerts []string
	for _, group := range rules.Spec.Groups {
		for _, rule := range group.Rules {
			alerts = append(alerts, rule.Alert)
			page := "runbooks/" + rule.Alert + ".md"
			if !strings.HasPrefix(read(t, page), "# "+rule.Alert+"\n") {
				t.Errorf("%s does not begin with its name", page)
			}
			if url := rule.Annotations["runbook_url"]; !strings.HasSuffix(url, "/docs/"+page) {
				t.Errorf("%s: runbook_url is %q", rule.Alert, url)
			}
			if !slices.Contains(index, rule.Alert) {
				t.Errorf("runbooks/README.md lacks %s", rule.Alert)
			}
		}
	}
	files, err := filepath.Glob("runbooks/*.md")
	if err != nil {
		t.Fatal(err)
	}
	if len(alerts) < 10 || len(files) != len(alerts)+1 {
		t.Errorf("%d alerts, and %d pages beside the index", len(alerts), len(files)-1)
	}
}
