package charttest

import (
	"errors"
	"strings"
	"testing"

	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
	"sigs.k8s.io/yaml"
)

// TestBadValuesAreRefused: each message names the value, so that the user finds it.
func TestBadValuesAreRefused(t *testing.T) {
	tests := map[string]struct{ values, message string }{
		"a misspelt value":                    {`replica: 2`, "additional properties 'replica' not allowed"},
		"a misspelt value further down":       {`image: {tags: v1}`, "additional properties 'tags' not allowed"},
		"a name for a number":                 {`replicas: two`, "at '/replicas': got string, want integer"},
		"too many replicas":                   {`replicas: 10`, "at '/replicas': maximum"},
		"replicas without an election":        {`{replicas: 2, leaderElection: false}`, "at '/replicas': maximum"},
		"a tag in the repository":             {`image: {repository: "example.com/operator:v1"}`, "at '/image/repository'"},
		"no repository":                       {`image: {repository: ""}`, "at '/image/repository'"},
		"a short digest":                      {`image: {digest: "sha256:abc"}`, "at '/image/digest'"},
		"a digest without algorithm":          {`mediaServer: {image: {digest: "` + strings.Repeat("a", 64) + `"}}`, "at '/mediaServer/image/digest'"},
		"an unknown pull policy":              {`image: {pullPolicy: Sometimes}`, "at '/image/pullPolicy'"},
		"an unknown exposure":                 {`mediaServer: {allowedExposures: [Ingress]}`, "at '/mediaServer/allowedExposures/0'"},
		"no exposure":                         {`mediaServer: {allowedExposures: []}`, "at '/mediaServer/allowedExposures'"},
		"one namespace as a string":           {`watchNamespaces: live`, "at '/watchNamespaces': got string, want array"},
		"an impossible namespace":             {`watchNamespaces: [Live]`, "at '/watchNamespaces/0'"},
		"a namespace twice":                   {`watchNamespaces: [live, live]`, "at '/watchNamespaces'"},
		"viewers below none":                  {`mediaServer: {maxViewers: -1}`, "at '/mediaServer/maxViewers'"},
		"an unknown log level":                {`logging: {level: verbose}`, "at '/logging/level'"},
		"a true that is a string":             {`crds: {install: "no"}`, "at '/crds/install'"},
		"an interval without unit":            {`metrics: {serviceMonitor: {interval: "30"}}`, "at '/metrics/serviceMonitor/interval'"},
		"an impossible Secret for scraping":   {`metrics: {serviceMonitor: {tokenSecret: {name: A_B}}}`, "at '/metrics/serviceMonitor/tokenSecret/name'"},
		"no key of the Secret for scraping":   {`metrics: {serviceMonitor: {tokenSecret: {key: ""}}}`, "at '/metrics/serviceMonitor/tokenSecret/key'"},
		"an empty peer, which is everybody":   {`networkPolicy: {metricsFrom: [{}]}`, "at '/networkPolicy/metricsFrom/0'"},
		"nothing at a time":                   {`concurrency: 0`, "at '/concurrency': minimum"},
		"fewer rollouts than none":            {`maxConcurrentRollouts: -1`, "at '/maxConcurrentRollouts': minimum"},
		"metrics for an impossible namespace": {`mediaServer: {metricsNamespaces: [a/b]}`, "at '/mediaServer/metricsNamespaces/0'"},
		"pull secrets by name alone":          {`imagePullSecrets: [pull]`, "at '/imagePullSecrets/0'"},
		"labels that are not strings":         {`podLabels: {a: 1}`, "at '/podLabels/a'"},
		"a label's value that is too long":    {`commonLabels: {a: ` + strings.Repeat("a", 64) + `}`, "at '/commonLabels/a'"},
		"a label's value with a space":        {`podLabels: {a: "b c"}`, "at '/podLabels/a'"},
		"a label's key with two slashes":      {`commonLabels: {a/b/c: d}`, "at '/commonLabels'"},
		"a node label that is none":           {`nodeSelector: {kubernetes.io/os: "linux "}`, "at '/nodeSelector/kubernetes.io~1os'"},
		"a label of monitors that is none":    {`metrics: {rules: {labels: {release: a/b}}}`, "at '/metrics/rules/labels/release'"},
		"an annotation's key that is none":    {`serviceAccount: {annotations: {"a b": c}}`, "at '/serviceAccount/annotations'"},
		"a quantity with a wrong unit":        {`resources: {limits: {memory: 512MB}}`, "at '/resources/limits/memory'"},
		"a quantity below nothing":            {`resources: {requests: {cpu: -1}}`, "at '/resources/requests/cpu'"},
		"a label of pairs that is ours":       {`mediaServer: {commonLabels: {media.streampair.dev/pair: x}}`, "at '/mediaServer/commonLabels/media.streampair.dev~1pair'"},
		"metadata of pods that is everything": {`mediaServer: {allowedPodMetadata: ["*"]}`, "at '/mediaServer/allowedPodMetadata/0'"},
		"no account to bind to":               {`serviceAccount: {create: false}`, "at '/serviceAccount/name'"},
		"resources with unknown sections":     {`resources: {request: {cpu: 1}}`, "additional properties 'request' not allowed"},
		"a name that is none in Kubernetes":   {`fullnameOverride: Pairs`, "at '/fullnameOverride'"},
		"a name that leaves no room for ends": {`fullnameOverride: ` + strings.Repeat("a", 41), "at '/fullnameOverride'"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := tryRender(t, test.values, namespace)
			if err == nil {
				t.Fatalf("accepted %s", test.values)
			}
			if !strings.Contains(err.Error(), test.message) {
				t.Errorf("refused %s with a message that lacks %q:\n%v", test.values, test.message, err)
			}
		})
	}
}

// TestLint is `helm lint --strict`, with each set of values.
func TestLint(t *testing.T) {
	sets := valueSets(t)
	sets["defaults"] = "{}"
	for name, values := range sets {
		t.Run(name, func(t *testing.T) {
			var given map[string]any
			if err := yaml.Unmarshal([]byte(values), &given); err != nil {
				t.Fatal(err)
			}
			result := lint.RunAll(chartFolder, given, namespace)
			var problems []error
			for _, message := range result.Messages {
				if message.Severity > support.InfoSev {
					problems = append(problems, message)
				}
			}
			if err := errors.Join(problems...); err != nil {
				t.Error(err)
			}
		})
	}
}
