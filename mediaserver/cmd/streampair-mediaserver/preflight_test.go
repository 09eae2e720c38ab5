package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/streampair/streampair/api/preflight"
)

func TestCheckSaysWhatItCannotRead(t *testing.T) {
	var asked []string
	refuses := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = append(asked, r.URL.Path+" "+r.Header.Get("Authorization"))
		http.Error(w, "nobody publishes", http.StatusNotFound)
	}))
	defer refuses.Close()
	var out bytes.Buffer
	err := run(t.Context(), []string{"check", "--insecure", "-o", "json", refuses.URL + "/live/a.flv"}, []string{"TOKEN=secret"}, &out, io.Discard)
	if preflight.ExitCode(err) != 2 {
		t.Errorf("%v ends with %d, want 2", err, preflight.ExitCode(err))
	}
	if diff := cmp.Diff([]string{"/live/a.flv Bearer secret"}, asked); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	var report preflight.Report
	if err := json.Unmarshal(out.Bytes(), &report); err != nil {
		t.Fatal(err)
	}
	var codes []string
	for _, f := range report.Findings {
		codes = append(codes, f.Code)
	}
	// Go's test certificate is for 127.0.0.1, and nobody vouches for it.
	if diff := cmp.Diff([]string{"NotRead", "CertificateSelfSigned"}, codes); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if strings.Contains(out.String(), "secret") {
		t.Errorf("the token is shown:\n%s", &out)
	}
}

func TestCheckRefusesArgumentsInOneLine(t *testing.T) {
	for _, args := range [][]string{
		{}, {"a", "b", "c"}, {"-o", "xml", "a"}, {"--for", "1s", "a"}, {"--for", "1h", "a"}, {"--tokens", "x", "a"}, {"http:///live/a"},
	} {
		err := run(t.Context(), append([]string{"check"}, args...), nil, io.Discard, io.Discard)
		if preflight.ExitCode(err) != 2 || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, want one line and exit code 2", args, err)
		}
	}
	var help bytes.Buffer
	if err := run(t.Context(), []string{"check", "--help"}, nil, &help, io.Discard); err != nil || !strings.Contains(help.String(), "--for") {
		t.Errorf("%v\n%s", err, &help)
	}
}
