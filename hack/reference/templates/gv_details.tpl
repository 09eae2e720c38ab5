{{- define "gvDetails" }}
`apiVersion: {{ .GroupVersionString }}`, `kind: StreamPair`, short name `sp`. The same text, in a
cluster: `kubectl explain sp.spec`. Manifests to start from:
[config/samples](../config/samples).
{{- /* The whole first, then its parts. */}}
{{- $types := .Types }}
{{- range $name := list "StreamPair" "StreamPairSpec" "StreamPairStatus" }}{{ template "type" (index $types $name) }}{{ end }}
{{- range .SortedTypes }}{{ if not (has .Name (list "StreamPair" "StreamPairSpec" "StreamPairStatus")) }}{{ template "type" . }}{{ end }}{{ end }}
{{- end -}}
